"""`spillway sdp`: from the status, or made. The API here is a dict."""

from __future__ import annotations

import json
from fractions import Fraction
from ipaddress import ip_address
from typing import Any

import pytest

from spillway_crds.sdp import LegFacts, SessionFacts, session_facts
from spillway_crds.streams import BypassStream, Flow, RingParameters, StreamSpec, VideoSource
from spillway_dataplane.api.calls import ApiRefused
from spillway_dataplane.cli import sdp
from spillway_dataplane.cli.console import JSON, TEXT, Say
from spillway_dataplane.cli.exits import CommandError, Exit

STREAM = "/apis/spillway.dev/v1alpha1/namespaces/studio/bypassstreams/cam"
CLAIM = "/apis/resource.k8s.io/v1/namespaces/studio/resourceclaims/cam"
FLOW = {"destinationAddress": "239.10.0.1", "destinationPort": 5004}
APPLICATION = {
    "apiVersion": "spillway.dev/v1alpha1",
    "kind": "BypassStream",
    "metadata": {"namespace": "studio", "name": "cam"},
    "spec": {"interface": "eth1", "source": {"application": {}}, "flow": FLOW},
}


def device(name: str = "eth1-tx1", **changes: Any) -> dict[str, Any]:
    data = {"interface": "eth1", "mac": "02:00:00:00:00:0a", "sourceAddress": "10.0.0.7", **changes}
    return {"pool": "node1", "device": name, "data": {key: value for key, value in data.items() if value}}


def claim(*devices: dict[str, Any], requests: tuple[str, ...] = ("ring",)) -> dict[str, Any]:
    places = ("eth1-tx1", "eth2-tx1")
    results = [{"request": name, "pool": "node1", "device": place} for name, place in zip(requests, places, strict=False)]
    return {
        "spec": {"devices": {"requests": [{"name": each} for each in requests]}},
        "status": {"allocation": {"devices": {"results": results}}, "devices": list(devices)},
    }


class Api:
    def __init__(self, **objects: dict[str, Any]) -> None:
        paths = {"stream": STREAM, "claim": CLAIM}
        self.objects = {paths[name]: each for name, each in objects.items()}

    def get(self, path: str) -> dict[str, Any]:
        if path not in self.objects:
            raise ApiRefused(operation=f"GET {path}", status=404, detail="not found")
        return self.objects[path]

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("found", "facts"),
    [
        pytest.param(claim(device()), (LegFacts(ip_address("10.0.0.7"), "02:00:00:00:00:0a"),), id="one leg"),
        pytest.param(
            claim(device("eth2-tx1", sourceAddress="10.1.0.7"), device(), requests=("ring", "leg2")),
            (
                LegFacts(ip_address("10.0.0.7"), "02:00:00:00:00:0a"),
                LegFacts(ip_address("10.1.0.7"), "02:00:00:00:00:0a"),
            ),
            id="two, in the order of the requests",
        ),
    ],
)
def test_facts_of_a_claim(found, facts):
    assert session_facts(found) == SessionFacts(facts)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param({}, id="an empty claim"),
        pytest.param(claim(), id="nothing told"),
        pytest.param(claim(device(sourceAddress="")), id="no address yet"),
        pytest.param(claim(device(), requests=("ring", "leg2")), id="one of two legs"),
    ],
)
def test_no_facts_before_all_is_known(found):
    assert session_facts(found) is None


def test_a_synchronized_clock_is_traceable():
    told = device() | {"conditions": [{"type": "ClockSynchronized", "status": "True"}]}
    found = session_facts(claim(told))
    assert found is not None
    assert found.traceable


def test_the_status_has_the_word(monkeypatch, capsys):
    api = Api(stream={**APPLICATION, "status": {"sdp": "v=0\r\n"}})
    monkeypatch.setattr(sdp, "ApiCalls", lambda *_: api)
    monkeypatch.setattr(sdp, "load_configuration", lambda: None)
    arguments = type("Arguments", (), {"namespace": "studio", "name": "cam", "compare": None})()
    assert sdp.run(arguments, Say(TEXT)) is Exit.OK
    assert capsys.readouterr().out == "v=0\r\n"
    assert sdp.run(arguments, Say(JSON)) is Exit.OK
    assert capsys.readouterr().out == '{\n  "sdp": "v=0\\r\\n"\n}\n'


def test_a_receivers_file_is_compared(monkeypatch, capsys, tmp_path):
    """The answer is the exit code and a line for each difference; a file that cannot be read is no answer."""
    sent = "m=video 5004 RTP/AVP 96\r\na=rtpmap:96 raw/90000\r\na=fmtp:96 width=1920; height=1080\r\n"
    monkeypatch.setattr(sdp, "ApiCalls", lambda *_: Api(stream={**APPLICATION, "status": {"sdp": sent}}))
    monkeypatch.setattr(sdp, "load_configuration", lambda: None)
    file = tmp_path / "cam.sdp"
    arguments = type("Arguments", (), {"namespace": "studio", "name": "cam", "compare": file})()
    file.write_text(sent)
    assert sdp.run(arguments, Say(TEXT)) is Exit.OK
    assert capsys.readouterr().out == f"{file} says what studio/cam sends\n"
    file.write_text(sent.replace("1080", "720"))
    assert sdp.run(arguments, Say(TEXT)) is Exit.INVALID
    assert capsys.readouterr().out == f"{file}: height is 720, the stream has 1080\n"
    assert sdp.run(arguments, Say(JSON)) is Exit.INVALID
    assert json.loads(capsys.readouterr().out) == {"differences": ["height is 720, the stream has 1080"]}
    file.unlink()
    with pytest.raises(CommandError, match="No such file") as refused:
        sdp.run(arguments, Say(TEXT))
    assert refused.value.code is Exit.UNREADABLE


def test_without_a_status_it_is_made(monkeypatch):
    video = VideoSource(1920, 1080, Fraction(25), pattern="Ramp")
    stream = BypassStream("studio", "cam", StreamSpec("eth1", RingParameters(Flow(ip_address("239.10.0.1"), 5004)), video))
    monkeypatch.setattr(sdp, "decode_stream", lambda _: stream)
    text = sdp.sdp_of(Api(stream=APPLICATION, claim=claim(device())), "studio", "cam")  # type: ignore[arg-type]
    assert "o=- " in text and "exactframerate=25;" in text and text.endswith("localmac=02-00-00-00-00-0A\r\n")


@pytest.mark.parametrize(
    ("api", "message"),
    [
        pytest.param(Api(), "there is no such stream", id="no stream"),
        pytest.param(Api(stream=APPLICATION), "it has no claim yet", id="no claim"),
        pytest.param(Api(stream=APPLICATION, claim=claim()), "no node has opened its ring yet", id="no ring"),
        pytest.param(Api(stream=APPLICATION, claim=claim(device())), "only a video stream has an SDP text", id="no video"),
    ],
)
def test_streams_that_have_none(api, message):
    with pytest.raises(CommandError, match=message) as refused:
        sdp.sdp_of(api, "studio", "cam")
    assert (refused.value.subject, refused.value.code) == ("studio/cam", Exit.INVALID)
