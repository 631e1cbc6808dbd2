"""The hook that labels the namespace. The API here is a fake: that a server takes the patch is shown with the chart installed."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client, config

from spillway_operator import podsecurity


class FakeApi:
    """Records the one call, or refuses it."""

    def __init__(self, refusal: client.ApiException | None = None) -> None:
        self.refusal = refusal
        self.calls: list[tuple[str, Any, str]] = []

    def patch_namespace(self, name: str, body: Any, *, _content_type: str, _request_timeout: object) -> None:
        if self.refusal:
            raise self.refusal
        self.calls.append((name, body, _content_type))


@pytest.fixture
def in_pod(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("POD_NAMESPACE", "edge")
    monkeypatch.setattr(config, "load_incluster_config", lambda: None)
    return monkeypatch


def test_it_sets_three_labels_and_touches_nothing_else(in_pod: pytest.MonkeyPatch) -> None:
    """A merge patch: labels and annotations of others stay."""
    api = FakeApi()
    in_pod.setattr(client, "CoreV1Api", lambda: api)
    assert podsecurity.main() == 0
    labels = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")}
    assert api.calls == [("edge", {"metadata": {"labels": labels}}, "application/merge-patch+json")]


def test_a_refusal_says_what_to_do_by_hand(in_pod: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    in_pod.setattr(client, "CoreV1Api", lambda: FakeApi(client.ApiException(status=403, reason="Forbidden")))
    assert podsecurity.main() == 1
    said = capsys.readouterr().err
    assert "403 Forbidden" in said
    assert "kubectl label --overwrite namespace edge pod-security.kubernetes.io/enforce=privileged" in said
