"""What the chart's values tell the operator: /etc/spillway/config.json, read strictly and once.

Law: an unknown field, a wrong type or a value out of range ends the start with its path; every problem at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from spillway_crds import failsafe
from spillway_crds.errors import InvalidIntent, Problem
from spillway_crds.filters import NodeSelector, SelectorExpression
from spillway_crds.grants import Grant, decode_grants, granted_interfaces
from spillway_crds.names import MAX_RING_INTERFACES

UNKNOWN = "unknown field"
OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
SELECTOR_FIELDS = {"matchLabels", "matchExpressions"}
PRIVATE_RANGES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
LINUX = NodeSelector((("kubernetes.io/os", "linux"),))


@dataclass(frozen=True, slots=True)
class Share:
    """A number of nodes, or a percentage of all of them."""

    count: int = 0
    percent: int = 0

    def of(self, nodes: int) -> int:
        """How many of `nodes` that is, at least 1."""
        return max(1, self.count or nodes * self.percent // 100)


@dataclass(frozen=True, slots=True)
class Disruption:
    """How what makes links flap is spread over the nodes. idle_s 0: a program that passes everything stays for ever."""

    max_unavailable: Share = Share(count=1)
    turn_s: float = 120.0
    max_failed: int = 2
    idle_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Uninstall:
    """How nodes are emptied when the release goes."""

    max_unavailable: Share = Share(percent=25)
    timeout_s: float = 240.0


@dataclass(frozen=True, slots=True)
class Standby:
    """Nodes that have a pod before any filter selects them; None is none."""

    selector: NodeSelector | None = LINUX
    attach: bool = False


@dataclass(frozen=True, slots=True)
class Failsafe:
    """What the failsafe flows need and the cluster does not say."""

    api_servers: tuple[str, ...] = ()
    admin_prefixes: tuple[str, ...] = PRIVATE_RANGES
    ntp_servers: tuple[str, ...] = ()
    dhcp_servers: tuple[str, ...] = ()
    bgp_peers: tuple[str, ...] = ()
    flows: tuple[str, ...] = tuple(flow.name for flow in failsafe.flows())
    ceiling_pps: int = failsafe.DEFAULT_CEILING_PPS


@dataclass(frozen=True, slots=True)
class Config:
    """All of it."""

    disruption: Disruption = field(default_factory=Disruption)
    uninstall: Uninstall = field(default_factory=Uninstall)
    standby: Standby = field(default_factory=Standby)
    failsafe: Failsafe = field(default_factory=Failsafe)
    grants: tuple[Grant, ...] = ()
    source_image: tuple[str, str] | None = None  # what built-in sources run, and its pull policy


def read_config(path: Path) -> Config:
    """Read the file. Raises InvalidIntent with every problem; OSError if it cannot be read."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidIntent((Problem(str(path), None, f"is not JSON: {error}"),)) from error
    return decode_config(raw)


def decode_config(raw: Any) -> Config:
    """Turn the JSON value into a Config; what is not given keeps its default. Raises InvalidIntent with every problem."""
    problems: list[Problem] = []
    top = _Part(raw, "", problems)
    disruption, uninstall, standby = top.part("disruption"), top.part("uninstall"), top.part("standby")
    streams = top.part("streams")
    config = Config(
        Disruption(
            max_unavailable=disruption.share("maxUnavailable", Share(count=1)),
            turn_s=disruption.number("turnSeconds", 120, least=1),
            max_failed=disruption.number("maxFailed", 2, least=1),
            idle_s=disruption.number("idleSeconds", 0),
        ),
        Uninstall(
            max_unavailable=uninstall.share("maxUnavailable", Share(percent=25)),
            timeout_s=uninstall.number("timeoutSeconds", 240, least=1),
        ),
        Standby(selector=standby.selector("nodeSelector", LINUX), attach=standby.flag("attach")),
        _failsafe(top.part("failsafe")),
        streams.grants("grants"),
        streams.image("sourceImage"),
    )
    for part in (top, disruption, uninstall, standby, streams):
        part.refuse_the_rest()
    if problems:
        raise InvalidIntent(tuple(problems))
    return config


def _failsafe(part: _Part) -> Failsafe:
    default = Failsafe()
    found = Failsafe(
        api_servers=part.texts("apiServers", default.api_servers, endpoint),
        admin_prefixes=part.texts("adminPrefixes", default.admin_prefixes, prefix),
        ntp_servers=part.texts("ntpServers", default.ntp_servers, peer),
        dhcp_servers=part.texts("dhcpServers", default.dhcp_servers, peer),
        bgp_peers=part.texts("bgpPeers", default.bgp_peers, peer),
        flows=part.texts("flows", default.flows, flow_name),
        ceiling_pps=part.number("ceilingPacketsPerSecond", default.ceiling_pps),
    )
    part.refuse_the_rest()
    return found


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


