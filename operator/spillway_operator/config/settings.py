"""What the chart's values tell the operator: /etc/spillway/config.json, read strictly and once.

Law: an unknown field, a wrong type or a value out of range ends the start with its path; every problem at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spillway_crds import failsafe
from spillway_crds.errors import InvalidIntent, Problem
from spillway_crds.filters import NodeSelector
from spillway_crds.grants import Grant
from spillway_operator.config.forms import endpoint, flow_name, peer, prefix
from spillway_operator.config.part import Part, Share

PRIVATE_RANGES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
ONE_NODE, A_QUARTER = Share(count=1), Share(percent=25)
LINUX = NodeSelector((("kubernetes.io/os", "linux"),))


@dataclass(frozen=True, slots=True)
class Disruption:
    """How what makes links flap is spread over the nodes. idle_s 0: a program that passes everything stays for ever."""

    max_unavailable: Share = ONE_NODE
    turn_s: float = 120.0
    max_failed: int = 2
    idle_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Uninstall:
    """How nodes are emptied when the release goes."""

    max_unavailable: Share = A_QUARTER
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
    top = Part(raw, "", problems)
    disruption, uninstall, standby = top.part("disruption"), top.part("uninstall"), top.part("standby")
    streams = top.part("streams")
    config = Config(
        Disruption(
            max_unavailable=disruption.share("maxUnavailable", ONE_NODE),
            turn_s=disruption.number("turnSeconds", 120, least=1),
            max_failed=disruption.number("maxFailed", 2, least=1),
            idle_s=disruption.number("idleSeconds", 0),
        ),
        Uninstall(
            max_unavailable=uninstall.share("maxUnavailable", A_QUARTER),
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


def _failsafe(part: Part) -> Failsafe:
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
