"""A small HTTP server: /metrics for Prometheus, /readyz for Kubernetes (200 once something was sent)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from spillway_stream.source.figures import Figures, exposition

TEXT = "text/plain; version=0.0.4; charset=utf-8"


def serve(port: int, look: Callable[[], Figures]) -> ThreadingHTTPServer:
    """Answer in threads of its own until `shutdown`. look: brings the figures up to date. Port 0: any free one."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 5  # of an idle client, which would keep a thread

        def do_GET(self) -> None:
            figures = look()
            if self.path == "/metrics":
                self._answer(200, exposition(figures))
            elif self.path == "/readyz":
                self._answer(200 if figures.ready else 503, "sending\n" if figures.ready else "nothing was sent yet\n")
            else:
                self._answer(404, "there are /metrics and /readyz\n")

        def _answer(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", TEXT)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Scrapes are not worth a line."""

    server = ThreadingHTTPServer(("", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