class _Part:
    """One JSON object on its way to values: notes what is wrong and goes on with the default."""

    def __init__(self, raw: Any, path: str, problems: list[Problem]) -> None:
        self._path, self._problems = path, problems
        self._left: dict[str, Any] = {}
        if isinstance(raw, Mapping):
            self._left = dict(raw)
        else:
            self._refuse("", raw, "must be an object")

    def _refuse(self, key: str, value: object, reason: str) -> None:
        self._problems.append(Problem(".".join(filter(None, (self._path, key))) or "config", value, reason))

    def part(self, key: str) -> _Part:
        """The object below `key`, or an empty one."""
        return _Part(self._left.pop(key, {}), f"{self._path}.{key}".lstrip("."), self._problems)

    def number(self, key: str, default: int, *, least: int = 0) -> int:
        """A whole number."""
        value = self._left.pop(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self._refuse(key, value, f"must be a whole number of at least {least}")
            return default
        return value

    def flag(self, key: str) -> bool:
        """true or false; false when not given."""
        value = self._left.pop(key, False)
        if not isinstance(value, bool):
            self._refuse(key, value, "must be true or false")
        return value is True

    def share(self, key: str, default: Share) -> Share:
        """A number of nodes, or a percentage as text."""
        value = self._left.pop(key, None)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return Share(count=value)
        if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]?%|100%", value):
            return Share(percent=int(value[:-1]))
        self._refuse(key, value, 'must be a number of nodes from 1 or a percentage such as "25%"')
        return default

    def texts(self, key: str, default: tuple[str, ...], check: Any) -> tuple[str, ...]:
        """A list of strings, each of which `check` accepts."""
        value = self._left.pop(key, None)
        if value is None:
            return default
        if isinstance(value, str) or not isinstance(value, Sequence):
            self._refuse(key, value, "must be a list")
            return default
        return tuple(filter(None, (self._text(f"{key}[{i}]", each, check) for i, each in enumerate(value))))

    def _text(self, key: str, value: object, check: Any) -> str:
        try:
            if not isinstance(value, str):
                raise TypeError("must be a string")
            return str(check(value))
        except (TypeError, ValueError) as error:
            self._refuse(key, value, str(error))
            return ""

    def selector(self, key: str, default: NodeSelector) -> NodeSelector | None:
        """A label selector, or the plain labels that a node must have; null is None."""
        if key not in self._left:
            return default
        value = self._left.pop(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            self._refuse(key, value, "must be an object or null")
            return default
        plain = not value.keys() <= SELECTOR_FIELDS
        labels = value if plain else value.get("matchLabels") or {}
        expressions = () if plain else value.get("matchExpressions") or ()
        return NodeSelector(self._labels(key, labels), tuple(self._expression(key, each) for each in expressions))

    def _labels(self, key: str, raw: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        for label, value in raw.items():
            if not isinstance(value, str):
                self._refuse(f"{key}.{label}", value, "must be a string")
        return tuple(sorted((label, str(value)) for label, value in raw.items()))

    def _expression(self, key: str, raw: Mapping[str, Any]) -> SelectorExpression:
        unknown = raw.keys() - {"key", "operator", "values"}
        if raw.get("operator") not in OPERATORS or not isinstance(raw.get("key"), str) or unknown:
            self._refuse(f"{key}.matchExpressions", raw, f"must have key, operator ({', '.join(OPERATORS)}) and values")
            return SelectorExpression("", "Exists")
        return SelectorExpression(raw["key"], raw["operator"], tuple(raw.get("values") or ()))

    def grants(self, key: str) -> tuple[Grant, ...]:
        """Which transmit queues may be granted; none when not given."""
        path, value = f"{self._path}.{key}", self._left.pop(key, None)
        try:
            found = decode_grants([] if value is None else value, path)
        except InvalidIntent as error:
            self._problems += error.problems
            return ()
        if len(granted_interfaces(found)) > MAX_RING_INTERFACES:
            self._refuse(key, None, f"names more than {MAX_RING_INTERFACES} interfaces")
        return found

    def image(self, key: str) -> tuple[str, str] | None:
        """An image's name and its pull policy; None when not given."""
        if key not in self._left:
            return None
        part = self.part(key)
        name, policy = part.word("name"), part.word("pullPolicy")
        part.refuse_the_rest()
        return name, policy

    def word(self, key: str) -> str:
        """A string that is not empty."""
        return self._text(key, self._left.pop(key, None), non_empty)

    def refuse_the_rest(self) -> None:
        """What nobody asked for is unknown."""
        for key, value in self._left.items():
            self._refuse(key, value, UNKNOWN)
