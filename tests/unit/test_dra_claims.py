"""What a claim asks of the node, what its container gets, and what is written down: pure functions and files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from tests.unit.dra_fakes import NODE, PARAMETERS, Raw, claim

from spillway_crds.errors import Conflict, InvalidIntent, NotSupported, SpillwayError, Transient
from spillway_crds.grants import Grant
from spillway_crds.streams import BindMode
from spillway_dataplane.dra.cdi import device_id, encode_cdi
from spillway_dataplane.dra.checkpoint import Checkpoints, decode_record, encode_record
from spillway_dataplane.dra.claims import ClaimRecord, ClaimRef, read_claim
from spillway_dataplane.dra.grants import Grants
from spillway_dataplane.dra.report import CONNECT_S, dated, report_claim, report_failure
from spillway_dataplane.dra.report_wire import decode_conditions, encode_report
from spillway_dataplane.dra.surroundings import NOTHING_NEAR, PtpClock
from spillway_dataplane.stream.model import RingCounters, RingPeaks, RingStatus
from spillway_dataplane.way.state import RingState

REF = ClaimRef("studio", "cam", "uid-1")
GRANTS = Grants((Grant("eth1", frozenset({1, 2}), frozenset({"studio"})),))


def read(raw: Raw, grants: Grants = GRANTS) -> ClaimRecord:
    return read_claim(raw, REF, NODE, grants)


def changed(change: Callable[[Any], object]) -> Raw:
    raw = json.loads(json.dumps(claim()))
    change(raw)
    return raw


def devices(raw: Raw) -> Raw:
    found: Raw = raw["status"]["allocation"]["devices"]
    return found


def test_a_claim_says_all_that_the_node_has_to_know() -> None:
    record = read(claim())
    (ring,) = record.rings
    assert (ring.request, ring.mount, ring.interface, ring.queue) == ("ring", "ring", "eth1", 1)
    assert ring.parameters.flow.destination == ip_address("239.10.0.1")
    assert record.alias == "cam"


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        pytest.param(lambda raw: raw["metadata"].update(uid="uid-2"), Conflict, "uid-2 has its name", id="replaced"),
        pytest.param(lambda raw: raw["status"].clear(), Transient, f"no queue of node {NODE}", id="not allocated"),
        pytest.param(lambda raw: devices(raw)["results"][0].update(pool="node-8"), Transient, NODE, id="another node's"),
        pytest.param(lambda raw: devices(raw)["results"][0].update(driver="gpu.x.dev"), Transient, NODE, id="another driver's"),
        pytest.param(lambda raw: devices(raw)["results"][0].update(device="eth1-tx3"), InvalidIntent, "eth1-tx3", id="unlisted"),
        pytest.param(
            lambda raw: devices(raw)["results"][0].update(adminAccess=True), InvalidIntent, "one holder", id="admin access"
        ),
        pytest.param(lambda raw: devices(raw).update(config=[]), InvalidIntent, "no parameters of driver", id="no parameters"),
        pytest.param(
            lambda raw: devices(raw)["config"][0]["opaque"]["parameters"].update(colour="red"),
            InvalidIntent,
            "parameters.colour",
            id="unknown field",
        ),
        pytest.param(
            lambda raw: devices(raw)["config"][0]["opaque"]["parameters"].pop("flow"),
            InvalidIntent,
            "parameters.flow",
            id="no flow",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(change: Callable[[Any], object], kind: type[SpillwayError], said: str) -> None:
    with pytest.raises(kind) as refused:
        read(changed(change))
    assert said in str(refused.value)


def test_a_queue_of_another_namespace_is_refused_also_when_it_is_allocated() -> None:
    """The third place where grants are enforced: whoever got past admission and class ends here."""
    grants = Grants((Grant("eth1", frozenset({1}), frozenset({"lab"})),))
    with pytest.raises(InvalidIntent, match="queue 1 of eth1 is not granted to namespace studio"):
        read(claim(), grants)


def test_the_claim_s_own_parameters_come_after_its_class_s() -> None:
    own = devices(claim())["config"]
    of_class = [{"source": "FromClass", "opaque": {**own[0]["opaque"], "parameters": {**PARAMETERS, "bindMode": "Copy"}}}]
    assert read(claim(config=[*of_class, *own])).rings[0].parameters.bind_mode is BindMode.PREFER
    assert read(claim(config=of_class)).rings[0].parameters.bind_mode is BindMode.COPY


def test_parameters_of_another_request_or_driver_are_not_ours() -> None:
    ours = devices(claim())["config"]
    others = [
        {"requests": ["other"], "opaque": {"driver": "tx-queue.spillway.dev", "parameters": {"colour": "red"}}},
        {"requests": ["ring"], "opaque": {"driver": "gpu.x.dev", "parameters": {"colour": "red"}}},
    ]
    assert read(claim(config=[*ours, *others])) == read(claim())


def test_one_of_a_request_s_alternatives_counts_as_the_request() -> None:
    raw = changed(lambda raw: devices(raw)["results"][0].update(request="ring/fast"))
    assert read(raw).rings[0].request == "ring"


def two_rings() -> Raw:
    result = devices(claim())["results"][0]
    return claim(results=[result, {**result, "device": "eth1-tx2"}])


def test_two_devices_of_one_request_have_directories_of_their_own() -> None:
    record = read(two_rings())
    assert [(each.mount, each.queue) for each in record.rings] == [("ring", 1), ("ring_1", 2)]
    assert len({record.key(each) for each in record.rings}) == 2


# ---- CDI ------------------------------------------------------------------------------------------------------------------


def test_the_container_gets_the_directory_read_only_under_both_names() -> None:
    record = read(claim())
    spec = encode_cdi(record, Path("/var/lib/kubelet/plugins/tx-queue.spillway.dev/claims/uid-1"), NOTHING_NEAR.surroundings)
    (device,) = spec["devices"]
    edits = device["containerEdits"]
    assert f"{spec['kind']}={device['name']}" == device_id(record, record.rings[0])
    assert [each["containerPath"] for each in edits["mounts"]] == ["/run/spillway/ring", "/run/spillway/cam.ring"]
    assert {each["hostPath"].rpartition("claims/")[2] for each in edits["mounts"]} == {"uid-1/ring"}
    assert all({"ro", "nodev", "nosuid", "noexec"} <= set(each["options"]) for each in edits["mounts"])
    assert edits["env"] == [
        "SPILLWAY_RING=/run/spillway/ring/ring.sock",
        "SPILLWAY_RING_RING=/run/spillway/ring/ring.sock",
        "SPILLWAY_RING_CAM_RING=/run/spillway/cam.ring/ring.sock",
    ]


def test_a_claim_from_a_template_goes_by_the_pod_s_name_for_it() -> None:
    raw = changed(lambda raw: raw["metadata"].update(annotations={"resource.kubernetes.io/pod-claim-name": "tx"}))
    (device,) = encode_cdi(read(raw), Path("/x"), NOTHING_NEAR.surroundings)["devices"]
    assert device["containerEdits"]["mounts"][1]["containerPath"] == "/run/spillway/tx.ring"


def test_no_two_claims_of_a_pod_can_get_one_path() -> None:
    """Two streams have one request name each: `ring`. Their own paths differ, whatever the claims are called."""
    names = ["cam", "ring", "ring-1", "cam.ring", "ring.ring"]
    paths = [encode_cdi(replace(read(two_rings()), alias=name), Path("/x"), NOTHING_NEAR.surroundings) for name in names]
    own = [mount["containerPath"] for spec in paths for each in spec["devices"] for mount in each["containerEdits"]["mounts"][1:]]
    assert len(set(own)) == 2 * len(names)
    assert not set(own) & {"/run/spillway/ring", "/run/spillway/ring_1"}


# ---- files ----------------------------------------------------------------------------------------------------------------


def checkpoints(tmp_path: Path) -> Checkpoints:
    made = Checkpoints(tmp_path / "claims", tmp_path / "cdi", NOTHING_NEAR.surroundings)
    made.prepare()
    return made


def test_what_was_written_down_is_read_again(tmp_path: Path) -> None:
    record = replace(read(two_rings()), connected=True)
    assert decode_record(json.loads(json.dumps(encode_record(record)))) == record
    checkpoints(tmp_path).write(record)
    assert checkpoints(tmp_path).read_all() == (record,)


def test_a_removed_claim_leaves_nothing(tmp_path: Path) -> None:
    made, record = checkpoints(tmp_path), read(claim())
    (made.make_directory(record, record.rings[0]) / "page").write_bytes(b"x")
    made.write(record)
    made.remove("uid-1")
    made.remove("uid-1")
    assert [*(tmp_path / "claims").iterdir(), *(tmp_path / "cdi").iterdir()] == []


def test_what_a_crash_left_is_removed_and_other_people_s_files_stay(tmp_path: Path) -> None:
    made, record = checkpoints(tmp_path), read(claim())
    made.make_directory(record, record.rings[0])
    made.write_cdi(record)
    (tmp_path / "cdi" / "nvidia.json").write_text("{}")
    assert made.read_all() == ()
    assert [each.name for each in (tmp_path / "cdi").iterdir()] == ["nvidia.json"]
    assert list((tmp_path / "claims").iterdir()) == []


def test_a_checkpoint_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    """It may be a newer version's: its pod may run, and its directory is mounted there."""
    made, record = checkpoints(tmp_path), read(claim())
    directory = made.make_directory(record, record.rings[0])
    (tmp_path / "claims" / "uid-1.json").write_text('{"uid": "uid-1"}')
    assert made.read_all() == ()
    assert directory.is_dir()


