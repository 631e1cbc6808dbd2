"""Which interfaces a filter means on this node: docs/semantics.md, section 5. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address

from spillway_dataplane.node.findings import Finding, Reason
from spillway_dataplane.node.observed import ObservedInterface, ObservedNode

Address = IPv4Address | IPv6Address
NO_ROUTE = "no default route on this node: what runs stays where it is until there is one; or name the interfaces"
GLOB_SIGNS = frozenset("*?[")
RESOLVED_KINDS = frozenset({"bridge", "vlan", "macvlan"})
TUNNEL_KINDS = frozenset(
    {"tun", "wireguard", "ipip", "sit", "gre", "ip6gre", "ip6tnl", "vti", "vti6", "xfrm", "vxlan", "geneve", "ppp"}
)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a filter's `interfaces` come to here. names: sorted, each once."""

    names: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def choose(node: ObservedNode, patterns: tuple[str, ...], node_addresses: frozenset[Address]) -> Choice:
    """Return the interfaces that names and globs mean on this node; no pattern means what carries the default routes."""
    if not patterns:
        return merge([below_default_routes(node)])
    return merge([_choose_one(node, pattern, node_addresses) for pattern in patterns])


def merge(choices: list[Choice]) -> Choice:
    """Join choices; an interface that two patterns mean is one interface."""
    names = {name for choice in choices for name in choice.names}
    return Choice(tuple(sorted(names)), tuple(finding for choice in choices for finding in choice.findings))


def _choose_one(node: ObservedNode, pattern: str, node_addresses: frozenset[Address]) -> Choice:
    if GLOB_SIGNS & set(pattern):
        return _choose_glob(node, pattern, node_addresses)
    if pattern == "lo":
        return _refuse(pattern, Reason.NOT_SUPPORTED, "the loopback device is never filtered")
    if node.interface(pattern) is None:
        return _refuse(pattern, Reason.INTERFACE_NOT_FOUND, f"no interface {pattern} on this node")
    return Choice((pattern,))


def _choose_glob(node: ObservedNode, pattern: str, node_addresses: frozenset[Address]) -> Choice:
    names = tuple(each.name for each in glob_candidates(node, node_addresses) if fnmatchcase(each.name, pattern))
    if names:
        return Choice(names)
    return Choice((), (Finding(Reason.INTERFACE_NOT_FOUND, f"no physical interface matches {pattern}"),))


def glob_candidates(node: ObservedNode, node_addresses: frozenset[Address]) -> tuple[ObservedInterface, ...]:
    """Return what a glob may mean: physical devices; on a node that has none, those that hold the node's address."""
    others = tuple(each for each in node.interfaces if each.name != "lo")
    physical = tuple(each for each in others if each.physical)
    return physical or tuple(each for each in others if holds(each, node_addresses))


def holds(interface: ObservedInterface, addresses: frozenset[Address]) -> bool:
    """Whether one of these addresses is configured on the interface."""
    return any(each.ip in addresses for each in interface.addresses)


def below_default_routes(node: ObservedNode) -> Choice:
    """Return the devices below the IPv4 and IPv6 default routes, every ECMP leg."""
    legs = sorted({route.ifname for route in node.default_routes})
    if not legs:
        return Choice((), (Finding(Reason.INTERFACE_NOT_FOUND, NO_ROUTE),))
    return merge([_resolve(node, leg, frozenset()) for leg in legs])


def _resolve(node: ObservedNode, name: str, above: frozenset[str]) -> Choice:
    """Go down to what carries the traffic. A bond is filtered itself: every packet of its devices passes it."""
    device = node.interface(name)
    if device is None or name in above:  # `above` ends what should not be there: a ring of devices
        return _refuse(name, Reason.INTERFACE_NOT_FOUND, f"no interface {name} on this node")
    if device.kind in TUNNEL_KINDS:
        return _refuse(
            name, Reason.NOT_SUPPORTED, f"the default route leaves by the tunnel {name}: name the device that carries it"
        )
    if device.kind not in RESOLVED_KINDS:
        return Choice((name,))
    lower = _carriers(node, device)
    if not lower:
        return _refuse(name, Reason.CONFLICT, _which_port(device))
    return merge([_resolve(node, each, above | {name}) for each in lower])


def _carriers(node: ObservedNode, device: ObservedInterface) -> tuple[str, ...]:
    """Return what of a device's lower ones leads out of the node; a bridge's other ports are pods and virtual machines."""
    if device.kind != "bridge" or len(device.lower) == 1:
        return device.lower
    return tuple(name for name in device.lower if (port := node.interface(name)) is not None and _leads_out(port))


def _leads_out(port: ObservedInterface) -> bool:
    return port.physical or port.kind in ("bond", "vlan", "team")


def _which_port(device: ObservedInterface) -> str:
    ports = ", ".join(device.lower) or "none"
    return f"no device below {device.name} leads out of this node (its lower devices: {ports}): name the right one"


def _refuse(name: str, reason: Reason, message: str) -> Choice:
    return Choice((), (Finding(reason, message, name),))
