"""ConfigMap spillway-peers: whose packets failsafe flows are. Pure.

API servers come from three places, because no one of them has all: the `kubernetes` EndpointSlice, kube-public/cluster-info, the
chart's values. Lists are sorted, so that the same cluster gives the same text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import yaml

from spillway_operator.config.forms import address, join_endpoint
from spillway_operator.config.settings import Failsafe

HTTPS = 443


def plan_peers(
    slices: Iterable[Mapping[str, Any]], cluster_info: Mapping[str, Any] | None, addresses: Iterable[str], failsafe: Failsafe
) -> dict[str, str]:
    """Return the ConfigMap's data. addresses: of all nodes. cluster_info: that ConfigMap, None where there is none."""
    servers = {*slice_endpoints(slices), *cluster_info_endpoints(cluster_info), *failsafe.api_servers}
    lists = {
        "apiServers": sorted(servers),
        "nodes": sorted(set(valid_addresses(addresses))),
        "adminPrefixes": list(failsafe.admin_prefixes),
        "ntpServers": list(failsafe.ntp_servers),
        "dhcpServers": list(failsafe.dhcp_servers),
        "bgpPeers": list(failsafe.bgp_peers),
        "flows": list(failsafe.flows),
        "ceilingPacketsPerSecond": failsafe.ceiling_pps,
    }
    return {key: json.dumps(value) for key, value in lists.items()}


def valid_addresses(addresses: Iterable[str]) -> Iterable[str]:
    """Those that are IP addresses, in canonical form; a cloud may list names as well."""
    for each in addresses:
        with suppress(ValueError):
            yield address(each)


def slice_endpoints(slices: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """`address:port` of each endpoint."""
    for each in slices:
        ports = [port["port"] for port in each.get("ports") or () if port.get("port")]
        for endpoint in each.get("endpoints") or ():
            for host in endpoint.get("addresses") or ():
                yield from _endpoints(host, ports)


def _endpoints(host: str, ports: Iterable[int]) -> Iterable[str]:
    for port in ports:
        with suppress(ValueError):
            yield join_endpoint(host, port)


def cluster_info_endpoints(config_map: Mapping[str, Any] | None) -> Iterable[str]:
    """The servers that the kubeconfig of kube-public/cluster-info gives by address.

    A name is not resolved: nobody vouches for the answer.
    """
    text = ((config_map or {}).get("data") or {}).get("kubeconfig", "")
    try:
        clusters = (yaml.safe_load(text) or {}).get("clusters") or ()
        servers = [urlsplit(each["cluster"]["server"]) for each in clusters]
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError):
        return  # anybody's text: what cannot be read names nobody
    for server in servers:
        with suppress(ValueError):
            yield from _endpoints(server.hostname or "", [server.port or HTTPS])