def test_applications_of_any_user_reach_the_socket_s_directory(tmp_path: Path) -> None:
    made, record = checkpoints(tmp_path), read(claim())
    directory = made.make_directory(record, record.rings[0])
    assert {each.stat().st_mode & 0o777 for each in (directory, directory.parent)} == {0o755}


# ---- reports --------------------------------------------------------------------------------------------------------------


def status(**fields: Any) -> dict[str, RingStatus]:
    ring = RingStatus("uid-1/ring", "studio/cam", "eth1", 1, RingState.READY, bind_mode=BindMode.COPY, holder="pid 7")
    return {"uid-1/ring": replace(ring, **fields)}


def conditions(rings: dict[str, RingStatus], prepared_s: float = 0, **record: Any) -> dict[str, tuple[bool, str]]:
    (device,) = report_claim(replace(read(claim()), **record), rings, prepared_s).devices
    return {each.type: (each.met, each.reason) for each in device.conditions}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, (True, "Ready"), id="bound"),
        pytest.param({"state": RingState.UNRESOLVED, "reason": "who has 10.0.0.1"}, (False, "Unresolved"), id="no neighbour"),
        pytest.param({"state": RingState.GONE, "bind_mode": None}, (False, "Gone"), id="no interface"),
        pytest.param({"bind_mode": BindMode.ZERO_COPY}, (True, "Verifying"), id="zero copy, nothing completed"),
        pytest.param({"bind_mode": BindMode.ZERO_COPY, "completed": True}, (True, "Ready"), id="zero copy, proven"),
    ],
)
def test_ready_says_what_the_kernel_gave(fields: dict[str, Any], expected: tuple[bool, str]) -> None:
    assert conditions(status(**fields))["Ready"] == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, None, id="no video source"),
        pytest.param({"peaks": RingPeaks(clock=1)}, (True, "SystemClock"), id="the node's clock"),
        pytest.param({"peaks": RingPeaks(clock=3)}, (False, "NoTaiOffset"), id="TAI without its offset"),
        pytest.param({"peaks": RingPeaks(clock=99)}, None, id="nonsense in the report"),
        pytest.param({"peaks": RingPeaks(clock=1), "holder": ""}, None, id="the source has gone"),
    ],
)
def test_a_video_source_s_clock_is_told(fields: dict[str, Any], expected: tuple[bool, str] | None) -> None:
    assert conditions(status(**fields)).get("ClockSynchronized") == expected


