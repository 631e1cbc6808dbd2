"""A service on a node and a client on another host, for what must not notice a flood."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.cluster import Cluster
from tests.e2e.product import wait_for

PORT = 8088
SERVER = ["python3", "-m", "http.server", str(PORT), "--bind", "0.0.0.0", "--directory", "/usr/share/common-licenses"]


@dataclass(frozen=True, slots=True)
class HttpService:
    """An HTTP server on a node, asked from the traffic host `client`."""

    cluster: Cluster
    url: str

    def requests(self, count: int) -> int:
        """Make so many requests, each on a connection of its own; return how many were answered whole."""
        loop = f"for i in $(seq {count}); do curl -sf -m 5 -o /dev/null {self.url} && echo ok; done; true"
        return self.cluster.host("client").run(["sh", "-c", loop]).stdout.count("ok")


@contextmanager
def http_service(cluster: Cluster, node: int) -> Iterator[HttpService]:
    """Start a server on a node; it ends with the block."""
    server = cluster.node(node).net.popen(SERVER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    service = HttpService(cluster, f"http://{cluster.node(node).address}:{PORT}/GPL-3")
    try:
        wait_for("the HTTP service", lambda: service.requests(1) == 1)
        yield service
    finally:
        server.terminate()
        server.wait()
