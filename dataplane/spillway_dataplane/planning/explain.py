"""What is told of a refusal on one interface. Pure."""

from __future__ import annotations

from spillway_crds.errors import NotSupported, SpillwayError
from spillway_dataplane.node.findings import Finding, Reason, from_error
from spillway_dataplane.node.observed import ObservedInterface, ObservedNode


def explain(error: SpillwayError, ifname: str, node: ObservedNode) -> Finding:
    """Turn a refusal into a finding; where another interface is the answer, say which."""
    seen = node.interface(ifname)
    if isinstance(error, NotSupported) and seen is not None and seen.kind in ("bond", "team"):
        return Finding(Reason.CONFLICT, _name_the_lower(error, seen), ifname)
    upper = next((each for each in node.interfaces if ifname in each.lower and each.kind in ("bond", "team")), None)
    if error.reason == Reason.CONFLICT and upper is not None and upper.attached is not None:
        message = (
            f"{ifname} is part of {upper.name}, which runs XDP program {upper.attached.program_id}: name {upper.name} instead"
        )
        return Finding(Reason.CONFLICT, message, ifname)
    return from_error(error, ifname=ifname)


def _name_the_lower(error: NotSupported, bond: ObservedInterface) -> str:
    lower = ", ".join(bond.lower) or "it has none now"
    return f"{bond.kind} {bond.name} takes no native XDP ({error.detail}); name its lower devices instead: {lower}"
