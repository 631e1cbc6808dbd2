"""etcd and an API server alone, on free ports of this machine: enough for the operator, ready in seconds.

It proves nothing about kubelets, controllers or agents: there are no pods, no garbage collection, and Nodes are what a test says.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.building import build_only
from tests.cluster.layout import cache
from tests.cluster.programs import named

ADMIN_TOKEN, OPERATOR_TOKEN = "admin-token", "operator-token"
NAMESPACE = "spillway-system"
TOKENS = f"""{ADMIN_TOKEN},admin,admin,system:masters
{OPERATOR_TOKEN},system:serviceaccount:{NAMESPACE}:spillway-operator,operator,"system:serviceaccounts,system:serviceaccounts:{NAMESPACE}"
"""
PROGRAMS = ("etcd", "kube-apiserver", "kubectl", "helm")


@dataclass(frozen=True, slots=True)
class BareApi:
    """One API server. bin: where the programs are, by name."""

    home: Path
    bin: dict[str, Path]
    port: int

    def kubeconfig(self, token: str) -> Path:
        path = self.home / f"{token}.kubeconfig"
        cluster = {"server": f"https://127.0.0.1:{self.port}", "insecure-skip-tls-verify": True}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": cluster}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": token}}],
        }
        path.write_text(json.dumps(config))
        return path

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True) -> str:
        argv = [str(self.bin["kubectl"]), f"--kubeconfig={self.kubeconfig(ADMIN_TOKEN)}", *args]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"{args}: {done.stderr}")
        return done.stdout

    def get(self, *args: str) -> Any:
        text = self.kubectl("get", *args, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def apply(self, *manifests: dict[str, Any]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(listed))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(home: Path) -> Iterator[BareApi]:
    """An API server without anything in it. home: a folder of its own, removed by whoever made it."""
    build_only(cache(), PROGRAMS)
    programs = {program.name: program.place(cache()) for program in named(PROGRAMS)}
    api = BareApi(home, programs, free_port())
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(_start(home, "etcd", _etcd(programs, home, client := free_port())))
        started.append(_start(home, "kube-apiserver", _apiserver(programs, home, api.port, client)))
        _wait_ready(api)
        yield api
    finally:
        for process in reversed(started):
            process.kill()  # an API server that is asked to stop drains its watches for up to a minute
            process.wait()


def _start(home: Path, name: str, argv: list[str]) -> subprocess.Popen[bytes]:
    with (home / f"{name}.log").open("ab") as log:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _etcd(programs: dict[str, Path], home: Path, client: int) -> list[str]:
    peer = f"http://127.0.0.1:{free_port()}"
    url = f"http://127.0.0.1:{client}"
    return [
        str(programs["etcd"]),
        f"--data-dir={home}/etcd",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _apiserver(programs: dict[str, Path], home: Path, port: int, etcd: int) -> list[str]:
    (home / "tokens.csv").write_text(TOKENS)
    key = home / "sa.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    return [
        str(programs["kube-apiserver"]),
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={home}/certs",
        "--service-cluster-ip-range=10.96.0.0/24",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",
        f"--token-auth-file={home}/tokens.csv",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--watch-cache=true",
    ]


def _wait_ready(api: BareApi) -> None:
    end = time.monotonic() + 90
    while api.kubectl("get", "--raw=/readyz", check=False) != "ok":
        if time.monotonic() > end:
            raise AssertionError((api.home / "kube-apiserver.log").read_text()[-2000:])
        time.sleep(0.2)
