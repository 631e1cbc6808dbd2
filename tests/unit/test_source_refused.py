"""A file that was refused is waited for: the next process of the pod tries no other than another one, and that at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from spillway_stream.source import __main__ as program
from spillway_stream.source import refused
from spillway_stream.source.faults import InvalidIntent, Transient
from spillway_stream.source.spec import PcapSpec, SourceSpec, Volume, VolumeKind

FAULT = InvalidIntent("source.pcap.file", "is no capture")


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourceSpec:
    """Of a pod in Kubernetes, whose folder is empty."""
    (tmp_path / "termination-log").touch()
    (tmp_path / "media").mkdir()
    monkeypatch.setattr(refused, "NOTE", tmp_path / "note")
    monkeypatch.setattr(refused, "TERMINATION", str(tmp_path / "termination-log"))
    monkeypatch.setenv("SPILLWAY_TERMINATION", str(tmp_path / "termination-log"))
    return SourceSpec(
        "studio/flood", PcapSpec("a.pcap", volume=Volume(VolumeKind.CONFIG_MAP, "floods")), ("/r",), files=tmp_path / "media"
    )


def waited(spec: SourceSpec, *changes: bytes | None) -> int:
    """How often it looked again; at each look the file becomes the next of these. None: it is left alone."""
    looks = iter(changes)
    count = 0

    def pause(_: float) -> None:
        nonlocal count
        count += 1
        if (content := next(looks)) is not None:
            (spec.files / "a.pcap").write_bytes(content)

    refused.await_another(spec, pause)
    return count


def test_nothing_is_waited_for_before_a_file_was_refused(spec):
    assert waited(spec) == 0


def test_the_same_file_is_waited_for_until_it_is_another_one_that_stays(spec):
    refused.note_refused(FAULT, refused.fingerprint(spec))
    assert waited(spec, None, None, b"half", b"whole file", None) == 5


def test_another_config_map_without_the_file_is_looked_at_anew(spec):
    """Its keys are part of the words."""
    refused.note_refused(FAULT, refused.fingerprint(spec))
    (spec.files / "b.pcap").touch()
    assert waited(spec, None) == 1


@pytest.mark.parametrize(
    "fault",
    [pytest.param(InvalidIntent("pacing", "no"), id="not the file's"), pytest.param(InvalidIntent("", "no"), id="of the whole")],
)
def test_what_another_file_would_not_mend_is_not_waited_for(spec, fault):
    refused.note_refused(fault, refused.fingerprint(spec))
    assert waited(spec) == 0


def test_without_kubernetes_every_start_is_a_try(spec, monkeypatch):
    monkeypatch.setenv("SPILLWAY_TERMINATION", "/elsewhere")
    refused.note_refused(FAULT, refused.fingerprint(spec))
    assert not refused.NOTE.exists()
    assert waited(spec) == 0


@pytest.mark.parametrize(("fault", "noted"), [(FAULT, True), (Transient("again"), False)])
def test_the_file_that_was_there_before_it_was_read_is_noted(spec, monkeypatch, fault, noted):
    """One that came meanwhile is another one."""

    def run(_: SourceSpec) -> None:
        (spec.files / "a.pcap").touch()
        raise fault

    monkeypatch.setattr(program, "run", run)
    with pytest.raises(type(fault)):
        program.send(spec)
    assert refused.NOTE.exists() is noted
    assert waited(spec, None) == int(noted)
