"""Which failsafe flows a rule can get in the way of: only those are compiled.

A flow is left out only if no packet can be in it and match a rule, by the fields alone. Who the peers are is not known here.
"""

from __future__ import annotations

from spillway_crds.failsafe import FailsafeFlow
from spillway_crds.filters import Fragments, Match, PortRange


def can_match(match: Match, flow: FailsafeFlow) -> bool:
    """Tell whether a packet can match and be in the flow."""
    if match.protocol is not None and flow.protocols and match.protocol not in flow.protocols:
        return False
    return _fragments_agree(match, flow) and _ports_agree(match, flow) and _types_agree(match, flow)


def _fragments_agree(match: Match, flow: FailsafeFlow) -> bool:
    """Later fragments have no transport header, so what reads one is never about them."""
    rule_reads = bool(match.source_ports or match.destination_ports or match.tcp_flags or match.icmp_types)
    flow_reads = bool(flow.local_ports or flow.remote_ports or flow.icmp)
    if flow.later_fragments and (rule_reads or match.fragments not in (Fragments.ANY, Fragments.LATER)):
        return False
    return not (flow_reads and match.fragments is Fragments.LATER)


def _ports_agree(match: Match, flow: FailsafeFlow) -> bool:
    """A packet is in the flow by one of its ports; the other may be any."""
    if not (flow.local_ports or flow.remote_ports):
        return True
    return _meet(match.destination_ports, flow.local_ports) or _meet(match.source_ports, flow.remote_ports)


def _meet(wanted: tuple[PortRange, ...], ports: tuple[PortRange, ...]) -> bool:
    """No ports wanted is all of them; a flow without ports on this side is not found by it."""
    if not wanted:
        return bool(ports)
    return any(one.first <= other.last and other.first <= one.last for one in wanted for other in ports)


def _types_agree(match: Match, flow: FailsafeFlow) -> bool:
    return not (match.icmp_types and flow.icmp) or any(kind in match.icmp_types for kind, _ in flow.icmp)
