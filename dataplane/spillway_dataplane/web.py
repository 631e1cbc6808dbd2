"""The agent's HTTP server: metrics and probes, on the node's own address only."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

LOG = logging.getLogger(__name__)
RETRY_S = 5.0  # the address may come later than the agent
REQUEST_S = 10.0
Check = Callable[[], bool]


class Server(ThreadingHTTPServer):
    """During an update the old and the new agent listen on one port; the kernel gives each a share."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Share the port."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


def serve(address: tuple[str, int], collector: Collector, *, alive: Check, ready: Check) -> threading.Thread:
    """Serve /metrics, /healthz and /readyz from a thread; an address that is not there yet is tried again."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    handler = _handler(registry, {"/healthz": alive, "/readyz": ready})
    thread = threading.Thread(target=_run, args=(address, handler), name="spillway-http", daemon=True)
    thread.start()
    return thread


def _run(address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
    said = ""
    while True:
        try:
            with Server(address, handler) as server:
                LOG.info("serving metrics on %s port %d", *server.server_address[:2])
                server.serve_forever()
        except OSError as error:
            if str(error) != said:
                LOG.warning("cannot listen on %s port %d: %s", *address, error)
            said = str(error)
            time.sleep(RETRY_S)


def _handler(registry: CollectorRegistry, checks: dict[str, Check]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_S
        server_version = "spillway"
        sys_version = ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry))
            elif path in checks:
                good = checks[path]()
                status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
                self._answer(status, "text/plain", b"ok\n" if good else b"not now\n")
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"/metrics, /healthz, /readyz\n")

        def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Say nothing: whoever can send requests must not fill the log."""

    return Handler
