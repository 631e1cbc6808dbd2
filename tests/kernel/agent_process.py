"""Start, feed, watch and kill an agent (agent_child.py)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.kernel.netpair import NetnsPair

from spillway_crds.encode import encode_content
from spillway_crds.filters import FilterContent, Match, Mode, PortRange, Rule, RuleAction, XdpMode
from spillway_crds.orders import Attach, FilterOrder, NodeOrder, NodeState
from spillway_crds.orders_wire import encode_order
from spillway_crds.revisions import revision_name

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0
Status = dict[str, Any]


def drop_udp(port: int, name: str = "udp", **fields: object) -> FilterContent:
    """A filter for the test's card that drops UDP to one port."""
    rule = Rule(name, Match(protocol=17, destination_ports=(PortRange(port, port),)), RuleAction.DROP)
    return replace(FilterContent(rules=(rule,), interfaces=("spw0",), xdp_mode=XdpMode.NATIVE), **fields)


@dataclass
class AgentProcess:
    """One agent and what it has said so far. patience_s: how long it may take for what is waited for."""

    child: subprocess.Popen[str]
    patience_s: float = PATIENCE_S
    said: list[dict[str, Any]] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            with self.news:
                self.said.append(json.loads(line) | {"at": time.monotonic()})
                self.news.notify_all()

    def tell(self, value: object) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps(value) + "\n")
        self.child.stdin.flush()

    def order(
        self,
        *filters: FilterOrder,
        contents: dict[str, FilterContent],
        attach: Attach = Attach.ALLOWED,
        state: NodeState = NodeState.ACTIVE,
        uid: str = "nd-1",
    ) -> None:
        order = NodeOrder(state, attach, report_seconds=1, filters=filters)
        encoded = {name: encode_content(each) for name, each in contents.items()}
        self.tell({"spec": encode_order(order), "uid": uid, "contents": encoded})

    def tell_run(self, content: FilterContent, mode: Mode = Mode.ENFORCE, name: str = "dns", **fields: Any) -> str:
        """Order one filter; returns its revision."""
        revision = revision_name(name, content)
        self.order(FilterOrder(name, f"uid-{name}", revision, mode), contents={revision: content}, **fields)
        return revision

    def run(self, content: FilterContent, mode: Mode = Mode.ENFORCE, name: str = "dns", **fields: Any) -> Status:
        """Order one filter and wait until the kernel runs it."""
        revision = self.tell_run(content, mode, name, **fields)
        state = "Enforcing" if mode is Mode.ENFORCE else "Monitoring"
        return self.wait(
            lambda status: [(each.get("revision"), each["state"]) for each in status.get("filters", ())] == [(revision, state)]
        )

    def wait(self, wanted: Callable[[Status], bool]) -> Status:
        """Wait until the latest status is as wanted, and return it."""
        deadline = time.monotonic() + self.patience_s
        with self.news:
            while time.monotonic() < deadline:
                latest = next((each["status"] for each in reversed(self.said) if each["event"] == "status"), None)
                if latest is not None and wanted(latest):
                    return dict(latest)
                self.news.wait(0.2)
        raise AssertionError(f"not within {self.patience_s} s; last: {json.dumps(self.said[-1:], indent=1)}")

    def wait_state(self, state: str, reason: str = "") -> Status:
        """Wait until the only filter is in this state."""
        return self.wait(
            lambda status: [(each["state"], each.get("reason", "")) for each in status.get("filters", ())] == [(state, reason)]
        )

    def wait_event(self, event: str) -> dict[str, Any]:
        deadline = time.monotonic() + self.patience_s
        with self.news:
            while not (found := [each for each in self.said if each["event"] == event]):
                assert self.news.wait(0.2) or time.monotonic() < deadline, f"no {event}"
        return found[0]

    def rss_mb(self) -> float:
        """Resident memory of the agent's own process."""
        pages = int(Path(f"/proc/{self.child.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 1e6

    def kill(self) -> None:
        """kill -9."""
        self.child.kill()
        self.child.wait(self.patience_s)

    def stop(self) -> int:
        """SIGTERM, as kubelet does; returns the exit code."""
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(self.patience_s)


def start_agent(bpffs: Path, state: Path, patience_s: float = PATIENCE_S, *prefix: str) -> AgentProcess:
    """Start an agent in the test's namespaces, with that BPF filesystem as its node's. prefix: what starts it."""
    path = os.pathsep.join(str(ROOT / each) for each in ("crds", "dataplane", "."))
    child = subprocess.Popen(
        [*prefix, sys.executable, "-m", "tests.kernel.agent_child", str(state), str(bpffs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
    )
    return AgentProcess(child, patience_s)


@contextmanager
def agent(pair: NetnsPair, state: Path) -> Iterator[AgentProcess]:
    """An agent that does not outlive the block."""
    with ended_with(start_agent(pair.bpffs, state)) as process:
        yield process


@contextmanager
def agent_apart(bpffs: Path, state: Path, patience_s: float) -> Iterator[AgentProcess]:
    """The same with mounts of its own: it does not see what a test that steps into another network makes of /sys."""
    with ended_with(start_agent(bpffs, state, patience_s, "unshare", "--mount")) as process:
        yield process


@contextmanager
def ended_with(process: AgentProcess) -> Iterator[AgentProcess]:
    """It ends with the block, however that ends."""
    try:
        yield process
    finally:
        process.kill()
        for stream in (process.child.stdin, process.child.stdout):
            assert stream is not None
            stream.close()
