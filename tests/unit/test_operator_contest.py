"""Who may have which transmit queue: the older, never less than what can be had, and never what somebody has."""

from __future__ import annotations

import itertools
import random

import pytest
from tests.unit.stream_objects import GRANTS, bare_claim, claim, offered, sights, stream

from spillway_crds.grants import Grant
from spillway_operator.streams.contest import NOBODY, Stakes, rivals_of_all, settle
from spillway_operator.streams.sights import Device

OLD, YOUNG = stream("old", age=1), stream("young", age=2)
ONE, BOTH = (offered("n1", 1),), (offered("n1", 1, 2),)


def stakes(slices=BOTH, claims=(), grants=GRANTS, labels=None):
    offers = tuple(offer for each in sights(*slices) for offer in each.offers)
    return Stakes(grants, offers, sights(*claims), labels)


def places(*streams, **fields):
    return settle(sights(*streams), stakes(**fields))


def had(found):
    return {name.partition("/")[2]: place.device.name if place.device else None for name, place in found.items()}


def test_the_older_has_the_queue_and_the_younger_is_told_who():
    found = places(YOUNG, OLD)
    assert had(found) == {"old": "eth1-tx1", "young": None}
    (rival,) = found["studio/young"].rivals
    assert (rival.kind, rival.name, rival.queue, rival.allocated, rival.pods) == ("BypassStream", "studio/old", 1, False, ())


def test_another_node_with_that_queue_is_room_for_both():
    found = places(YOUNG, OLD, slices=(offered("n1", 1), offered("n2", 1)))
    assert {place.device.node for place in found.values()} == {"n1", "n2"}


def test_who_takes_any_makes_room_for_who_needs_one():
    """The older says Any: it may have either queue, so the younger that needs queue 1 gets it."""
    found = places(stream("old", "Any", age=1), YOUNG)
    assert had(found) == {"old": "eth1-tx2", "young": "eth1-tx1"}


BARS = {"video": {"widthPixels": 1920, "heightPixels": 1080, "exactFrameRate": "25", "pattern": "ColorBars"}}
TWO = {"slices": (offered("n1", 1), offered("n2", 1)), "labels": {"n1": {"host": "n1"}, "n2": {"host": "n2"}}}


def source(name, host, age):
    return stream(name, source=BARS, nodeSelector={"matchLabels": {"host": host}}, age=age)


def test_a_source_contends_for_queues_of_the_nodes_that_it_may_run_on():
    """Its rival is who has the queue there, and the free one elsewhere is nobody's but who comes next."""
    held = claim(OLD, device=("n1", "eth1-tx1"), pods=("sender",))
    found = places(OLD, source("bound", "n1", 2), stream("next", age=3), claims=(held,), **TWO)
    assert [(each.name, each.device.node) for each in found["studio/bound"].rivals] == [("studio/old", "n1")]
    assert (found["studio/bound"].device, found["studio/next"].device.node) == (None, "n2")


def test_a_source_that_no_node_suits_is_in_nobodys_way():
    """Nor is anybody in its: it is no conflict, its pod waits in the scheduler's words."""
    held = claim(OLD, device=("n1", "eth1-tx1"), pods=("sender",))
    found = places(OLD, source("nowhere", "n3", 2), stream("next", age=3), claims=(held,), **TWO)
    assert found["studio/nowhere"].rivals == ()
    assert found["studio/nowhere"].device is not None
    assert found["studio/next"].device.node == "n2"


def test_where_a_source_may_run_is_not_guessed_before_all_nodes_are_known():
    held = claim(OLD, device=("n1", "eth1-tx1"), pods=("sender",))
    found = places(OLD, source("bound", "n1", 2), claims=(held,), slices=TWO["slices"])
    assert found["studio/bound"].device.node == "n2"


def test_what_a_claim_has_stays_its_own():
    held = claim(YOUNG, device=("n1", "eth1-tx1"), pods=("sender",))
    found = places(OLD, YOUNG, claims=(held,), slices=BOTH)
    assert had(found) == {"old": None, "young": "eth1-tx1"}
    (rival,) = found["studio/old"].rivals
    assert (rival.name, rival.allocated, rival.pods) == ("studio/young", True, ("sender",))


def test_a_claim_written_by_hand_counts_once_it_has_a_queue():
    assert had(places(OLD, claims=(bare_claim("news", "own"),), slices=ONE)) == {"old": "eth1-tx1"}
    taken = places(OLD, claims=(bare_claim("news", "own", device=("n1", "eth1-tx1")),), slices=ONE)
    assert had(taken) == {"old": None}
    assert [(each.kind, each.name) for each in taken["studio/old"].rivals] == [("ResourceClaim", "news/own")]


def test_queues_that_no_node_offers_now_are_contested_all_the_same():
    """Kubelet wipes slices when it starts: that must not give one queue to two."""
    found = places(OLD, YOUNG, slices=())
    assert had(found) == {"old": "eth1-tx1", "young": None}
    assert found["studio/old"].device.node == NOBODY
    assert not found["studio/old"].offered


def test_a_queue_in_use_stays_in_use_while_its_slice_is_away():
    said = {"data": {"interface": "eth1", "queue": 1}}
    held = claim(OLD, device=("n1", "eth1-tx1"), pods=("sender",), said=said)
    found = places(OLD, YOUNG, claims=(held,), slices=())
    assert had(found) == {"old": "eth1-tx1", "young": None}


