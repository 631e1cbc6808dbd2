"""The commands that act on a node, on a real card: what they say is what packets meet."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.kernel.artifacts import PASS, verdict
from tests.kernel.netpair import NetnsPair
from tests.traffic.frames import udp4_flood

from spillway_dataplane.cli.exits import Exit
from spillway_dataplane.kernel import libbpf

PATIENCE_S = 30.0
EXAMPLES = Path(__file__).parents[2] / "examples"
MODULE = [sys.executable, "-m", "spillway_dataplane.cli"]
FILTER: dict[str, Any] = {
    "apiVersion": "spillway.dev/v1alpha1",
    "kind": "FloodFilter",
    "metadata": {"name": "dns"},
    "spec": {
        "mode": "Enforce",
        "nodeSelector": {"matchLabels": {"edge": "true"}},
        "interfaces": ["spw0"],
        "rules": [
            {
                "name": "large",
                "match": {"protocol": "UDP", "sourcePorts": ["53"], "ipLengthBytes": {"min": 300}},
                "action": "Drop",
            },
            {"name": "rest", "match": {"protocol": "UDP"}, "action": "Count"},
        ],
    },
}


def wait_for(what: str, probe: Callable[[], object]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := probe():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come")


@dataclass
class Machine:
    """One machine without Kubernetes: a card, a folder of manifests, a state folder."""

    pair: NetnsPair
    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "filters"

    def write(self, name: str, content: object) -> None:
        aside = self.root / "aside"
        aside.write_text(content if isinstance(content, str) else json.dumps(content))
        aside.rename(self.folder / name)

    @property
    def places(self) -> list[str]:
        return ["--state", str(self.root / "state"), "--bpffs", str(self.pair.bpffs), "-o", "json"]

    def spillway(self, *words: str, code: int = Exit.OK) -> Any:
        done = subprocess.run([*MODULE, *words, *self.places], capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr + done.stdout
        return json.loads(done.stdout if code == Exit.OK else done.stderr)

    @contextmanager
    def running(self, *labels: str) -> Iterator[subprocess.Popen[str]]:
        words = [part for label in labels for part in ("--node-label", label)]
        log = (self.root / "log").open("w")
        agent = subprocess.Popen([*MODULE, "run", str(self.folder), *words, *self.places], stdout=log, stderr=log, text=True)
        try:
            yield agent
        finally:
            agent.terminate()
            agent.wait(timeout=PATIENCE_S)
            log.close()

    def log(self) -> str:
        return (self.root / "log").read_text()

    def filters(self) -> dict[str, dict[str, Any]]:
        return {each["name"]: each for each in self.spillway("status")["filters"]}

    def wait_state(self, name: str, state: str) -> None:
        wait_for(f"{name} {state}; {self.log()}", lambda: self.filters().get(name, {}).get("state") == state)

    def wait_said(self, words: str) -> None:
        wait_for(f"{words!r} in {self.log()}", lambda: words in self.log())

    def send(self, count: int, size: int = 400) -> int:
        """Send UDP packets from port 53; return how many reached the machine's kernel."""
        macs = (self.pair.mac.hex(":"), self.pair.peer_mac.hex(":"))
        frames = udp4_flood(macs, ["198.51.100.7"] * count, "203.0.113.9", 53, 4000, size)
        with self.pair.listen() as listener:
            assert self.pair.send(frames) == count
            return len(listener.frames(count, timeout_s=0.5))


@pytest.fixture
def machine(netns_pair, tmp_path) -> Iterator[Machine]:
    root = tmp_path / "machine"
    (root / "filters").mkdir(parents=True)
    made = Machine(netns_pair, root)
    yield made
    made.spillway("off", "--purge")


def test_a_folder_is_filtered_and_its_changes_are_followed(machine):
    machine.write("dns.json", FILTER)
    with machine.running("edge=true"):
        machine.wait_state("dns", "Enforcing")
        assert machine.send(50) == 0
        assert machine.send(50, size=100) == 50
        (found,) = machine.spillway("status")["filters"]
        assert [(each["name"], each["matchedPackets"], each["droppedPackets"]) for each in found["rules"]] == [
            ("large", 50, 50),
            ("rest", 50, 0),
        ]
        machine.write("dns.json", {**FILTER, "spec": {**FILTER["spec"], "mode": "Monitor"}})
        machine.wait_state("dns", "Monitoring")
        assert machine.send(50) == 50
        assert machine.filters()["dns"]["totals"]["wouldDropPackets"] == 50
        (machine.folder / "dns.json").unlink()
        wait_for("a program that passes everything", lambda: hook(machine)["state"] == "passing")


