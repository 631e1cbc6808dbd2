"""Random policies as hypothesis draws them: several filters, drawn from small pools so that rules overlap and contradict."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

from hypothesis import strategies as st

from spillway_crds.failsafe import FailsafeFlow, PeerEntry, Peers, flows, merge_peers
from spillway_crds.filters import (
    FilterContent,
    Fragments,
    LengthRange,
    Match,
    PortRange,
    Prefix,
    Rule,
    RuleAction,
    TcpFlag,
    TcpFlagsMatch,
)
from spillway_dataplane.filter.program import (
    COUNTER_SLOTS,
    MODE_ENFORCE,
    MODE_MONITOR,
    MODE_OFF,
    MODE_SLOTS,
    FilterUnit,
    ProgramSpec,
    Switches,
)

BASES_V4 = (
    "10.0.0.0",
    "10.255.255.255",
    "198.51.100.7",
    "203.0.113.128",
    "0.0.0.0",
    "255.255.255.255",
    "128.0.0.1",
    "127.255.255.255",
)
BASES_V6 = ("2001:db8::", "2001:db8:0:1::53", "fe80::1", "ff02::1", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "8000::1")
EVERYBODY: tuple[Prefix, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))
PORT_EDGES = (0, 1, 22, 53, 67, 80, 123, 443, 546, 1900, 4789, 32767, 32768, 51820, 65534, 65535)
PORTED = (6, 17, 132)
QUEUES = 4


@dataclass(frozen=True, slots=True)
class Case:
    """A policy with all that decides beside it. switches: one after the other over the same frames."""

    spec: ProgramSpec
    peers: tuple[PeerEntry, ...]
    switches: tuple[Switches, ...]
    seed: int


def prefixes() -> st.SearchStrategy[Prefix]:
    """A prefix of any length around a few addresses."""
    v4 = st.builds(lambda base, bits: ip_network(f"{base}/{bits}", strict=False), st.sampled_from(BASES_V4), st.integers(0, 32))
    v6 = st.builds(lambda base, bits: ip_network(f"{base}/{bits}", strict=False), st.sampled_from(BASES_V6), st.integers(0, 128))
    return st.one_of(v4, v6)


def hosts() -> st.SearchStrategy[Prefix]:
    """Single addresses: what nearly all peers are."""
    return st.sampled_from((*BASES_V4, *BASES_V6)).map(ip_network)


def prefix_lists() -> st.SearchStrategy[tuple[Prefix, ...]]:
    return st.one_of(st.just(()), st.lists(prefixes(), min_size=1, max_size=4, unique=True).map(tuple))


def port_lists() -> st.SearchStrategy[tuple[PortRange, ...]]:
    edge = st.one_of(st.sampled_from(PORT_EDGES), st.integers(0, 65535))
    single = edge.map(lambda port: PortRange(port, port))
    span = st.tuples(edge, edge).map(lambda pair: PortRange(min(pair), max(pair)))
    return st.one_of(st.just(()), st.lists(st.one_of(single, span), min_size=1, max_size=6, unique=True).map(tuple))


def lengths() -> st.SearchStrategy[LengthRange | None]:
    edge = st.one_of(st.none(), st.sampled_from((0, 20, 28, 40, 60, 512, 576, 1280, 1500)))
    ordered = st.tuples(edge, edge).filter(lambda pair: None in pair or pair[0] <= pair[1])  # type: ignore[operator]
    return st.one_of(st.none(), ordered.filter(lambda pair: pair != (None, None)).map(lambda pair: LengthRange(*pair)))


def icmp_lists() -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.sampled_from((0, 3, 8, 2, 130, 133, 255)), max_size=3, unique=True).map(tuple)


@st.composite
def tcp_flags(draw: st.DrawFn) -> TcpFlagsMatch:
    on = TcpFlag(draw(st.integers(0, 255)) & draw(st.integers(0, 255)))
    off = TcpFlag(draw(st.integers(0, 255)) & draw(st.integers(0, 255)))
    return TcpFlagsMatch(on & ~off, off)


@st.composite
def matches(draw: st.DrawFn) -> Match:
    """A match as the schema allows it, with few fields: rules that match nothing test little.

    Fields of transport headers come only with a protocol that has them.
    """
    protocol = draw(st.sampled_from((None, None, 6, 17, 1, 58, 132, 47, 50, 51, 0, 255)))
    fragments = draw(st.sampled_from((Fragments.ANY, Fragments.ANY, Fragments.ANY, *Fragments)))
    upper = fragments is not Fragments.LATER

    def wanted(one_in: int) -> bool:
        return draw(st.integers(1, one_in)) == 1

    return Match(
        protocol=protocol,
        sources=draw(prefix_lists()) if wanted(3) else (),
        destinations=draw(prefix_lists()) if wanted(3) else (),
        source_ports=draw(port_lists()) if upper and protocol in PORTED and wanted(2) else (),
        destination_ports=draw(port_lists()) if upper and protocol in PORTED and wanted(2) else (),
        ip_length_bytes=draw(lengths()) if wanted(4) else None,
        tcp_flags=draw(tcp_flags()) if upper and protocol == 6 and wanted(2) else None,
        icmp_types=draw(icmp_lists()) if upper and protocol in (1, 58) and wanted(2) else (),
        fragments=fragments,
    )


def queue_ids() -> st.SearchStrategy[tuple[int, ...]]:
    return st.sets(st.integers(0, QUEUES), min_size=1, max_size=3).map(lambda ids: tuple(sorted(ids)))


@st.composite
def contents(draw: st.DrawFn) -> FilterContent:
    actions = st.sampled_from((RuleAction.DROP, RuleAction.DROP, RuleAction.ALLOW, RuleAction.COUNT))
    rules = draw(st.lists(st.tuples(matches(), actions), min_size=1, max_size=10))
    if draw(st.booleans()):
        rules.append((Match(sources=EVERYBODY), RuleAction.DROP))
    return FilterContent(
        rules=tuple(Rule(f"r{number}", match, action) for number, (match, action) in enumerate(rules)),
        exempt=draw(prefix_lists()) if draw(st.integers(0, 3)) == 0 else (),
        rx_queue_ids=tuple(sorted(draw(st.sets(st.integers(0, QUEUES), min_size=1, max_size=3))))
        if draw(st.integers(0, 3)) == 0
        else (),
    )


@st.composite
def failsafe(draw: st.DrawFn) -> tuple[FailsafeFlow, ...]:
    """All flows, some of them, or none; ceilings that nobody reaches, that some reach, and that let nothing through."""
    every = flows(ceiling_pps=draw(st.sampled_from((0, 5, 1_000_000))))
    kept = draw(st.sampled_from(("all", "some", "none")))
    if kept == "some":
        return tuple(flow for flow in every if draw(st.booleans()))
    return every if kept == "all" else ()


@st.composite
def peer_lists(draw: st.DrawFn) -> tuple[PeerEntry, ...]:
    bits = st.one_of(st.just(511), st.integers(0, 511)).map(Peers)
    return merge_peers(
        tuple(draw(st.lists(st.builds(PeerEntry, st.one_of(hosts(), hosts(), prefixes()), bits), min_size=2, max_size=12)))
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Several filters in any slots; with each of the switches the same frames run again."""
    parts = draw(st.lists(contents(), min_size=1, max_size=5))
    modes = draw(st.permutations(range(MODE_SLOTS)))
    first = draw(st.integers(0, COUNTER_SLOTS - 64))
    units = []
    for number, content in enumerate(parts):
        slots = tuple(range(first, first + len(content.rules)))
        first += len(content.rules)
        units.append(FilterUnit(f"filter-{number}", f"uid-{number}", content, modes[number], slots))
    words = st.sampled_from((MODE_OFF, MODE_MONITOR, MODE_ENFORCE, MODE_ENFORCE))
    switches = st.builds(
        Switches, st.sampled_from((True, True, True, False)), st.lists(words, min_size=MODE_SLOTS, max_size=MODE_SLOTS).map(tuple)
    )
    return Case(
        ProgramSpec(tuple(units), draw(failsafe())),
        draw(peer_lists()),
        tuple(draw(st.lists(switches, min_size=2, max_size=4))),
        draw(st.integers(0, 2**32 - 1)),
    )
