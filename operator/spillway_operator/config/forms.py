"""The forms that single texts of the configuration have. Each returns the canonical text, or raises ValueError."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from spillway_crds import failsafe


def address(text: str) -> str:
    """One IP address in its canonical form. Raises ValueError."""
    return str(ip_address(text))


def prefix(text: str) -> str:
    """One prefix without host bits. Raises ValueError."""
    return str(ip_network(text))


def peer(text: str) -> str:
    """An address or a prefix. Raises ValueError."""
    return prefix(text) if "/" in text else address(text)


def endpoint(text: str) -> str:
    """`address:port`, an IPv6 address in brackets. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is not address:port")
    return join_endpoint(host.strip("[]"), int(port))


def join_endpoint(host: str, port: int) -> str:
    """`address:port`. Raises ValueError if the host is no IP address."""
    parsed = ip_address(host)
    return f"[{parsed}]:{port}" if parsed.version == 6 else f"{parsed}:{port}"


def non_empty(text: str) -> str:
    """Anything but nothing. Raises ValueError."""
    if not text:
        raise ValueError("must not be empty")
    return text


def flow_name(text: str) -> str:
    """The name of a failsafe flow. Raises ValueError for any other."""
    known = [flow.name for flow in failsafe.flows()]
    if text not in known:
        raise ValueError(f"not a failsafe flow; they are {', '.join(known)}")
    return text