PTP = RingPeaks(clock=2, ptp=1, clock_to_tai_ns=-250, clock_to_utc_ns=36_999_999_750)
IGB, KVM = PtpClock(0, 249, 0, "igb", hardware=True), PtpClock(1, 249, 1, "KVM virtual PTP")


@pytest.mark.parametrize(
    ("peaks", "clocks", "said"),
    [
        pytest.param(
            PTP, (IGB, KVM), "TAI as PTP does; /dev/ptp0 (igb) is 250 ns behind CLOCK_TAI and 37.000 s ahead", id="card's"
        ),
        pytest.param(PTP, (), "; /dev/ptp0 is 250 ns behind CLOCK_TAI", id="gone from sysfs"),
        pytest.param(
            replace(PTP, clock=7, ptp=2, clock_to_tai_ns=-37 * 10**9, clock_to_utc_ns=0),
            (KVM,),
            "/dev/ptp1 (KVM virtual PTP) is 37.000 s behind CLOCK_TAI and 0 ns ahead of CLOCK_REALTIME",
            id="UTC",
        ),
        pytest.param(RingPeaks(clock=5), (IGB, KVM), "this node has /dev/ptp0 (igb), /dev/ptp1 (KVM", id="none given of two"),
        pytest.param(RingPeaks(clock=5), (), "this node has none", id="none"),
        pytest.param(
            RingPeaks(clock=1, clock_to_utc_ns=37 * 10**9), (), "CLOCK_TAI is 37.000 s ahead of CLOCK_REALTIME", id="TAI"
        ),
    ],
)
def test_the_condition_says_which_clock_was_found_and_how_far_off_it_is(
    peaks: RingPeaks, clocks: tuple[PtpClock, ...], said: str
) -> None:
    report = report_claim(read(claim()), status(peaks=peaks), 0, clocks)
    (found,) = [
        each for each in encode_report(report)["status"]["devices"][0]["conditions"] if each["type"] == "ClockSynchronized"
    ]
    assert said in found["message"]