def test_one_fault_anywhere_keeps_what_ran_and_is_said_once(machine):
    machine.write("dns.json", FILTER)
    with machine.running("edge=true"):
        machine.wait_state("dns", "Enforcing")
        machine.write("other.yaml", "apiVersion: spillway.dev/v1alpha1\nkind: FloodFilter\nmetadata: {name: x}\nspec: {}\n")
        machine.write("dns.json", {**FILTER, "spec": {**FILTER["spec"], "mode": "Monitor"}})
        machine.wait_said('"event": "kept"')
        assert "spec.rules" in machine.log() and "Traceback" not in machine.log()
        assert machine.send(20) == 0
        (machine.folder / "other.yaml").unlink()
        machine.wait_state("dns", "Monitoring")


def test_status_says_why_a_filter_is_not_as_ordered_and_forgets_no_count(machine):
    machine.write("dns.yaml", FILTER)
    with machine.running("edge=true"):
        machine.wait_state("dns", "Enforcing")
        assert machine.send(20) == 0
        machine.write("dns.yaml", {**FILTER, "spec": {**FILTER["spec"], "interfaces": ["eth9"]}})
        machine.wait_said("no interface eth9")
        machine.wait_state("dns", "Pending")
    found = machine.filters()["dns"]
    assert (found["reason"], found["message"]) == ("InterfaceNotFound", "no interface eth9 on this node")
    assert [(each["name"], each["droppedPackets"]) for each in found["rules"]] == [("large", 20), ("rest", 0)]


def test_node_labels_decide(machine):
    machine.write("dns.json", FILTER)
    with machine.running("edge=false"):
        machine.wait_said('"others": ["dns"]')
        assert machine.send(20) == 20
        assert hook(machine)["state"] == "none"


def test_what_runs_stays_after_the_agent_s_end_and_status_still_counts(machine):
    machine.write("dns.json", FILTER)
    with machine.running("edge=true") as agent:
        machine.wait_state("dns", "Enforcing")
        assert machine.spillway("status")["agent"] == {"working": True, "pid": agent.pid}
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(timeout=PATIENCE_S) == Exit.OK
    assert machine.send(30) == 0
    seen = machine.spillway("status")
    assert seen["agent"] == {"working": False, "pid": 0}
    assert seen["filters"][0]["totals"]["droppedPackets"] == 30
    with machine.running("edge=true"):
        machine.wait_said('"event": "wanted"')
        assert machine.send(5) == 0
        wait_for("counts that go on", lambda: machine.filters()["dns"]["totals"]["droppedPackets"] == 35)


@pytest.mark.parametrize("with_agent", [True, False], ids=["agent at work", "no agent"])
def test_off_and_on_act_at_once_with_or_without_an_agent(machine, with_agent):
    machine.write("dns.json", FILTER)
    with machine.running("edge=true") as agent:
        machine.wait_state("dns", "Enforcing")
        if not with_agent:
            agent.kill()
            agent.wait()
        assert machine.spillway("off")["interfaces"] == ["spw0"]
        assert machine.send(20) == 20
        seen = machine.spillway("status")
        assert seen["enforcement"] == "Off" and "at this node" in seen["enforcementOffBy"]
        assert seen["filters"][0]["state"] == "Off"
        assert machine.spillway("on") == {"enforcement": "On"}
        wait_for("drops", lambda: machine.send(5) == 0)
        machine.wait_state("dns", "Enforcing")


def test_off_holds_when_an_agent_starts_later(machine):
    machine.write("dns.json", FILTER)
    machine.spillway("off")
    with machine.running("edge=true"):
        machine.wait_state("dns", "Off")
        assert machine.send(20) == 20


def test_purge_leaves_nothing(machine):
    machine.write("dns.json", FILTER)
    with machine.running("edge=true") as agent:
        machine.wait_state("dns", "Enforcing")
        assert machine.spillway("off", "--purge", code=Exit.BUSY)["error"]["exitCode"] == Exit.BUSY
        assert machine.send(10) == 0
        agent.kill()
        agent.wait()
    assert machine.spillway("off", "--purge") == {"purged": True, "interfaces": ["spw0"]}
    assert not (machine.pair.bpffs / "spillway").exists()
    assert not (machine.root / "state").exists()
    assert machine.send(10) == 10
    assert hook(machine) == {**hook(machine), "state": "none", "linkId": 0}


