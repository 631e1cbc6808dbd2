"""Random values of all that goes over the wire: contents of filters, orders, statuses. Canonical, as the decoder gives them."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from hypothesis import settings
from hypothesis import strategies as st

from spillway_crds.filters import (
    ICMP,
    ICMP_PROTOCOLS,
    ICMPV6,
    PORT_PROTOCOLS,
    TCP,
    FilterContent,
    FilterSpec,
    FloodFilter,
    Fragments,
    LengthRange,
    Match,
    Mode,
    NodeSelector,
    PortRange,
    Prefix,
    Rule,
    RuleAction,
    SelectorExpression,
    TcpFlag,
    TcpFlagsMatch,
    XdpMode,
)
from spillway_crds.orders import (
    Attach,
    Condition,
    FilterOrder,
    FilterState,
    FilterStatus,
    InterfaceStatus,
    NodeOrder,
    NodeState,
    NodeStatus,
    RuleTotals,
    Totals,
)

QUICK = settings(max_examples=50, deadline=None)  # no verdict depends on how busy the machine is
LABELS = st.text("ab0", min_size=1, max_size=6)
LABEL_KEYS = st.sampled_from(["edge", "zone", "example.com/rack"])
LABEL_VALUES = st.sampled_from(["", "a", "b", "true"])
TIMES = st.sampled_from(["", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"])
INTERFACES = st.sampled_from(["eth0", "eth1", "enp*", "eth[0-3]", "en?"])


@st.composite
def prefixes(draw: st.DrawFn) -> Prefix:
    if draw(st.booleans()):
        return IPv4Network((draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 32))), strict=False)
    found = IPv6Network((draw(st.integers(0, 2**128 - 1)), draw(st.integers(0, 128))), strict=False)
    # ::ffff:0:0/96 and longer are IPv4-mapped, which no filter may say
    return IPv6Network("2001:db8::/32") if found.network_address.ipv4_mapped else found


def lists(of: st.SearchStrategy[Prefix]) -> st.SearchStrategy[tuple[Prefix, ...]]:
    return st.lists(of, max_size=4).map(tuple)


def ranges() -> st.SearchStrategy[tuple[PortRange, ...]]:
    port = st.integers(0, 65535)
    pair = st.tuples(port, port).map(lambda ends: PortRange(min(ends), max(ends)))
    return st.lists(pair, max_size=4).map(tuple)


@st.composite
def lengths(draw: st.DrawFn) -> LengthRange | None:
    low, high = sorted(draw(st.tuples(st.integers(0, 65575), st.integers(0, 65575))))
    return draw(st.sampled_from([None, LengthRange(low), LengthRange(None, high), LengthRange(low, high)]))


@st.composite
def tcp_flags(draw: st.DrawFn) -> TcpFlagsMatch | None:
    on, off = TcpFlag(draw(st.integers(0, 255))), TcpFlag(draw(st.integers(0, 255)))
    return TcpFlagsMatch(on, off & ~on) if on or off & ~on else None


@st.composite
def matches(draw: st.DrawFn) -> Match:
    protocol = draw(st.one_of(st.none(), st.sampled_from([1, 6, 17, 47, 50, 58, 132]), st.integers(0, 255)))
    fragments = draw(st.sampled_from(Fragments))
    header = fragments is not Fragments.LATER
    none = st.just(())
    return Match(
        protocol=protocol,
        sources=draw(lists(prefixes())),
        destinations=draw(lists(prefixes())),
        source_ports=draw(ranges() if header and protocol in PORT_PROTOCOLS else none),
        destination_ports=draw(ranges() if header and protocol in PORT_PROTOCOLS else none),
        ip_length_bytes=draw(lengths()),
        tcp_flags=draw(tcp_flags() if header and protocol == TCP else st.none()),
        icmp_types=tuple(sorted(draw(st.sets(st.integers(0, 255), max_size=4)))) if header and protocol in ICMP_PROTOCOLS else (),
        fragments=fragments,
    )


@st.composite
def rules(draw: st.DrawFn, name: str) -> Rule:
    match = draw(matches())
    actions = list(RuleAction) if match != Match() else [RuleAction.ALLOW, RuleAction.COUNT]
    return Rule(name, match, draw(st.sampled_from(actions)))


@st.composite
def contents(draw: st.DrawFn) -> FilterContent:
    names = draw(st.lists(LABELS, min_size=1, max_size=4, unique=True))
    return FilterContent(
        rules=tuple(draw(rules(name)) for name in names),
        priority=draw(st.integers(1, 1000)),
        interfaces=tuple(draw(st.lists(INTERFACES, max_size=3, unique=True))),
        rx_queue_ids=tuple(sorted(draw(st.sets(st.integers(0, 1023), max_size=4)))),
        xdp_mode=draw(st.sampled_from(XdpMode)),
        exempt=draw(lists(prefixes())),
    )


@st.composite
def expressions(draw: st.DrawFn) -> SelectorExpression:
    operator = draw(st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]))
    values = draw(st.lists(LABEL_VALUES, min_size=1, max_size=2)) if operator in ("In", "NotIn") else ()
    return SelectorExpression(draw(LABEL_KEYS), operator, tuple(values))


@st.composite
def selectors(draw: st.DrawFn) -> NodeSelector:
    labels = draw(st.dictionaries(LABEL_KEYS, LABEL_VALUES, max_size=2))
    return NodeSelector(tuple(sorted(labels.items())), tuple(draw(st.lists(expressions(), max_size=2))))


@st.composite
def filters(draw: st.DrawFn, name: str) -> FloodFilter:
    spec = FilterSpec(
        node_selector=draw(selectors()),
        content=draw(st.sampled_from(SOME_CONTENTS)),
        mode=draw(st.sampled_from(Mode)),
        suspend=draw(st.booleans()),
    )
    return FloodFilter(name, spec, uid=f"uid-{name}", generation=draw(st.integers(0, 9)), created=draw(TIMES))


SOME_CONTENTS = tuple(
    FilterContent(rules=(Rule("one", Match(protocol=protocol), RuleAction.DROP),), priority=priority)
    for protocol in (ICMP, ICMPV6)
    for priority in (1, 100, 1000)
)


@st.composite
def filter_orders(draw: st.DrawFn) -> FilterOrder:
    name = draw(LABELS)
    return FilterOrder(
        name=name,
        uid=draw(LABELS),
        revision=f"{name}-0123456789",
        mode=draw(st.sampled_from(Mode)),
        suspend=draw(st.booleans()),
        created=draw(TIMES),
    )


RING_INTERFACES = st.from_regex(r"eth[0-9]{1,3}(\.[0-9]{1,3})?", fullmatch=True)


@st.composite
def orders(draw: st.DrawFn) -> NodeOrder:
    state = draw(st.sampled_from(NodeState))
    listed = draw(st.lists(filter_orders(), min_size=1, max_size=4)) if state is NodeState.ACTIVE else ()
    return NodeOrder(
        state=state,
        attach=draw(st.sampled_from(Attach)),
        report_seconds=draw(st.integers(1, 3600)),
        attach_standby=draw(st.booleans()),
        filters=tuple(listed),
        ring_interfaces=tuple(sorted(draw(st.sets(RING_INTERFACES, max_size=4)))) if state is not NodeState.EMPTY else (),
    )


COUNTS = st.integers(0, 2**63 - 1)
TOTALS = st.builds(Totals, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=40)
CONDITIONS = st.lists(
    st.builds(
        Condition,
        type=st.sampled_from(["Ready", "Progressing", "Degraded"]),
        status=st.sampled_from(["True", "False", "Unknown"]),
        reason=LABELS,
        message=WORDS,
        changed=TIMES,
    ),
    max_size=3,
    unique_by=lambda each: each.type,
).map(tuple)


@st.composite
def filter_statuses(draw: st.DrawFn) -> FilterStatus:
    names = draw(st.integers(0, 3))
    return FilterStatus(
        name=draw(LABELS),
        uid=draw(LABELS),
        revision=draw(LABELS),
        state=draw(st.sampled_from(FilterState)),
        reason=draw(LABELS),
        message=draw(WORDS) * draw(st.sampled_from([0, 1, 50])),
        totals=draw(TOTALS),
        rules=tuple(RuleTotals(f"rule-{index}", draw(TOTALS)) for index in range(names)),
    )


INTERFACE_STATUSES = st.builds(
    InterfaceStatus,
    name=INTERFACES,
    driver=LABELS,
    xdp_mode=st.sampled_from(["", "Native", "Generic"]),
    link_id=st.integers(0, 2**31),
    program_id=st.integers(0, 2**31),
    program_tag=st.just("0123456789abcdef"),
    rx_queues=st.integers(1, 64),
    conditions=CONDITIONS,
)


@st.composite
def statuses(draw: st.DrawFn) -> NodeStatus:
    return NodeStatus(
        observed_spec_hash=draw(LABELS),
        agent_version=draw(LABELS),
        counts_for=draw(LABELS),
        waiting_for_turn=tuple(draw(st.lists(INTERFACES, max_size=3))),
        enforcement_off=draw(WORDS),
        interfaces=tuple(draw(st.lists(INTERFACE_STATUSES, max_size=4))),
        filters=tuple(draw(st.lists(filter_statuses(), max_size=3))),
        conditions=draw(CONDITIONS),
    )