def test_a_clock_s_drift_is_no_pressing_news_and_its_loss_is() -> None:
    def report(peaks: RingPeaks) -> Any:
        return report_claim(read(claim()), status(peaks=peaks), 0)

    assert report(PTP) != report(replace(PTP, clock_to_tai_ns=7))
    assert report(PTP).pressing == report(replace(PTP, clock_to_tai_ns=7)).pressing
    assert report(PTP).pressing != report(replace(PTP, clock=5, ptp=0)).pressing


@pytest.mark.parametrize(
    ("peaks", "holder", "expected"),
    [
        pytest.param(RingPeaks(core=1, core_by=2), "pid 7", (0, "Chosen"), id="core 0"),
        pytest.param(RingPeaks(core=4, core_by=1), "pid 7", (3, "Given"), id="given"),
        pytest.param(RingPeaks(core=4, core_by=99), "pid 7", (3, None), id="nonsense in the report"),
        pytest.param(RingPeaks(core=4, core_by=1), "", (None, None), id="the source has gone"),
        pytest.param(RingPeaks(), "pid 7", (None, None), id="an application's"),
    ],
)
def test_a_source_s_core_is_told(peaks: RingPeaks, holder: str, expected: tuple[int | None, str | None]) -> None:
    (device,) = report_claim(read(claim()), status(peaks=peaks, holder=holder), 0).devices
    assert (device.facts.get("core"), device.facts.get("coreChosenBy")) == expected


