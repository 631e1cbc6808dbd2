"""What is offered and written, decided from values: grants, devices, slices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway_crds.errors import InvalidIntent
from spillway_crds.grants import Grant
from spillway_dataplane.dra.devices import Card, QueueDevice, device_name, encode_device, plan_offer
from spillway_dataplane.dra.grants import Grants, decode_config
from spillway_dataplane.dra.offering import GONE_S, Offering
from spillway_dataplane.dra.slices import DeleteSlice, WriteSlice, encode_slice, plan_slices, slice_name

CARD = Card("eth1", tx_queues=4, driver="igb", speed_mbps=1000, mac="02:00:00:00:00:01")
GRANTS = Grants((Grant("eth1", frozenset({1, 2}), frozenset({"studio"})),))


def offered(grants: Grants = GRANTS, **cards: Card) -> tuple[str, ...]:
    return tuple(each.name for each in plan_offer(grants, cards).devices)


@pytest.mark.parametrize(
    ("card", "expected", "reason"),
    [
        pytest.param(CARD, ("eth1-tx1", "eth1-tx2"), "", id="ready"),
        pytest.param(replace(CARD, native=False), (), "no XDP program runs in its driver", id="no native program"),
        pytest.param(replace(CARD, up=False), (), "the interface is down", id="down"),
        pytest.param(replace(CARD, tx_queues=2), ("eth1-tx1",), "the interface has 2 transmit queues", id="queue not there"),
    ],
)
def test_only_queues_that_can_be_bound_without_harm_are_offered(card: Card, expected: tuple[str, ...], reason: str) -> None:
    offer = plan_offer(GRANTS, {"eth1": card})
    assert tuple(each.name for each in offer.devices) == expected
    assert all(reason in each for each in offer.withheld)
    assert bool(offer.withheld) == bool(reason)


def test_a_card_that_nobody_granted_and_a_grant_without_a_card_offer_nothing() -> None:
    assert offered(eth0=replace(CARD, name="eth0")) == ()
    assert plan_offer(GRANTS, {}).withheld == ()


def test_every_device_has_every_attribute() -> None:
    bare = encode_device(QueueDevice("eth1-tx1", 1, Card("eth1")))
    full = encode_device(QueueDevice("eth1-tx1", 1, replace(CARD, zero_copy=frozenset({1}), numa_node=1)))
    named = {"interface", "driver", "queue", "speed", "mtu", "zeroCopy", "numaNode", "mac"}
    assert bare["attributes"].keys() == full["attributes"].keys() == named
    assert full["attributes"]["speed"] == {"int": 1000}
    assert full["attributes"]["queue"] == {"int": 1}
    assert full["attributes"]["zeroCopy"] == {"bool": True}


def test_zero_copy_is_a_word_about_one_queue() -> None:
    """Of a card that can, each queue that receives something for others cannot."""
    offer = plan_offer(GRANTS, {"eth1": replace(CARD, zero_copy=frozenset({2}))})
    assert [encode_device(each)["attributes"]["zeroCopy"]["bool"] for each in offer.devices] == [False, True]


@pytest.mark.parametrize(
    ("interface", "expected"),
    [("eth1", "eth1-tx3"), ("enp1s0f0.100", "enp1s0f0-100-tx3"), ("Eth_1", "eth-1-tx3"), ("_", "x-tx3")],
)
def test_a_device_is_a_dns_label(interface: str, expected: str) -> None:
    assert device_name(interface, 3) == expected


def test_of_two_queues_with_one_name_the_first_is_offered() -> None:
    grants = Grants(tuple(Grant(name, frozenset({1}), frozenset({"studio"})) for name in ("eth-1", "eth.1")))
    cards = {name: replace(CARD, name=name) for name in ("eth-1", "eth.1")}
    assert [each.card.name for each in plan_offer(grants, cards).devices] == ["eth-1"]


@pytest.mark.parametrize(
    ("namespace", "interface", "queue", "allowed"),
    [
        ("studio", "eth1", 1, True),
        ("studio", "eth1", 3, False),
        ("studio", "eth0", 1, False),
        ("lab", "eth1", 1, False),
    ],
)
def test_a_grant_names_namespace_interface_and_queue(namespace: str, interface: str, queue: int, allowed: bool) -> None:
    assert GRANTS.allows(namespace, interface, queue) is allowed


def test_grants_are_read_as_the_chart_writes_them() -> None:
    text = '{"grants": [{"interface": "eth1", "queues": [1, 2], "namespaces": ["studio"]}], "reportSeconds": 30}'
    assert decode_config(text) == replace(GRANTS, report_seconds=30)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{", "streams.json"),
        ("[]", "streams.json"),
        ("{}", "streams.json.grants"),
        ('{"grants": [{"interface": "eth1", "queues": [1]}]}', "streams.json.grants[0].namespaces"),
        ('{"grants": [{"interface": "a/b", "queues": [1], "namespaces": ["x"]}]}', "streams.json.grants[0].interface"),
        ('{"grants": [{"interface": "eth1", "queues": [-1], "namespaces": ["x"]}]}', "streams.json.grants[0].queues[0]"),
        ('{"grants": [], "grant": []}', "streams.json.grant"),
    ],
)
def test_what_is_wrong_with_grants_is_said_with_its_path(text: str, path: str) -> None:
    with pytest.raises(InvalidIntent) as refused:
        decode_config(text)
    assert path in [each.path for each in refused.value.problems]


# ---- slices ---------------------------------------------------------------------------------------------------------------


def devices(count: int) -> tuple[QueueDevice, ...]:
    return tuple(QueueDevice(f"eth1-tx{queue}", queue, CARD) for queue in range(count))


def carried_out(found: dict[str, dict[str, object]], count: int, node: str = "node-7") -> dict[str, dict[str, object]]:
    after = dict(found)
    for action in plan_slices(node, devices(count), found):
        if isinstance(action, WriteSlice):
            after[action.name] = {"spec": action.spec}
        else:
            del after[action.name]
    return after


@given(st.lists(st.sampled_from([0, 1, 127, 128, 129, 300]), min_size=1, max_size=4))
def test_carrying_a_plan_out_leaves_nothing_to_do(counts: list[int]) -> None:
    """Whatever was offered before: one generation, as many slices as they say, every device once, at most 128 in each."""
    found: dict[str, dict[str, object]] = {}
    for count in counts:
        found = carried_out(found, count)
        assert plan_slices("node-7", devices(count), found) == ()
        specs = [each["spec"] for each in found.values()]
        assert all(len(spec["devices"]) <= 128 for spec in specs)  # type: ignore[index]
        assert sorted(device["name"] for spec in specs for device in spec["devices"]) == sorted(  # type: ignore[index]
            each.name for each in devices(count)
        )
        assert len({spec["pool"]["generation"] for spec in specs}) == min(1, len(specs))  # type: ignore[index]
        assert {spec["pool"]["resourceSliceCount"] for spec in specs} <= {len(specs)}  # type: ignore[index]


def test_a_change_in_one_slice_raises_the_generation_of_all() -> None:
    found = carried_out({}, 129)
    actions = plan_slices("node-7", devices(128), found)
    write, delete = actions
    assert isinstance(write, WriteSlice)
    assert write.spec["pool"] == {"name": "node-7", "generation": 2, "resourceSliceCount": 1}
    assert delete == DeleteSlice(slice_name("node-7", 1))


def test_a_wiped_pool_is_written_again() -> None:
    assert len(plan_slices("node-7", devices(3), {})) == 1


def test_a_slice_that_somebody_edited_is_put_right() -> None:
    found = carried_out({}, 2)
    (name,) = found
    found[name]["spec"]["devices"].pop()  # type: ignore[index]
    (action,) = plan_slices("node-7", devices(2), found)
    assert isinstance(action, WriteSlice)
    assert [each["name"] for each in action.spec["devices"]] == ["eth1-tx0", "eth1-tx1"]


def test_fields_that_a_newer_server_fills_in_are_no_change() -> None:
    found = carried_out({}, 1)
    (raw,) = found.values()
    raw["spec"] = {**raw["spec"], "allNodes": False, "devices": [{**raw["spec"]["devices"][0], "taints": []}]}  # type: ignore[dict-item,index]
    assert plan_slices("node-7", devices(1), found) == ()


def test_the_node_owns_its_slices() -> None:
    (action,) = plan_slices("node-7", devices(1), {})
    assert isinstance(action, WriteSlice)
    body = encode_slice(action, "node-7", "node-uid")
    (owner,) = body["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Node", "node-7", "node-uid")


def test_long_node_names_give_short_names_that_differ() -> None:
    names = {slice_name(letter * 250, 0) for letter in "ab"} | {slice_name("a" * 249 + "c", 0)}
    assert len(names) == 3
    assert all(len(each) <= 253 for each in names)


# ---- looking again and again ----------------------------------------------------------------------------------------------


class Looking:
    """An Offering with a card that can go away."""

    def __init__(self, path: Path) -> None:
        self.config = path / "streams.json"
        self.grant([1])
        self.cards = {"eth1": CARD}
        self.published: list[tuple[str, ...]] = []
        self.offering = Offering(self.config, lambda names: self.cards, self.publish)

    def grant(self, queues: list[int]) -> None:
        grants = [{"interface": "eth1", "queues": queues, "namespaces": ["studio"]}] if queues else []
        self.config.write_text(str({"grants": grants}).replace("'", '"'))

    def publish(self, devices: tuple[QueueDevice, ...]) -> None:
        self.published.append(tuple(each.name for each in devices))

    def look(self, now: float) -> tuple[str, ...]:
        self.offering.look(now)
        return self.published[-1]


def test_a_queue_that_is_away_for_a_moment_stays_offered(tmp_path: Path) -> None:
    looking = Looking(tmp_path)
    assert looking.look(0) == ("eth1-tx1",)
    looking.cards = {"eth1": replace(CARD, native=False)}
    assert looking.look(GONE_S - 1) == ("eth1-tx1",)
    assert looking.look(GONE_S) == ()
    looking.cards = {"eth1": CARD}
    assert looking.look(GONE_S + 1) == ("eth1-tx1",)


def test_a_withdrawn_grant_is_obeyed_at_once(tmp_path: Path) -> None:
    looking = Looking(tmp_path)
    assert looking.look(0) == ("eth1-tx1",)
    looking.grant([])
    assert looking.look(1) == ()


@pytest.mark.parametrize("text", [None, "", "{"], ids=["missing", "empty", "damaged"])
def test_grants_that_cannot_be_read_change_nothing(tmp_path: Path, text: str | None) -> None:
    looking = Looking(tmp_path)
    assert looking.look(0) == ("eth1-tx1",)
    looking.config.unlink() if text is None else looking.config.write_text(text)
    assert looking.look(1) == ("eth1-tx1",)


def test_nothing_is_published_before_grants_were_read(tmp_path: Path) -> None:
    """An empty offer would delete the slices."""
    looking = Looking(tmp_path)
    looking.config.unlink()
    looking.offering.look(0)
    assert looking.published == []
