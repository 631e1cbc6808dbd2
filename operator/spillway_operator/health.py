"""What the kubelet asks. In a thread: a standby answers before kopf exists, and a stuck loop is told from a dead process."""

from __future__ import annotations

import asyncio
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

STUCK_AFTER_S = 10.0
BEAT_EVERY_S = 1.0


class Health:
    """/healthz: not stuck. /readyz: standing by for somebody who leads, or leading with filled caches."""

    def __init__(self) -> None:
        self.ready = False  # a probe may come before anything else is done
        self._beat_at: float | None = None  # None: no loop to watch, this is a standby

    def is_alive(self) -> bool:
        """Whether the event loop, if there is one, has run lately."""
        return self._beat_at is None or time.monotonic() - self._beat_at < STUCK_AFTER_S

    def stand_by(self) -> None:
        """Somebody else leads."""
        self.ready = True

    async def beat(self) -> None:
        """Show that the loop runs, until cancelled."""
        while True:
            self._beat_at = time.monotonic()
            await asyncio.sleep(BEAT_EVERY_S)

    def answer(self, path: str) -> HTTPStatus:
        """The status of one probe."""
        good = {"/healthz": self.is_alive(), "/readyz": self.ready and self.is_alive()}.get(path)
        if good is None:
            return HTTPStatus.NOT_FOUND
        return HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE

    def serve(self, port: int) -> ThreadingHTTPServer:
        """Answer probes from now on, in the background."""
        handler = type("Probes", (_Probes,), {"health": self})
        server = ThreadingHTTPServer(("", port), handler)
        threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
        return server


class _Probes(BaseHTTPRequestHandler):
    health: ClassVar[Health]

    def do_GET(self) -> None:
        self.send_response(self.health.answer(self.path))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Probes come every few seconds; nobody wants to read them."""
