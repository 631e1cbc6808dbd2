"""What a person is told by an Event, about which object, and how seldom. Values, no I/O: `api/herald` sends them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

NORMAL, WARNING = "Normal", "Warning"
NAMESPACE = "default"  # where Events about cluster-scoped objects have to be
CONTROLLER = "spillway.dev/operator"
MAX_NOTE_CHARS = 1000
MAX_REMEMBERED = 1000
SILENCE_S = 600.0  # the same is not said again for so long
BURST, PER_SECOND = 25.0, 0.2


@dataclass(frozen=True, slots=True)
class Regarding:
    """The object that an Event is about. namespace: empty for a kind without namespaces."""

    api_version: str
    kind: str
    name: str
    uid: str
    namespace: str = ""

    @property
    def event_namespace(self) -> str:
        """Where Events about it have to be."""
        return self.namespace or NAMESPACE


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to tell."""

    type: str
    reason: str
    text: str


class Sieve:
    """Lets a note through once in SILENCE_S, and no more of all together than a slow bucket holds."""

    def __init__(self) -> None:
        self._said: OrderedDict[tuple[str, Note], float] = OrderedDict()
        self._tokens, self._filled_at = BURST, 0.0

    def passes(self, uid: str, note: Note, now_s: float) -> bool:
        """Whether it is to be told now. now_s: a clock that never goes back."""
        key = (uid, note)
        if now_s - self._said.get(key, -SILENCE_S) < SILENCE_S or not self._take(now_s):
            return False
        self._said[key] = now_s
        self._said.move_to_end(key)
        while len(self._said) > MAX_REMEMBERED:
            self._said.popitem(last=False)
        return True

    def _take(self, now_s: float) -> bool:
        self._tokens = min(BURST, self._tokens + (now_s - self._filled_at) * PER_SECOND)
        self._filled_at = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def encode_event(note: Note, regarding: Regarding, *, instance: str, now: str) -> dict[str, Any]:
    """The Event to create. now: RFC 3339 with microseconds. instance: name of this pod."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": f"{regarding.name[:200]}-", "namespace": regarding.event_namespace},
        "eventTime": now,
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:128],
        "action": note.reason,
        "reason": note.reason,
        "type": note.type,
        "note": note.text[:MAX_NOTE_CHARS],
        "regarding": {
            "apiVersion": regarding.api_version,
            "kind": regarding.kind,
            "name": regarding.name,
            "uid": regarding.uid,
            **({"namespace": regarding.namespace} if regarding.namespace else {}),
        },
    }
