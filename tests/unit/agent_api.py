"""A few paths of an API server over HTTP, for the agent's source.

What it cannot prove: authentication, admission, schemas, server-side apply's merging, resource versions that are too old by
themselves, what a real server does when it restarts. tests/e2e does.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Raw = dict[str, Any]


class FakeApi:
    """Objects by path. Lists are paths without a name; `fail` makes every call answer with that status."""

    def __init__(self) -> None:
        self.objects: dict[str, Raw] = {}
        self.applied: list[Raw] = []
        self.asked: list[tuple[str, str, dict[str, list[str]]]] = []
        self.fail = 0
        self.version = 1
        self._told: list[tuple[int, str, Raw]] = []  # version, folder, event: a watch begins where its listing ended
        self._watches: list[tuple[str, queue.Queue[Raw | None]]] = []
        self._lock = threading.Lock()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                api._get(self)

            def do_PATCH(self) -> None:
                api._patch(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def put(self, path: str, raw: Raw) -> None:
        """Create or change an object, and tell who watches."""
        with self._lock:
            kind = "MODIFIED" if path in self.objects else "ADDED"
            self.objects[path] = raw
            self._tell(path, kind, raw)

    def delete(self, path: str) -> None:
        with self._lock:
            self._tell(path, "DELETED", self.objects.pop(path))

    def _tell(self, path: str, kind: str, raw: Raw) -> None:
        self.version += 1
        folder, event = path.rpartition("/")[0], {"type": kind, "object": raw}
        self._told.append((self.version, folder, event))
        for watched, waiting in self._watches:
            if folder == watched:
                waiting.put(event)

    def end_watches(self, error: Raw | None = None) -> None:
        with self._lock:
            for _, waiting in self._watches:
                if error is not None:
                    waiting.put({"type": "ERROR", "object": error})
                waiting.put(None)
            self._watches.clear()

    def close(self) -> None:
        self.end_watches()
        self._server.shutdown()
        self._server.server_close()

    def _get(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        query = parse_qs(parts.query)
        self.asked.append(("GET", parts.path, query))
        if self.fail:
            self._answer(request, self.fail, {"message": "told to fail"})
        elif "watch" in query:
            self._stream(request, parts.path, int(query.get("resourceVersion", ["0"])[0]))
        elif parts.path in self.objects:
            self._answer(request, 200, self.objects[parts.path])
        elif parts.path.rpartition("/")[2] in ("nodedataplanes", "configmaps"):
            with self._lock:
                items = [raw for path, raw in self.objects.items() if path.rpartition("/")[0] == parts.path]
                self._answer(request, 200, {"items": items, "metadata": {"resourceVersion": str(self.version)}})
        else:
            self._answer(request, 404, {"message": f"{parts.path} not found"})

    def _stream(self, request: BaseHTTPRequestHandler, path: str, since: int) -> None:
        waiting: queue.Queue[Raw | None] = queue.Queue()
        with self._lock:
            for version, folder, event in self._told:
                if version > since and folder == path:
                    waiting.put(event)
            self._watches.append((path, waiting))
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        while (event := waiting.get()) is not None:
            line = json.dumps(event).encode() + b"\n"
            half = len(line) // 2  # an event need not come in one piece
            for piece in (line[:half], line[half:]):
                request.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                request.wfile.flush()
        request.wfile.write(b"0\r\n\r\n")

    def _patch(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        self.asked.append(("PATCH", parts.path, parse_qs(parts.query)))
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        if self.fail:
            self._answer(request, self.fail, {"message": "told to fail"})
            return
        self.applied.append(body)
        self._answer(request, 200, body)

    def _answer(self, request: BaseHTTPRequestHandler, status: int, raw: Raw) -> None:
        body = json.dumps(raw).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


@contextmanager
def fake_api() -> Iterator[FakeApi]:
    api = FakeApi()
    try:
        yield api
    finally:
        api.close()