@pytest.mark.parametrize("words", [["off"], ["off", "--purge"]], ids=" ".join)
def test_a_program_that_is_pinned_elsewhere_is_not_called_gone(machine, words):
    """The wrong --bpffs: the filter drops on, and nobody is told that nothing does."""
    machine.write("dns.yaml", FILTER)
    with machine.running("edge=true"):
        machine.wait_state("dns", "Enforcing")
    elsewhere = ["--state", str(machine.root / "other"), "--bpffs", str(machine.root), "-o", "json"]
    done = subprocess.run([*MODULE, *words, *elsewhere], capture_output=True, text=True, check=False)
    assert done.returncode == Exit.REFUSED
    assert "spw0 runs spw_" in json.loads(done.stderr)["error"]["message"]
    assert machine.send(20) == 0


def test_two_agents_do_not_share_a_machine(machine):
    machine.write("dns.json", FILTER)
    with machine.running("edge=true"):
        machine.wait_state("dns", "Enforcing")
        error = machine.spillway("run", str(machine.folder), code=Exit.BUSY)["error"]
        assert "another agent" in error["message"]


def test_somebody_else_s_program_is_shown_and_left_alone(machine):
    machine.write("dns.json", FILTER)
    with foreign(machine):
        with machine.running("edge=true"):
            machine.wait_said("Conflict")
            assert hook(machine)["state"] == "foreign program"
            assert machine.send(10) == 10
        machine.spillway("off", "--purge")
        assert hook(machine)["state"] == "foreign program"


@contextmanager
def foreign(machine: Machine) -> Iterator[None]:
    """A program that passes everything on the card, as another tool would attach it."""
    with (
        libbpf.prog_load(verdict(PASS), "foreign") as program,
        libbpf.link_create(program, machine.pair.ifindex, 0),
    ):
        yield


def hook(machine: Machine) -> dict[str, Any]:
    """What status says of the card."""
    interfaces = machine.spillway("status", "--all-interfaces")["interfaces"]
    return next(each for each in interfaces if each["name"] == "spw0")


def forget(machine: Machine) -> None:
    """A reboot as the kernel sees it: links, programs and maps are gone, the disk is as it was."""
    pins = machine.pair.bpffs / "spillway"
    shown = subprocess.run(
        ["bpftool", "-j", "link", "show", "pinned", str(pins / "spw0" / "link")], check=True, capture_output=True
    )
    number = str(json.loads(shown.stdout)["id"])
    subprocess.run(["bpftool", "link", "detach", "id", number], check=True)
    shutil.rmtree(pins)


def test_restore_puts_the_last_order_in_force_without_any_agent(machine):
    machine.write("dns.json", FILTER)
    with machine.running("edge=true"):
        machine.wait_state("dns", "Enforcing")
        assert machine.send(10) == 0
    forget(machine)
    assert machine.send(10) == 10
    restored = machine.spillway("restore")
    assert [each["state"] for each in restored["status"]["filters"]] == ["Enforcing"]
    assert machine.send(10) == 0
    assert machine.filters()["dns"]["totals"]["droppedPackets"] == 20


def test_restore_of_a_node_without_an_order_does_nothing(machine):
    assert machine.spillway("restore") == {"agentActs": False, "status": None}
    assert hook(machine)["state"] == "none"


def test_hold_stays_gives_way_to_an_agent_and_ends_when_told(machine):
    machine.write("dns.json", FILTER)
    with machine.running("edge=true"):
        machine.wait_state("dns", "Enforcing")
    forget(machine)
    holder = subprocess.Popen([*MODULE, "restore", "--hold", *machine.places], stdout=subprocess.PIPE, text=True)
    try:
        machine.wait_state("dns", "Enforcing")
        assert machine.send(10) == 0
        with machine.running("edge=true") as agent:
            wait_for("the agent", lambda: machine.spillway("status")["agent"]["pid"] == agent.pid)
            assert holder.poll() is None
        holder.terminate()
        assert holder.wait(timeout=PATIENCE_S) == Exit.OK
        assert machine.send(10) == 0
    finally:
        holder.kill()
        holder.communicate()


def compiled(machine: Machine, folder: Path) -> list[dict[str, Any]]:
    words = [*MODULE, "check", "--compile", "-o", "json", str(folder)]
    environment = {**os.environ, "SPILLWAY_BPFFS": str(machine.pair.bpffs)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == Exit.OK, done.stdout
    return list(json.loads(done.stdout)["programs"])


def test_check_compiles_and_asks_the_verifier_without_attaching(machine):
    machine.write("dns.json", FILTER)
    (program,) = compiled(machine, machine.folder)
    assert program["instructions"] > 100 and "refusal" not in program
    assert hook(machine)["state"] == "none"


def test_every_example_passes_the_verifier(machine):
    """Together on each interface that they name, as a node with all of them would run them."""
    programs = compiled(machine, EXAMPLES)
    assert {each["instructions"] > 0 for each in programs} == {True}
    assert len({name for each in programs for name in each["filters"]}) == len(list(EXAMPLES.glob("*.yaml")))