@pytest.mark.parametrize("lie", [{"queue": "1"}, {"queue": None}, {"queue": [1]}, {"interface": 7, "queue": 1}, {}])
def test_a_node_that_lies_about_a_place_disturbs_nobody_else(lie):
    """Whoever may write one claim's status must not end the planning of all streams."""
    held = claim(OLD, device=("n1", "eth1-tx1"), pods=("sender",), said={"data": {"interface": "eth1", "queue": 1, **lie}})
    found = places(OLD, YOUNG, stream("other", 2, age=3), slices=(), claims=(held,))
    assert found["studio/other"].device is not None


@pytest.mark.parametrize(
    ("wish", "granted"),
    [
        pytest.param(stream(interface="eth7"), frozenset(), id="another interface"),
        pytest.param(stream(namespace="other"), frozenset(), id="another namespace"),
        pytest.param(stream(queue=3), frozenset({1, 2}), id="another queue"),
    ],
)
def test_what_is_not_granted_has_no_candidates(wish, granted):
    (place,) = places(wish, slices=(offered("n1", 1, 2, 3),)).values()
    assert (place.candidates, place.device, place.granted) == ((), None, granted)


PICTURE = {"widthPixels": 64, "heightPixels": 32, "exactFrameRate": "25", "pattern": "ColorBars"}


def twice(name, queue, leg_queue, **fields):
    """A stream that goes out twice, both times by eth1."""
    flow = {"destinationAddress": "10.0.0.10", "destinationPort": 5004}
    legs = [{"interface": "eth1", "txQueue": leg_queue, "flow": flow}]
    return stream(name, queue, source={"video": {**PICTURE, "legs": legs}}, **fields)


def test_a_stream_that_goes_out_twice_needs_both_queues():
    found = places(twice("pair", 1, 2, age=1), YOUNG, stream("other", 2, age=3))
    assert had(found) == {"pair": "eth1-tx1", "young": None, "other": None}
    assert {rival.name for place in found.values() for rival in place.rivals} == {"studio/pair"}


def test_a_stream_that_cannot_have_both_takes_neither():
    """Else it would keep from others what is of no use to it."""
    found = places(OLD, twice("pair", 2, 1, age=2), stream("other", 2, age=3))
    assert had(found) == {"old": "eth1-tx1", "pair": None, "other": "eth1-tx2"}
    assert (found["studio/pair"].interface, found["studio/pair"].queue) == ("eth1", 1), "the wish that failed is told"


def test_a_stream_that_cannot_be_read_takes_part_in_nothing():
    assert places(stream(queue="none"), YOUNG)["studio/young"].device == Device("n1", "eth1-tx1")


@pytest.mark.parametrize("seed", range(30))
def test_as_many_as_can_be_and_the_oldest_of_them(seed):
    """Against trying everything: a younger one is turned away only if the older ones leave no queue, however they are spread."""
    chance = random.Random(seed)
    grants = (Grant("eth1", frozenset({1, 2, 3}), frozenset({"studio"})),)
    wishes = [stream(f"s{index}", chance.choice([1, 2, 3, "Any"]), age=index) for index in range(5)]
    slices = [offered(f"n{index}", *chance.sample([1, 2, 3], chance.randint(1, 2))) for index in range(2)]
    shuffled = chance.sample(wishes, len(wishes))
    found = places(*shuffled, slices=slices, grants=grants)
    devices = {(each.device, each.queue) for each in stakes(slices).offers}
    free = {(Device(NOBODY, f"eth1-tx{queue}"), queue) for queue in {1, 2, 3} - {queue for _, queue in devices}}
    served: list[object] = []
    for wish in wishes:
        served += [wish["spec"]["txQueue"]] if _fits([*served, wish["spec"]["txQueue"]], devices | free) else []
        assert (found[f"studio/{wish['metadata']['name']}"].device is not None) == _fits_last(served, wish, wishes, found)
    given = [place.device for place in found.values() if place.device is not None]
    assert len(given) == len(set(given)) == len(served)


def _fits(asked, devices):
    if len(asked) > len(devices):
        return False
    return any(
        all(want in ("Any", queue) for want, (_, queue) in zip(asked, chosen, strict=True))
        for chosen in itertools.permutations(devices, len(asked))
    )


def _fits_last(served, wish, wishes, found):
    """Whether the reference has just served this wish: as many as it served so far have a place so far."""
    upto = wishes[: wishes.index(wish) + 1]
    placed = [each for each in upto if found[f"studio/{each['metadata']['name']}"].device is not None]
    return len(placed) == len(served) and placed[-1:] == [wish]


def test_many_streams_for_any_queue():
    """Long chains of who makes room for whom."""
    grants = (Grant("eth1", frozenset(range(20)), frozenset({"studio"})),)
    slices = [offered(f"n{index}", *range(20)) for index in range(10)]
    wishes = [stream(f"s{index:03}", "Any", age=index % 60) for index in range(210)]
    found = places(*wishes, slices=slices, grants=grants)
    assert sum(place.device is not None for place in found.values()) == 200


def test_who_has_all_that_a_claim_could_use():
    """Nobody is named while one is free; selectors narrow it."""
    held = [bare_claim("news", f"c{queue}", device=("n1", f"eth1-tx{queue}"), pods=(f"p{queue}",)) for queue in (1, 2)]
    assert rivals_of_all(stakes(claims=held[:1]), "studio", None, None) == ()
    assert rivals_of_all(stakes(claims=held[:1]), "studio", "eth1", 2) == ()
    assert [each.pods for each in rivals_of_all(stakes(claims=held[:1]), "studio", "eth1", 1)] == [("p1",)]
    assert [each.queue for each in rivals_of_all(stakes(claims=held), "studio", None, None)] == [1, 2]
    assert rivals_of_all(stakes(slices=(), claims=()), "studio", None, None) == ()
