"""Interface names as directory names, and peers as map keys: pure, and inverse to each other where they have to be."""

from __future__ import annotations

from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from spillway_crds.failsafe import PeerEntry, Peers, merge_peers
from spillway_dataplane.filter.program import Switches
from spillway_dataplane.kernel.maps import decode_switches, encode_switches, peer_entries, sum_cpus
from spillway_dataplane.kernel.pins import NODE, decode_name, encode_name

IFNAMES = st.text(st.characters(codec="utf-8", exclude_characters="/:\0 \t\n\r\x0b\x0c"), min_size=1, max_size=15)


@given(IFNAMES | st.sampled_from(["node", "%6eode", "a.b", "%2e", "%", "..x"]))
def test_a_name_comes_back(ifname: str) -> None:
    encoded = encode_name(ifname)
    assert decode_name(encoded) == ifname
    assert "." not in encoded
    assert encoded != NODE


@given(st.lists(IFNAMES, unique=True))
def test_names_stay_different(ifnames: list[str]) -> None:
    assert len({encode_name(each) for each in ifnames}) == len(ifnames)


def test_hosts_are_hashed_and_prefixes_are_tried() -> None:
    """An IPv4 prefix lies in ::ffff:0:0/96."""
    entries = (
        PeerEntry(ip_network("192.0.2.1/32"), Peers.NODES),
        PeerEntry(ip_network("10.0.0.0/8"), Peers.ADMINS),
        PeerEntry(ip_network("2001:db8::1/128"), Peers.API_SERVERS),
        PeerEntry(ip_network("fe80::/10"), Peers.LINK_LOCAL),
    )
    hosts, prefixes = peer_entries(merge_peers(entries))
    assert {key.hex() for key in hosts} == {"00000000000000000000ffffc0000201", "20010db8000000000000000000000001"}
    assert {(key[0], key[4:].hex()[:32]) for key in prefixes} == {
        (104, "00000000000000000000ffff0a000000"),
        (10, "fe80" + "0" * 28),
    }


@given(st.booleans(), st.lists(st.integers(0, 2), max_size=64))
def test_switches_come_back(enforcement: bool, modes: list[int]) -> None:
    read = decode_switches(encode_switches(Switches(enforcement, tuple(modes)), 4 + 4 * 64))
    assert (read.enforcement, read.modes[: len(modes)], sum(read.modes[len(modes) :])) == (enforcement, tuple(modes), 0)


@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)), min_size=1, max_size=8))
def test_cpus_are_summed_by_field(values: list[tuple[int, int]]) -> None:
    raw = b"".join(each.to_bytes(8, "little") for pair in values for each in pair)
    assert sum_cpus(raw, 16, 2) == (sum(each[0] for each in values), sum(each[1] for each in values))