def test_zero_copy_is_told_only_after_a_completed_frame() -> None:
    def mode(**fields: Any) -> object:
        (device,) = report_claim(read(claim()), status(**fields), 0).devices
        return device.facts.get("bindMode")

    assert mode(bind_mode=BindMode.COPY) == "Copy"
    assert mode(bind_mode=BindMode.ZERO_COPY) is None
    assert mode(bind_mode=BindMode.ZERO_COPY, completed=True) == "ZeroCopy"


def test_a_ring_that_is_not_open_yet_is_told_so() -> None:
    assert conditions({}) == {"Ready": (False, "Recovering")}


@pytest.mark.parametrize(
    ("holder", "connected", "prepared_s", "expected"),
    [
        pytest.param("pid 7", False, 0, (True, "Held"), id="held"),
        pytest.param("", False, CONNECT_S - 1, (False, "Awaited"), id="the container starts"),
        pytest.param("", False, CONNECT_S, (False, "NoConnection"), id="never connected"),
        pytest.param("", True, CONNECT_S, (False, "Released"), id="was connected"),
    ],
)
def test_connected_says_whether_the_container_found_its_socket(
    holder: str, connected: bool, prepared_s: float, expected: tuple[bool, str]
) -> None:
    assert conditions(status(holder=holder), prepared_s, connected=connected)["Connected"] == expected


def test_who_never_connected_is_told_of_enable_cdi() -> None:
    (device,) = report_claim(read(claim()), status(holder=""), CONNECT_S).devices
    (message,) = [each.message for each in device.conditions if each.type == "Connected"]
    assert "enable_cdi" in message
    assert "/run/spillway/ring/ring.sock" in message


def test_counters_are_no_pressing_news_and_a_next_hop_is() -> None:
    def report(**fields: Any) -> Any:
        return report_claim(read(claim()), status(**fields), 0)

    counted = report(counters=RingCounters(packets=5), packets_per_second=3.4)
    assert counted != report()
    assert counted.pressing == report().pressing
    assert report(next_hop_mac="02:00:00:00:00:09").pressing != report().pressing


def test_a_report_is_what_the_api_takes() -> None:
    fields = {"mac": "02:00:00:00:00:01", "counters": RingCounters(packets=5, bytes=500, late=1)}
    report = dated(report_claim(read(claim()), status(**fields), 0), {}, "2026-11-23T22:00:00Z")
    body = encode_report(report)
    assert body["metadata"] == {"name": "cam", "namespace": "studio", "uid": "uid-1"}
    (device,) = body["status"]["devices"]
    assert (device["driver"], device["pool"], device["device"]) == ("tx-queue.spillway.dev", NODE, "eth1-tx1")
    assert device["networkData"] == {"interfaceName": "eth1", "hardwareAddress": "02:00:00:00:00:01"}
    assert device["data"].items() >= {"bindMode": "Copy", "queue": 1, "packets": 5, "bytes": 500, "late": 1}.items()
    assert all(each.keys() == {"type", "status", "reason", "message", "lastTransitionTime"} for each in device["conditions"])
    assert len(json.dumps(device["data"])) < 10 * 1024


def test_a_condition_keeps_its_date_until_it_changes_also_over_a_restart() -> None:
    first = dated(report_claim(read(claim()), status(), 0), {}, "2026-11-23T22:00:00Z")
    remembered = decode_conditions(encode_report(first))
    later = dated(report_claim(read(claim()), status(state=RingState.LINK_DOWN), 0), remembered, "2026-11-23T23:00:00Z")
    dates = {each.type: each.since for each in later.devices[0].conditions}
    assert dates == {"Ready": "2026-11-23T23:00:00Z", "Connected": "2026-11-23T22:00:00Z"}


def test_a_failure_is_told_with_the_kind_of_error_as_its_reason() -> None:
    error = NotSupported(subject="eth1 queue 1", detail="zero copy: EOPNOTSUPP")
    (device,) = report_failure(REF, [(NODE, "eth1-tx1")], error).devices
    (condition,) = device.conditions
    assert (condition.type, condition.met, condition.reason) == ("Ready", False, "NotSupported")
    assert "EOPNOTSUPP" in condition.message
