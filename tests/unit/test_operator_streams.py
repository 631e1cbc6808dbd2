"""A stream's claim, status and Events, as pure functions of what is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.stream_objects import GRANTS, claim, offered, sights, stream

from spillway_crds.orders import Condition
from spillway_crds.schema.bypassstream_status import STATUS
from spillway_crds.validate import problems_of
from spillway_operator.streams.contest import Place, Stakes, settle
from spillway_operator.streams.events import notes_between
from spillway_operator.streams.plan import Step, plan_claim
from spillway_operator.streams.report import StreamReport, decode_stream_report, encode_stream_report
from spillway_operator.streams.status import Situation, plan_stream_report, without_counts
from spillway_operator.streams.wire import claim_body, is_about_queues, is_our_slice, says

NOW, LATER = "2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"
SLICES = (offered("n1", 1),)
CAM, RIVAL = stream("cam", age=5), stream("older", age=1)
AT = ("n1", "eth1-tx1")
DATA = {
    "interface": "eth1",
    "queue": 1,
    "bindMode": "Copy",
    "mac": "02:00:00:00:00:01",
    "nextHopMac": "02:00:00:00:00:02",
    "packets": 1000,
    "bytes": 1400000,
    "late": 3,
    "packetsPerSecond": 340000,
}


def said(status="True", reason="Ready", message="bound", **data):
    return {"conditions": [{"type": "Ready", "status": status, "reason": reason, "message": message}], "data": {**DATA, **data}}


def situation(raw=CAM, held=None, others=(), *, served=True, slices=SLICES, refusal="", now=NOW):
    (seen,) = sights(raw)
    found = sights(held)[0] if held else None
    offers = tuple(offer for each in sights(*slices) for offer in each.offers)
    place = settle(sights(raw, *others), Stakes(GRANTS, offers, (found,) if found else ())).get(seen.name)
    plan = plan_claim(seen, found, place, served=served)
    own = found if found is not None and found.owner_uid == seen.uid else None
    return seen, Situation(plan, place, own, refusal, now)


def planned(*args, **fields):
    _, given = situation(*args, **fields)
    obstacle = given.plan.obstacle
    return given.plan.step, obstacle.reason if obstacle else "", obstacle.message if obstacle else ""


def told(*args, **fields) -> StreamReport:
    return plan_stream_report(*situation(*args, **fields))


def ready(report: StreamReport) -> tuple[str, str]:
    found = report.condition("Ready")
    assert found is not None
    return found.status, found.reason


def changed_spec(**spec):
    return {**CAM, "spec": {**CAM["spec"], **spec}}


def going(raw):
    return {**raw, "metadata": {**raw["metadata"], "deletionTimestamp": NOW}}


def without_owner(raw):
    return {**raw, "metadata": {key: value for key, value in raw["metadata"].items() if key != "ownerReferences"}}


EARLIER = {**CAM, "metadata": {**CAM["metadata"], "uid": "an earlier one"}}


@pytest.mark.parametrize(
    ("given", "step", "reason", "words"),
    [
        pytest.param({}, Step.CREATE, "", "", id="none: made"),
        pytest.param({"held": claim(CAM)}, Step.KEEP, "", "", id="as it has to be"),
        pytest.param({"held": claim(CAM, device=AT, pods=("p",))}, Step.KEEP, "", "", id="held"),
        pytest.param({"held": claim(changed_spec(txQueue=2))}, Step.DELETE, "", "", id="of an earlier spec: replaced"),
        pytest.param({"held": claim(changed_spec(bindMode="Copy"))}, Step.DELETE, "", "", id="parameters of an earlier spec"),
        pytest.param(
            {"held": claim(changed_spec(txQueue=2), device=AT, pods=("p",))}, Step.KEEP, "ClaimInUse", "pod p", id="in use"
        ),
        pytest.param(
            {"held": claim(changed_spec(txQueue=2), device=AT)}, Step.KEEP, "ClaimInUse", "just ended", id="allocated still"
        ),
        pytest.param({"held": going(claim(CAM))}, Step.KEEP, "ClaimLeaving", "being deleted", id="being deleted"),
        pytest.param({"held": going(claim(CAM, device=AT, pods=("p",)))}, Step.KEEP, "ClaimInUse", "pod p", id="deleted, held"),
        pytest.param({"held": claim(EARLIER)}, Step.KEEP, "ClaimLeaving", "being deleted", id="an earlier stream's"),
        pytest.param({"held": without_owner(claim(CAM))}, Step.KEEP, "Conflict", "is not this stream's", id="a stranger's"),
        pytest.param({"others": (RIVAL,)}, Step.KEEP, "Conflict", "the older BypassStream studio/older", id="the older has it"),
        pytest.param(
            {"others": (RIVAL,), "held": claim(CAM)}, Step.DELETE, "Conflict", "studio/older", id="an older one wants it now"
        ),
        pytest.param(
            {"others": (RIVAL,), "held": claim(CAM, device=AT, pods=("p",))}, Step.KEEP, "", "", id="the younger has it already"
        ),
        pytest.param({"raw": stream(queue=3)}, Step.KEEP, "QueueNotGranted", "granted to it: 1, 2", id="not this queue"),
        pytest.param(
            {"raw": stream(namespace="other")},
            Step.KEEP,
            "QueueNotGranted",
            "none of eth1 (chart value streams.grants)",
            id="none",
        ),
        pytest.param({"served": False}, Step.KEEP, "NotSupported", "resource.k8s.io/v1", id="an old cluster"),
        pytest.param({"raw": stream(queue="none")}, Step.KEEP, "InvalidIntent", "spec.txQueue", id="no sense"),
    ],
)
def test_claim(given, step, reason, words):
    found = planned(**given)
    assert found[:2] == (step, reason)
    assert words in found[2]


def test_carrying_the_plan_out_leaves_nothing_to_do():
    """What is made is taken for what has to be, with whatever the API server fills in."""
    (seen,) = sights(CAM)
    body = claim_body(seen)
    assert says(claim(CAM)["spec"], body["spec"])
    assert body["metadata"]["name"] == "cam"
    (owner,) = body["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (seen.uid, True, False)


def test_a_claim_asks_for_its_namespaces_class_and_tells_the_node_all():
    spec = claim_body(sights(stream(queue="Any"))[0])["spec"]["devices"]
    (request,), (config,) = spec["requests"], spec["config"]
    assert request["exactly"]["deviceClassName"] == "studio.tx-queue.spillway.dev"
    assert request["exactly"]["selectors"] == [
        {"cel": {"expression": 'device.attributes["tx-queue.spillway.dev"].interface == "eth1"'}}
    ]
    assert (config["requests"], config["opaque"]["driver"]) == (["ring"], "tx-queue.spillway.dev")
    assert config["opaque"]["parameters"]["flow"]["destinationAddress"] == "10.0.0.9"
    (request,) = claim_body(sights(CAM)[0])["spec"]["devices"]["requests"]
    assert request["exactly"]["selectors"][0]["cel"]["expression"].endswith(".queue == 1")


def test_only_what_concerns_our_driver_is_remembered():
    other = {"spec": {"devices": {"requests": [{"exactly": {"deviceClassName": "gpu.example.com"}}]}}}
    first = {"spec": {"devices": {"requests": [{"firstAvailable": [{"deviceClassName": "studio.tx-queue.spillway.dev"}]}]}}}
    assert (is_about_queues(claim(CAM)), is_about_queues(first), is_about_queues(other)) == (True, True, False)
    assert is_about_queues({"spec": {}, "status": claim(CAM, device=AT)["status"]}), "allocated through whatever class"
    assert (is_our_slice(SLICES[0]), is_our_slice(offered("n1", 1, driver="gpu.example.com"))) == (True, False)


# ---- status ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({}, ("False", "Pending"), id="no claim yet"),
        pytest.param({"refusal": "exceeded quota"}, ("False", "ClaimRefused"), id="the API server refuses it"),
        pytest.param({"held": claim(CAM)}, ("False", "WaitingForPod"), id="no pod"),
        pytest.param({"held": claim(CAM), "slices": ()}, ("False", "QueueNotFound"), id="no node offers it"),
        pytest.param({"held": claim(CAM, device=AT, pods=("p",))}, ("False", "Preparing"), id="no word from the node"),
        pytest.param({"held": claim(CAM, device=AT, pods=("p",), said=said())}, ("True", "Ready"), id="ready"),
        pytest.param(
            {"held": claim(CAM, device=AT, pods=("p",), said=said("False", "LinkDown"))}, ("False", "LinkDown"), id="link down"
        ),
        pytest.param(
            {"held": claim(changed_spec(txQueue=2), device=AT, pods=("p",), said=said())},
            ("True", "Ready"),
            id="the old ring goes on",
        ),
        pytest.param({"held": without_owner(claim(CAM))}, ("False", "Conflict"), id="a stranger's claim"),
        pytest.param({"held": claim(EARLIER)}, ("False", "ClaimLeaving"), id="an earlier stream's claim"),
        pytest.param({"others": (RIVAL,)}, ("False", "Conflict"), id="the older has it"),
        pytest.param({"raw": stream(namespace="other")}, ("False", "QueueNotGranted"), id="not granted"),
        pytest.param({"served": False}, ("False", "NotSupported"), id="an old cluster"),
    ],
)
def test_ready(given, expected):
    assert ready(told(**given)) == expected


def test_a_socket_that_no_container_has_seen_is_named():
    word = said()
    word["conditions"].append({"type": "Connected", "status": "False", "reason": "NoConnection", "message": "enable_cdi"})
    report = told(held=claim(CAM, device=AT, pods=("p",), said=word))
    assert ready(report) == ("False", "NoConnection")
    assert "enable_cdi" in report.condition("Ready").message


def test_the_ring_is_what_the_node_says_it_is():
    report = told(held=claim(CAM, device=AT, pods=("p",), said=said()))
    assert (report.node, report.interface, report.queue, report.bind_mode, report.claim) == ("n1", "eth1", 1, "Copy", "cam")
    assert (report.packets, report.bytes, report.late_packets, report.packets_per_second) == (1000, 1400000, 3, 340000)
    assert (report.mac_address, report.next_hop_mac_address) == ("02:00:00:00:00:01", "02:00:00:00:00:02")


TWICE = stream(
    "twice",
    source={
        "video": {
            "widthPixels": 640, "heightPixels": 360, "exactFrameRate": "25", "pattern": "Ramp",
            "legs": [{"interface": "eth1", "flow": {"destinationAddress": "10.0.0.9", "destinationPort": 5006}}],
        }
    },
)  # fmt: skip


def both_legs(first, second):
    """The claim of a stream that goes out twice, and what its node says of each path; None: nothing yet."""
    held = claim(TWICE, device=AT, pods=("p",))
    places = [{"driver": "tx-queue.spillway.dev", "pool": "n1", "device": f"eth1-tx{queue}"} for queue in (1, 2)]
    results = [{"request": name, **place} for name, place in zip(("ring", "leg"), places, strict=True)]
    held["status"]["allocation"] = {"devices": {"results": results}}
    words = zip(places, (first, second), strict=True)
    held["status"]["devices"] = [{**place, **word} for place, word in words if word is not None]
    return held


def test_each_leg_has_its_counts_and_the_stream_has_all():
    report = told(TWICE, both_legs(said(), said(queue=2, packets=900, bytes=1260000, late=1, packetsPerSecond=5)))
    assert (report.queue, report.packets, report.bytes, report.late_packets) == (1, 1900, 2660000, 4)
    assert report.packets_per_second == 340005
    assert [(each.queue, each.packets, each.late_packets) for each in report.legs] == [(1, 1000, 3), (2, 900, 1)]
    wire = encode_stream_report(report)
    assert problems_of(STATUS, wire, "status") == ()
    assert decode_stream_report(wire) == report
    later = told(TWICE, both_legs(said(), said(queue=2, packets=901)))
    assert without_counts(later) == without_counts(report)
    assert without_counts(told(TWICE, both_legs(said(), said(queue=2, bindMode="ZeroCopy")))) != without_counts(report)


def test_a_leg_that_is_not_told_of_yet_is_left_out():
    report = told(TWICE, both_legs(said(), None))
    assert ([each.queue for each in report.legs], report.packets) == ([1], 1000)


def test_a_stream_that_goes_out_once_has_no_legs():
    assert told(held=claim(CAM, device=AT, pods=("p",), said=said())).legs == ()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param({}, (None, ""), id="an application's"),
        pytest.param({"core": 0, "coreChosenBy": "Chosen"}, (0, "Chosen"), id="core 0"),
        pytest.param({"core": -3, "coreChosenBy": 7}, (0, ""), id="nonsense"),
    ],
)
def test_the_core_is_what_the_source_told_the_node(data, expected):
    report = told(held=claim(CAM, device=AT, pods=("p",), said=said(**data)))
    assert (report.core, report.core_chosen_by) == expected
    assert decode_stream_report(encode_stream_report(report)) == report


def test_a_node_that_talks_nonsense_breaks_nothing():
    report = told(held=claim(CAM, device=AT, pods=("p",), said=said(packets="many", late=-1, bindMode=7, queue=True)))
    assert (report.packets, report.late_packets, report.bind_mode, report.queue) == (0, 0, "", 0)
    long = dict.fromkeys(("interface", "bindMode", "mac", "nextHopMac", "coreChosenBy"), "x" * 5000)
    word = said(reason="R" * 5000, message="m" * 50_000, packets=2**70, queue=2**40, core=2**40, **long)
    endless = told(held=claim(CAM, device=AT, pods=("p",), said=word))
    assert problems_of(STATUS, encode_stream_report(endless), "status") == ()


def test_while_an_earlier_ring_goes_on_the_claim_is_not_the_present_ones():
    report = told(held=claim(changed_spec(txQueue=2), device=AT, pods=("p",), said=said()))
    assert (report.claim, report.queue) == ("", 1)
    progressing = report.condition("Progressing")
    assert (progressing.status, progressing.reason) == ("True", "ClaimInUse")
    assert "pod p holds it" in progressing.message


@pytest.mark.parametrize(
    "held", [None, claim(CAM), claim(CAM, device=AT, pods=("p",), said=said())], ids=["none", "free", "held"]
)
def test_what_is_written_fits_the_crd_and_reads_back(held):
    report = told(held=held)
    wire = encode_stream_report(report)
    assert problems_of(STATUS, wire, "status") == ()
    assert decode_stream_report(wire) == report
    assert decode_stream_report(None) == StreamReport()


def test_a_conditions_time_changes_only_with_its_status():
    seen, given = situation(held=claim(CAM))
    first = plan_stream_report(seen, given)
    again = plan_stream_report(replace(seen, report=first), replace(given, now=LATER))
    assert again == first
    _, better = situation(held=claim(CAM, device=AT, pods=("p",), said=said()), now=LATER)
    turned = plan_stream_report(replace(seen, report=first), better)
    assert (turned.condition("Ready").changed, turned.condition("Progressing").changed) == (LATER, NOW)


# ---- Events ---------------------------------------------------------------------------------------------------------------

WAITS = told(held=claim(CAM))
RUNS = told(held=claim(CAM, device=AT, pods=("p",), said=said()))
DOWN = told(held=claim(CAM, device=AT, pods=("p",), said=said("False", "LinkDown", "no carrier")))
BLOCKED = told(others=(RIVAL,))


def condition(report, kind, status, reason):
    others = tuple(each for each in report.conditions if each.type != kind)
    return replace(report, conditions=(*others, Condition(kind, status, reason, "said")))


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        pytest.param(StreamReport(), WAITS, [], id="waiting for its first pod is nothing to tell"),
        pytest.param(StreamReport(), BLOCKED, ["Conflict"], id="somebody has to act"),
        pytest.param(BLOCKED, BLOCKED, [], id="once"),
        pytest.param(WAITS, RUNS, ["Ready"], id="it runs"),
        pytest.param(RUNS, DOWN, ["LinkDown"], id="it stops"),
        pytest.param(DOWN, RUNS, ["Ready"], id="it runs again"),
        pytest.param(RUNS, replace(RUNS, packets=2000), [], id="counts"),
        pytest.param(RUNS, replace(RUNS, bind_mode="ZeroCopy"), ["ModeChanged"], id="mode"),
        pytest.param(WAITS, replace(RUNS, bind_mode="ZeroCopy"), ["Ready"], id="the first mode is no change"),
        pytest.param(RUNS, replace(RUNS, next_hop_mac_address="02:00:00:00:00:09"), ["NextHopChanged"], id="next hop"),
        pytest.param(
            RUNS, replace(RUNS, node="n2", next_hop_mac_address="02:00:00:00:00:09"), [], id="another node has another next hop"
        ),
        pytest.param(RUNS, condition(RUNS, "Progressing", "True", "ClaimInUse"), ["ClaimInUse"], id="a change waits"),
    ],
)
def test_events(before, after, reasons):
    assert [note.reason for note in notes_between(before, after)] == reasons


def test_counts_are_no_state():
    assert without_counts(replace(RUNS, packets=7, packets_per_second=9)) == without_counts(RUNS)
    assert without_counts(DOWN) != without_counts(RUNS)


def test_a_long_list_of_holders_is_cut():
    """What is told fits in a condition whatever there is."""
    many = tuple(f"pod-{index}" for index in range(500))
    report = told(held=claim(changed_spec(txQueue=2), device=AT, pods=many, said=said()))
    assert "and 497 more" in report.condition("Progressing").message
    assert isinstance(situation()[1].place, Place)
