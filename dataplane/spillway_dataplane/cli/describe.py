"""Filters, streams and claims in a person's words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from spillway_crds.claims import WrittenClaim
from spillway_crds.filters import PROTOCOL_NUMBERS, FilterContent, Fragments, LengthRange, Match, NodeSelector, PortRange, TcpFlag
from spillway_crds.streams import BypassStream, RingParameters

DEFAULT_ROUTES = "default routes"
_PROTOCOL_NAMES = {number: name for name, number in PROTOCOL_NUMBERS.items()}
_FRAGMENTS = {Fragments.NONE: "unfragmented", Fragments.FIRST: "first fragments", Fragments.LATER: "later fragments"}


def match_text(match: Match) -> str:
    """What a rule matches, in one line."""
    return ", ".join(_match_parts(match)) or "every packet"


def _match_parts(match: Match) -> Iterator[str]:
    if match.protocol is not None:
        yield _PROTOCOL_NAMES.get(match.protocol, f"protocol {match.protocol}")
    if match.fragments in _FRAGMENTS:
        yield _FRAGMENTS[match.fragments]
    lists: tuple[tuple[str, Iterable[object]], ...] = (
        ("from", match.sources),
        ("to", match.destinations),
        ("source port", map(ports_text, match.source_ports)),
        ("destination port", map(ports_text, match.destination_ports)),
        ("type", match.icmp_types),
    )
    yield from (f"{what} {' '.join(map(str, values))}" for what, values in ((w, tuple(v)) for w, v in lists) if values)
    if match.ip_length_bytes is not None:
        yield length_text(match.ip_length_bytes)
    if match.tcp_flags is not None:
        yield f"flags {flags_text(match.tcp_flags.set, match.tcp_flags.unset)}"


def ports_text(ports: PortRange) -> str:
    """A range as a manifest writes it."""
    return str(ports.first) if ports.first == ports.last else f"{ports.first}-{ports.last}"


def length_text(length: LengthRange) -> str:
    """The IP length's limits."""
    low = "" if length.min is None else str(length.min)
    high = "" if length.max is None else str(length.max)
    return f"{low}..{high} bytes"


def flags_text(wanted: TcpFlag, unwanted: TcpFlag) -> str:
    """TCP flags as `+SYN -ACK`."""
    signs = (("+", wanted), ("-", unwanted))
    return " ".join(f"{sign}{flag.name}" for sign, flags in signs for flag in TcpFlag if flag in flags)


def interfaces_text(content: FilterContent) -> str:
    """Where a filter applies."""
    return " ".join(content.interfaces) or DEFAULT_ROUTES


def queues_text(queue_ids: tuple[int, ...]) -> str:
    """On which receive queues."""
    return ",".join(map(str, queue_ids)) or "all"


def selector_text(selector: NodeSelector) -> str:
    """On which nodes."""
    parts = [f"{key}={value}" for key, value in selector.match_labels]
    for each in selector.match_expressions:
        values = f" ({', '.join(each.values)})" if each.values else ""
        parts.append(f"{each.key} {each.operator}{values}")
    return ", ".join(parts) or "every node"


def stream_text(stream: BypassStream) -> str:
    """One stream in one line: which queue, where to, filled by whom."""
    spec = stream.spec
    queue = "any transmit queue" if spec.tx_queue is None else f"transmit queue {spec.tx_queue}"
    source = type(spec.source).__name__.removesuffix("Source").lower()
    return f"BypassStream {stream.namespace}/{stream.name}: {queue} of {spec.interface}, {ring_text(spec.parameters)}, {source}"


def claim_text(claim: WrittenClaim) -> str:
    """One claim in one line: what each of its rings is to be."""
    name = f"{claim.namespace}/{claim.name}" if claim.namespace else claim.name
    rings = "; ".join(f"request {request}: a transmit queue, {ring_text(parameters)}" for request, parameters in claim.rings)
    return f"{claim.kind} {name}: {rings}"


def ring_text(parameters: RingParameters) -> str:
    """Where a ring's packets go and how it is bound."""
    flow = parameters.flow
    where = f"[{flow.destination}]" if flow.destination.version == 6 else str(flow.destination)
    return f"to {where}:{flow.destination_port}, bind mode {parameters.bind_mode}"
