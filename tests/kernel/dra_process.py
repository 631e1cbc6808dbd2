"""The driver of streams as a process of its own, and an API server over HTTP for it.

What the server cannot prove: authentication, admission, schemas, server-side apply's merging. tests/e2e does.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.unit.dra_fakes import NODE, KubeletSide, MemoryApi, Raw

from spillway_dataplane.api.calls import ApiRefused
from spillway_dataplane.dra.settings import StreamSettings

ROOT = Path(__file__).parents[2]
KUBECONFIG = """apiVersion: v1
kind: Config
current-context: it
clusters: [{name: it, cluster: {server: "http://127.0.0.1:%d"}}]
users: [{name: it, user: {token: secret}}]
contexts: [{name: it, context: {cluster: it, user: it}}]
"""


class Handler(BaseHTTPRequestHandler):
    api: MemoryApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if "watch" in query:
            self._stream(parts.path)
        else:
            self._answer(lambda: dict(self.api.get(parts.path, **query)))

    def do_PATCH(self) -> None:
        parts, body = urlsplit(self.path), json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        manager = parse_qs(parts.query)["fieldManager"][0]
        self._answer(lambda: dict(self.api.apply(parts.path, body, manager=manager)))

    def do_DELETE(self) -> None:
        self.api.delete(urlsplit(self.path).path)
        self._send(200, {})

    def _answer(self, ask: Callable[[], Raw]) -> None:
        try:
            self._send(200, ask())
        except ApiRefused as error:
            self._send(error.status, {"message": error.detail})

    def _send(self, status: int, raw: Raw) -> None:
        body = json.dumps(raw).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, path: str) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in self.api.watch(path):
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@dataclass
class DriverHost:
    """A node's directories, its API server, and one process of the driver after another."""

    root: Path
    port: int
    api: MemoryApi
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def settings(self) -> StreamSettings:
        return self.settings_of("a")

    def settings_of(self, instance: str) -> StreamSettings:
        return StreamSettings(NODE, instance=instance, kubelet=self.root)

    def start(self, instance: str = "a") -> KubeletSide:
        (self.root / "kubeconfig").write_text(KUBECONFIG % self.port)
        environment = {
            **os.environ,
            "NODE_NAME": NODE,
            "POD_UID": instance,
            "KUBECONFIG": str(self.root / "kubeconfig"),
            "SPILLWAY_KUBELET_DIR": str(self.root),
            "SPILLWAY_CDI_DIR": str(self.root / "cdi"),
            "SPILLWAY_STREAMS_CONFIG": str(self.root / "etc" / "streams.json"),
            "SPILLWAY_STREAMS_METRICS_PORT": "0",
        }
        with (self.root / "log").open("ab") as log:
            command = [sys.executable, "-m", "spillway_dataplane", "streams"]
            self.children.append(subprocess.Popen(command, env=environment, stderr=log, cwd=ROOT))
        return KubeletSide(self.settings_of(instance).plugin_socket)

    def end(self, number: signal.Signals, which: int = -1) -> int:
        child = self.children[which]
        child.send_signal(number)
        return child.wait(20)

    @property
    def log(self) -> str:
        return (self.root / "log").read_text()


@contextmanager
def driver_host(root: Path, grants: list[Raw]) -> Iterator[DriverHost]:
    api = MemoryApi()
    api.objects[f"/api/v1/nodes/{NODE}"] = {"metadata": {"uid": "node-uid"}}
    for name in ("plugins", "plugins_registry", "etc"):
        (root / name).mkdir()
    (root / "etc" / "streams.json").write_text(json.dumps({"grants": grants}))
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("ThisApi", (Handler,), {"api": api}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    host = DriverHost(root, server.server_address[1], api)
    try:
        yield host
    finally:
        for child in host.children:
            child.kill()
            child.wait()
        api.close()
        server.shutdown()
        thread.join()
        server.server_close()
