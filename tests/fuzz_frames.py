"""Random frames that come near a policy: its addresses, ports and lengths and their neighbours, and headers broken."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from random import Random

from spillway_crds.failsafe import FailsafeFlow, PeerEntry, Peers
from spillway_crds.filters import Match, PortRange, Prefix
from spillway_dataplane.filter.program import ProgramSpec

PROTOCOLS = (1, 6, 17, 58, 132, 47, 50, 51, 4, 41, 0, 60, 59, 255, 89)
EXTENSIONS = (0, 43, 44, 51, 60)
ETHERTYPES = (0x0800, 0x86DD, 0x0806, 0x8100, 0x88A8, 0x9100, 0x0600, 46)
ICMP_TYPES = (0, 2, 3, 8, 130, 131, 133, 135, 136, 137, 138, 143, 255)
LINK_LOCALS = (IPv4Network("169.254.0.0/16"), IPv6Network("fe80::/10"))
V4_MAPPED = bytes(10) + b"\xff\xff"


@dataclass(frozen=True, slots=True)
class Pools:
    """What a policy is sensitive to, by field. rules, flows: what to come close to as a whole."""

    v4: tuple[int, ...]
    v6: tuple[int, ...]
    ports: tuple[int, ...]
    lengths: tuple[int, ...]
    rules: tuple[Aim, ...]
    flows: tuple[Aim, ...]


@dataclass(frozen=True, slots=True)
class Aim:
    """One rule or flow: an empty field is anything."""

    protocols: tuple[int, ...] = ()
    sources: tuple[int, ...] = ()
    destinations: tuple[int, ...] = ()
    source_ports: tuple[int, ...] = ()
    destination_ports: tuple[int, ...] = ()
    icmp: tuple[tuple[int, int], ...] = ()
    flags: int | None = None
    version: int = 0


ANYTHING = Aim()


def pools_of(spec: ProgramSpec, peers: tuple[PeerEntry, ...]) -> Pools:
    """Collect edges of everything that the rules, the exempt lists, the failsafe flows and the peers name."""
    matches = [rule.match for unit in spec.filters for rule in unit.content.rules]
    prefixes = [prefix for match in matches for prefix in (*match.sources, *match.destinations)]
    prefixes += [prefix for unit in spec.filters for prefix in unit.content.exempt]
    prefixes += [entry.prefix for entry in peers] + list(LINK_LOCALS)
    ranges = [each for match in matches for each in (*match.source_ports, *match.destination_ports)]
    ranges += [each for flow in spec.flows for each in (*flow.local_ports, *flow.remote_ports)]
    return Pools(
        tuple(sorted({each for prefix in prefixes if prefix.version == 4 for each in _edges(prefix)})),
        tuple(sorted({each for prefix in prefixes if prefix.version == 6 for each in _edges(prefix)})),
        tuple(sorted({port for each in ranges for port in _around(each)})),
        tuple(sorted({length for match in matches for length in _lengths(match)})),
        tuple(aim for match in matches for aim in _aims_at_rule(match)),
        tuple(aim for flow in spec.flows for aim in _aims_at_flow(flow, peers)),
    )


def _aims_at_rule(match: Match) -> Iterator[Aim]:
    for version in (4, 6):
        yield Aim(
            () if match.protocol is None else (match.protocol,),
            _inside(match.sources, version),
            _inside(match.destinations, version),
            tuple(port for each in match.source_ports for port in (each.first, each.last)),
            tuple(port for each in match.destination_ports for port in (each.first, each.last)),
            tuple((kind, 0) for kind in match.icmp_types),
            None if match.tcp_flags is None else int(match.tcp_flags.set),
            version,
        )


def _aims_at_flow(flow: FailsafeFlow, peers: tuple[PeerEntry, ...]) -> Iterator[Aim]:
    """Once by the local port, once by the remote one, from a peer of either family."""
    known = [entry.prefix for entry in peers if entry.peers & flow.peers]
    for version in (4, 6):
        sources = _inside(tuple(known), version) + (_near_link_locals(version) if flow.peers & Peers.LINK_LOCAL else ())
        icmp = tuple((kind, code or 0) for kind, code in flow.icmp)
        for local in (flow.local_ports, ()) if flow.local_ports else ((),):
            remote = () if local else flow.remote_ports
            here = tuple(port for each in local for port in (each.first, each.last))
            there = tuple(port for each in remote for port in (each.first, each.last))
            yield Aim(flow.protocols, sources, (), there, here, icmp, None, version)


def _inside(prefixes: tuple[Prefix, ...], version: int) -> tuple[int, ...]:
    mine = [prefix for prefix in prefixes if prefix.version == version]
    return tuple(int(address) for prefix in mine for address in (prefix.network_address, prefix.broadcast_address))


def _near_link_locals(version: int) -> tuple[int, ...]:
    return tuple(address for prefix in LINK_LOCALS if prefix.version == version for address in _edges(prefix))


def _edges(prefix: Prefix) -> Iterator[int]:
    first, last = int(prefix.network_address), int(prefix.broadcast_address)
    top = (1 << prefix.max_prefixlen) - 1
    yield from (first, last, (first + last) // 2, max(first - 1, 0), min(last + 1, top))


def _around(ports: PortRange) -> Iterator[int]:
    yield from (max(ports.first - 1, 0), ports.first, ports.last, min(ports.last + 1, 65535))


def _lengths(match: Match) -> Iterator[int]:
    limits = match.ip_length_bytes
    for edge in (limits.min, limits.max) if limits else ():
        if edge is not None:
            yield from (each for each in (edge - 1, edge, edge + 1) if 0 < each < 4000)


class FrameMaker:
    """Random frames for one policy; the same seed gives the same frames."""

    def __init__(self, pools: Pools, seed: int) -> None:
        self.pools = pools
        self.random = Random(seed)
        self.aim = ANYTHING

    def frame(self) -> bytes:
        """Return a frame of at least 14 bytes: mostly sound, sometimes cut short, with changed bytes or of another kind."""
        self.aim = self.random.choice(self.random.choice((self.pools.rules, self.pools.flows, ())) or (ANYTHING,))
        frame = self._ethernet()
        fate = self.random.random()
        if fate < 0.06:
            frame = frame[: self.random.randint(14, len(frame))]
        elif fate < 0.14:
            frame = self._mutated(frame)
        elif fate < 0.16:
            frame = self.random.randbytes(12) + struct.pack("!H", self.random.choice(ETHERTYPES)) + self.random.randbytes(60)
        return frame if fate < 0.7 else frame + bytes(self.random.choice((0, 6, 26)))

    def _mutated(self, frame: bytes) -> bytes:
        changed = bytearray(frame)
        for _ in range(self.random.randint(1, 3)):
            changed[self.random.randrange(12, min(len(changed), 90))] = self.random.choice(
                (0, 1, 4, 5, 255, self.random.getrandbits(8))
            )
        return bytes(changed)

    def _ethernet(self) -> bytes:
        tags = self.random.choice((0, 0, 0, 0, 1, 2, 2, 3))
        vlan = b"".join(
            struct.pack("!HH", self.random.choice((0x8100, 0x88A8)), self.random.getrandbits(16)) for _ in range(tags)
        )
        v6 = self.aim.version == 6 if self.aim.version else bool(self.random.getrandbits(1))
        payload = self._ipv6() if v6 else self._ipv4()
        return self.random.randbytes(12) + vlan + struct.pack("!H", 0x86DD if v6 else 0x0800) + payload

    def _ipv4(self) -> bytes:
        options = bytes(4 * self.random.choice((0, 0, 0, 1, 2, 10)))
        protocol = self._protocol()
        payload = self._payload(protocol)
        fragment = self.random.choice((0, 0, 0, 0, 0x4000, 0x2000, 0x2001, 0x00B9, 0x1FFF, 0x8000))
        ihl = 5 + len(options) // 4
        if self.random.random() < 0.03:
            ihl = self.random.randint(0, 15)
        total = self._total(20 + len(options) + len(payload))
        head = struct.pack(
            "!BBHHHBBH",
            self._version(4) << 4 | ihl,
            0,
            total & 0xFFFF,
            1,
            fragment,
            self.random.choice((1, 64, 255)),
            protocol,
            0,
        )
        addresses = self._address(self.aim.sources, 4) + self._address(self.aim.destinations, 4)
        return head + addresses + options + payload

    def _ipv6(self) -> bytes:
        protocol = self._protocol()
        payload, following = self._payload(protocol), protocol
        for _ in range(self.random.choice((0, 0, 0, 1, 1, 2, 3, 8, 9, 10))):
            kind = self.random.choice(EXTENSIONS)
            payload, following = self._extension(kind, following) + payload, kind
        total = max(self._total(40 + len(payload)) - 40, 0)
        hop_limit = self.random.choice((1, 64, 254, 255, 255))
        head = struct.pack("!IHBB", self._version(6) << 28, total & 0xFFFF, following, hop_limit)
        return head + self._address(self.aim.sources, 6) + self._address(self.aim.destinations, 6) + payload

    def _extension(self, kind: int, following: int) -> bytes:
        if kind == 44:
            word = self.random.choice((0, 0, 0, 1, 8, 9, 0xFFF8, 6))
            return struct.pack("!BBHI", following, self.random.getrandbits(8), word, 7)
        units = self.random.choice((0, 0, 0, 1, 2, 5)) if self.random.random() < 0.99 else 255
        stated = units if self.random.random() < 0.98 else self.random.getrandbits(8)
        if kind == 51:
            return struct.pack("!BBHI", following, stated, 0, 9) + bytes(4 * units)
        return struct.pack("!BBHI", following, stated, 0, 9) + bytes(8 * units)

    def _payload(self, protocol: int) -> bytes:
        room = bytes(self._room())
        if self.random.random() < 0.04:
            return self.random.randbytes(self.random.randint(0, 19))
        if protocol == 6:
            return self._tcp() + room
        if protocol == 17:
            length = 8 + len(room)
            if self.random.random() < 0.05:
                length = self.random.choice((0, 7, 8, length + 1, 65535))
            return struct.pack("!4H", *self._ports(), length, 0) + room
        if protocol in (1, 58):
            kind, code = self.random.choice(self.aim.icmp) if self.aim.icmp else (self.random.choice(ICMP_TYPES), 0)
            return struct.pack("!BBHI", kind, self.random.choice((code, code, 4)), 0, 0) + room
        if protocol == 132:
            return struct.pack("!HHII", *self._ports(), 1, 2) + room
        return self.random.randbytes(self.random.randint(0, 24)) + room

    def _tcp(self) -> bytes:
        words = self.random.choice((5, 6, 8, 15, 4, 0)) if self.random.random() < 0.2 else 5
        options = bytes(max(words - 5, 0) * 4) if self.random.random() < 0.9 else b""
        flags = self.random.getrandbits(8) if self.aim.flags is None or self.random.random() < 0.3 else self.aim.flags
        return struct.pack("!HHIIBBHHH", *self._ports(), 1, 2, words << 4, flags, 9, 0, 0) + options

    def _room(self) -> int:
        """How much data follows: such that the whole comes near a length that a rule names, or little."""
        if self.pools.lengths and self.random.random() < 0.4:
            return max(self.random.choice(self.pools.lengths) - self.random.choice((28, 40, 48, 60, 20)), 0)
        return self.random.choice((0, 1, 8, 16, 100, 1000)) if self.random.random() < 0.98 else self.random.randint(3000, 9000)

    def _total(self, real: int) -> int:
        return real if self.random.random() < 0.96 else max(real + self.random.choice((-9, -1, 1, 60, -real, 70000)), 0)

    def _version(self, real: int) -> int:
        return real if self.random.random() < 0.99 else self.random.getrandbits(4)

    def _protocol(self) -> int:
        if self.aim.protocols and self.random.random() < 0.95:
            return self.random.choice(self.aim.protocols)
        return self.random.choice(PROTOCOLS) if self.random.random() < 0.4 else self.random.choice((6, 17, 17, 1, 58, 132))

    def _address(self, aimed: tuple[int, ...], version: int) -> bytes:
        size = 4 if version == 4 else 16
        if version == 6 and self.pools.v4 and self.random.random() < 0.03:  # claims to be an IPv4 host
            return V4_MAPPED + self.random.choice(self.pools.v4).to_bytes(4, "big")
        if aimed and self.random.random() < 0.9:
            return self.random.choice(aimed).to_bytes(size, "big")
        known = self.pools.v4 if version == 4 else self.pools.v6
        if known and self.random.random() < 0.9:
            return self.random.choice(known).to_bytes(size, "big")
        return self.random.randbytes(size)

    def _ports(self) -> tuple[int, int]:
        return self._port(self.aim.source_ports), self._port(self.aim.destination_ports)

    def _port(self, aimed: tuple[int, ...]) -> int:
        if aimed and self.random.random() < 0.9:
            return self.random.choice(aimed)
        if self.pools.ports and self.random.random() < 0.9:
            return self.random.choice(self.pools.ports)
        return self.random.getrandbits(16)
