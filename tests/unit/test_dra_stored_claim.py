"""A claim as the API server stores it: our devices are replaced, and all else goes back to the byte."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from tests.unit import dra_fakes
from tests.unit.dra_fakes import Raw

from spillway_crds.errors import Transient
from spillway_dataplane.api.calls import ApiRefused
from spillway_dataplane.dra.claims import ClaimRef
from spillway_dataplane.dra.report import Condition, DeviceReport, Report
from spillway_dataplane.dra.reporter import ClaimReporter, put_back
from spillway_dataplane.dra.stored_claim import MAGIC, MESSAGES, uid_of_stored, with_devices

PARAMETERS = b'{"kind": "RingParameters",\n  "apiVersion": "b before a"}'
GPU = {"driver": "gpu.x.dev", "pool": "node-7", "device": "gpu0"}
OURS = {"driver": "tx-queue.spillway.dev", "pool": "node-7", "device": "eth1-tx1"}
REF = ClaimRef("studio", "own", "uid-1")
CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "message": "bound",
    "lastTransitionTime": "2026-11-30T19:00:00Z",
}
NETWORK = {"interfaceName": "eth1", "hardwareAddress": "02:00:00:00:00:01"}
DEVICE: Raw = {**OURS, "conditions": [CONDITION], "data": {"queue": 1, "bindMode": "Copy"}, "networkData": NETWORK}


def length_delimited(number: int, content: bytes) -> bytes:
    """One field of a message, as protobuf has it."""
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def stored(*devices: Raw, uid: str = "uid-1") -> bytes:
    """A claim with a spec and an allocation, of which our messages know nothing."""
    status = length_delimited(1, PARAMETERS) + MESSAGES["ResourceClaimStatus"](devices=devices).SerializeToString()
    claim = length_delimited(1, length_delimited(5, uid.encode())) + length_delimited(2, b"spec")
    claim += b"\x1a" + bytes([len(status) & 0x7F | 0x80, len(status) >> 7]) + status
    type_meta = length_delimited(1, b"v1")
    raw = b"\x12" + bytes([len(claim) & 0x7F | 0x80, len(claim) >> 7]) + claim
    return MAGIC + type_meta + raw + length_delimited(4, b"kind")


def opened(whole: bytes) -> tuple[bytes, list[Raw]]:
    envelope = MESSAGES["Unknown"].FromString(whole.removeprefix(MAGIC))
    claim = MESSAGES["ResourceClaim"].FromString(envelope.raw)
    devices = [{"driver": each.driver, "device": each.device, "data": each.data.raw} for each in claim.status.devices]
    return envelope.raw, devices


def test_ours_are_replaced_and_others_stay() -> None:
    raw, devices = opened(with_devices(stored(GPU, OURS), [DEVICE]))
    assert [(each["driver"], each["device"]) for each in devices] == [("gpu.x.dev", "gpu0"), (OURS["driver"], "eth1-tx1")]
    assert json.loads(devices[1]["data"]) == DEVICE["data"]
    (_, ours) = MESSAGES["ResourceClaim"].FromString(raw).status.devices
    assert (ours.networkData.interfaceName, ours.networkData.hardwareAddress) == tuple(NETWORK.values())
    assert (ours.conditions[0].type, ours.conditions[0].lastTransitionTime.seconds) == ("Ready", 1796065200)


def test_what_is_not_ours_goes_back_to_the_byte() -> None:
    whole = with_devices(stored(GPU, OURS), [DEVICE])
    for kept in (PARAMETERS, b"spec", length_delimited(1, b"v1"), length_delimited(4, b"kind"), b"gpu.x.dev"):
        assert kept in whole
    assert uid_of_stored(whole) == "uid-1"
    assert with_devices(whole, [DEVICE]) == whole


@pytest.mark.parametrize("text", [b"", b"{}", b"k8s\x00\xff\xff"], ids=["nothing", "JSON", "broken"])
def test_what_is_no_claim_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"protobuf|parsing"):
        with_devices(text, [])


# ---- on the way to the API ------------------------------------------------------------------------------------------------


@dataclass
class Strict:
    """An API server with one claim that no patch leaves as it is. It refuses `refuse` of the next replacements as outdated."""

    kept: bytes
    refuse: int = 0
    patches: int = 0
    puts: list[bytes] = field(default_factory=list)

    def get(self, path: str, **query: str | int) -> Raw:
        return {"metadata": {"uid": REF.uid}}

    def apply(self, path: str, body: Raw, *, manager: str) -> Raw:
        self.patches += 1
        raise ApiRefused(operation="PATCH", status=422, detail="status.allocation: field is immutable")

    def get_bytes(self, path: str, content_type: str) -> bytes:
        return self.kept

    def put_bytes(self, path: str, body: bytes, content_type: str, *, manager: str) -> None:
        if self.refuse:
            self.refuse -= 1
            raise ApiRefused(operation="PUT", status=409, detail="the object has been modified")
        self.puts.append(body)


def report(packets: int) -> Report:
    device = DeviceReport("node-7", "eth1-tx1", (Condition("Ready", True, "Ready", "bound"),), counts={"packets": packets})
    return Report(REF, (device,))


def test_a_claim_that_takes_no_patch_is_put_back_as_it_is_stored() -> None:
    """And is patched no more: that would be refused again each time. What was changed meanwhile is tried again."""
    api = Strict(stored(OURS), refuse=1)
    reporter = ClaimReporter(lambda: api, lambda: 1, lambda good: None)
    reporter.start()
    try:
        reporter.take([report(1)])
        dra_fakes.eventually(lambda: len(api.puts) == 1)
        reporter.take([report(2)])
        dra_fakes.eventually(lambda: len(api.puts) == 2)
    finally:
        reporter.stop(10)
    assert api.patches == 2  # the second one before the replacement that was refused was tried again
    assert [json.loads(opened(each)[1][0]["data"]) for each in api.puts] == [{"packets": 1}, {"packets": 2}]


def test_a_namesake_is_left_alone() -> None:
    api = Strict(stored(OURS, uid="uid-2"))
    with pytest.raises(ApiRefused, match="another claim has its name"):
        put_back(api, REF, [DEVICE])
    with pytest.raises(Transient, match="as it is stored"):
        put_back(Strict(b"{}"), REF, [DEVICE])
    assert api.puts == []
