"""Death at any step leaves something that works, and the next try ends where an undisturbed one would have."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network

import pytest
from tests.kernel.artifacts import DROP, artifact, chained
from tests.kernel.crashes import crash_before
from tests.kernel.netpair import NetnsPair

from spillway_crds.failsafe import PeerEntry, Peers
from spillway_crds.filters import XdpMode
from spillway_dataplane.kernel import libbpf, maps
from spillway_dataplane.kernel.artifact import MAPS, Artifact, MapSpec
from spillway_dataplane.kernel.datapath import Datapath
from spillway_dataplane.node.observed import PinnedLink

ONE, TWO = "1" * 11, "2" * 11
FRAMES = 20


def of_another_shape(spec: MapSpec) -> MapSpec:
    if spec.name == "switches":
        return replace(spec, value_bytes=512)
    return replace(spec, max_entries=99) if spec.name == "peer_hosts" else spec


OTHER_MAPS = tuple(of_another_shape(spec) for spec in MAPS)


@pytest.fixture
def datapath(netns_pair: NetnsPair) -> Datapath:
    return Datapath(netns_pair.bpffs / "spillway")


def link_of(datapath: Datapath) -> PinnedLink | None:
    found = datapath.observe().interface("spw0")
    assert found is not None
    return found.pinned


def attached_id(datapath: Datapath) -> int | None:
    found = datapath.observe().interface("spw0")
    assert found is not None
    return found.attached.program_id if found.attached else None


def pins(pair: NetnsPair) -> list[str]:
    """Everything pinned, with generations that have no number: how often somebody tried must not show."""
    root = pair.bpffs / "spillway"
    return sorted(re.sub(r"gen\d+", "gen", str(each.relative_to(root))) for each in root.rglob("*"))


def passed(pair: NetnsPair) -> int:
    with pair.listen() as listener:
        pair.send([pair.mac + pair.peer_mac + b"\x88\xb5" + bytes(46)] * FRAMES)
        return len(listener.frames(0, settle_s=0.02))


def at_every_step(
    datapath: Datapath,
    prepare: Callable[[], object],
    operation: Callable[[], object],
    check: Callable[[], object],
) -> int:
    """Crash before step 0, 1, 2 ... each time from a clean start; returns how many steps there are."""
    step = 0
    while True:
        datapath.purge()
        prepare()
        died = crash_before(step, operation)
        check()
        if not died:
            return step
        step += 1


def undisturbed(pair: NetnsPair, datapath: Datapath, *operations: Callable[[], object]) -> list[str]:
    datapath.purge()
    for operation in operations:
        operation()
    return pins(pair)


def test_first_attach(netns_pair: NetnsPair, datapath: Datapath) -> None:
    def attach() -> None:
        datapath.attach("spw0", chained(ONE), XdpMode.NATIVE)

    expected = undisturbed(netns_pair, datapath, attach)

    def check() -> None:
        link, running = link_of(datapath), attached_id(datapath)
        assert (link.program_id if link else None) == running  # pinned or not there at all
        attach()
        assert pins(netns_pair) == expected
        assert passed(netns_pair) == 0

    assert at_every_step(datapath, lambda: None, attach, check) > 20


@pytest.mark.parametrize(
    "new", [chained(TWO), replace(chained(TWO), maps=OTHER_MAPS)], ids=["same-maps", "maps-of-another-shape"]
)
def test_replace(netns_pair: NetnsPair, datapath: Datapath, new: Artifact) -> None:
    """At no step a packet passes, and no count is lost."""

    def attach() -> None:
        datapath.attach("spw0", chained(ONE), XdpMode.NATIVE)

    def change() -> None:
        datapath.replace("spw0", new)

    expected = undisturbed(netns_pair, datapath, attach, change)

    def check() -> None:
        before = link_of(datapath)
        assert before is not None
        assert before.digest in (ONE, TWO)
        assert passed(netns_pair) == 0
        change()
        after = link_of(datapath)
        assert after is not None
        assert (after.link_id, after.digest) == (before.link_id, TWO)
        assert pins(netns_pair) == expected
        assert passed(netns_pair) == 0
        assert datapath.read_counts("spw0", [0])[0].matched_packets == 2 * FRAMES

    assert at_every_step(datapath, attach, change, check) > 10


def test_reattach(netns_pair: NetnsPair, datapath: Datapath) -> None:
    def detached() -> None:
        datapath.attach("spw0", chained(ONE), XdpMode.NATIVE)
        link = link_of(datapath)
        assert link is not None
        subprocess.run(["bpftool", "link", "detach", "id", str(link.link_id)], check=True)

    def reattach() -> None:
        datapath.reattach("spw0")

    expected = undisturbed(netns_pair, datapath, detached, reattach)

    def check() -> None:
        link = link_of(datapath)
        assert link is not None
        assert link.digest == ONE
        reattach()
        assert attached_id(datapath) == link.program_id
        assert pins(netns_pair) == expected
        assert passed(netns_pair) == 0

    assert at_every_step(datapath, detached, reattach, check) >= 3


def test_attach_over_a_detached_link(netns_pair: NetnsPair, datapath: Datapath) -> None:
    def detached() -> None:
        datapath.attach("spw0", chained(ONE), XdpMode.NATIVE)
        link = link_of(datapath)
        assert link is not None
        subprocess.run(["bpftool", "link", "detach", "id", str(link.link_id)], check=True)

    def attach() -> None:
        datapath.attach("spw0", chained(TWO), XdpMode.NATIVE)

    expected = undisturbed(netns_pair, datapath, detached, attach)

    def check() -> None:
        assert link_of(datapath) is not None
        attach()
        assert pins(netns_pair) == expected
        assert passed(netns_pair) == 0

    assert at_every_step(datapath, detached, attach, check) > 10


def test_another_mode(netns_pair: NetnsPair, datapath: Datapath) -> None:
    def native() -> None:
        datapath.attach("spw0", chained(ONE), XdpMode.NATIVE)

    def generic() -> None:
        datapath.attach("spw0", chained(TWO), XdpMode.GENERIC)

    expected = undisturbed(netns_pair, datapath, native, generic)

    def check() -> None:
        generic()
        assert pins(netns_pair) == expected
        assert passed(netns_pair) == 0

    assert at_every_step(datapath, native, generic, check) > 10


@pytest.mark.parametrize("operation", [lambda it: it.detach("spw0"), lambda it: it.purge()], ids=["detach", "purge"])
def test_leaving(netns_pair: NetnsPair, datapath: Datapath, operation: Callable[[Datapath], None]) -> None:
    """Half gone is never half filtering: nothing runs without its pins, and the second try takes the rest."""

    def check() -> None:
        link = link_of(datapath)
        assert attached_id(datapath) == (link.program_id if link and link.ifindex else None)
        operation(datapath)
        assert attached_id(datapath) is None
        assert datapath.pinned_names() == ()
        assert passed(netns_pair) == FRAMES

    def attach() -> None:
        datapath.attach("spw0", chained(ONE), XdpMode.NATIVE)

    assert at_every_step(datapath, attach, lambda: operation(datapath), check) > 8


def test_peers_are_never_missing(netns_pair: NetnsPair, datapath: Datapath) -> None:
    """Who was a peer and stays one is one at each step."""
    stays = PeerEntry(ip_network("192.0.2.1/32"), Peers.NODES)
    old = (stays, PeerEntry(ip_network("192.0.2.2/32"), Peers.NODES), PeerEntry(ip_network("10.0.0.0/8"), Peers.ADMINS))
    new = (stays, PeerEntry(ip_network("192.0.2.3/32"), Peers.NODES), PeerEntry(ip_network("10.0.0.0/9"), Peers.ADMINS))

    def check() -> None:
        assert host_bits(netns_pair, "192.0.2.1") == Peers.NODES
        datapath.write_peers(new)
        assert [host_bits(netns_pair, f"192.0.2.{last}") for last in (1, 2, 3)] == [Peers.NODES, None, Peers.NODES]

    assert at_every_step(datapath, lambda: datapath.write_peers(old), lambda: datapath.write_peers(new), check) > 3


def host_bits(pair: NetnsPair, address: str) -> int | None:
    with libbpf.obj_get(pair.bpffs / "spillway/node/peer_hosts") as found:
        raw = libbpf.map_lookup(found, maps.peer_address(ip_network(address)), 4)
    return None if raw is None else int.from_bytes(raw, sys.byteorder)


LONG_LIVED = """
import sys, time
from pathlib import Path
from spillway_crds.filters import XdpMode
from spillway_dataplane.kernel.datapath import Datapath
from tests.kernel.artifacts import chained
datapath = Datapath(Path(sys.argv[1]))
datapath.attach("spw0", chained("1" * 11), XdpMode.NATIVE)
print("attached", flush=True)
time.sleep(600)
"""


def test_a_new_process_adopts(netns_pair: NetnsPair, datapath: Datapath) -> None:
    """kill -9: the filter stays, the next process counts on and replaces."""
    child = subprocess.Popen(
        [sys.executable, "-c", LONG_LIVED, str(netns_pair.bpffs / "spillway")], stdout=subprocess.PIPE, env=child_environment()
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"attached\n"
        assert passed(netns_pair) == 0
        child.send_signal(signal.SIGKILL)
    assert passed(netns_pair) == 0
    assert not datapath.prepare("spw0")
    before = link_of(datapath)
    datapath.replace("spw0", chained(TWO))
    after = link_of(datapath)
    assert before and after
    assert (before.link_id, before.digest, after.digest) == (after.link_id, ONE, TWO)
    assert passed(netns_pair) == 0
    assert datapath.read_counts("spw0", [0])[0].matched_packets == 3 * FRAMES


def child_environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}


def test_two_processes_take_turns(netns_pair: NetnsPair, datapath: Datapath) -> None:
    """An agent and a command line at the same time: one change after the other, each whole."""
    datapath.attach("spw0", chained(ONE), XdpMode.NATIVE)
    children = [fork_replacing(datapath, number) for number in range(4)]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    assert passed(netns_pair) == 0
    assert len([each for each in pins(netns_pair) if each.endswith("prog")]) == 1


def fork_replacing(datapath: Datapath, number: int) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for turn in range(10):
                datapath.replace("spw0", chained(f"{number:05x}{turn:06x}"))
            status = 0
        finally:
            os._exit(status)
    return child


@pytest.mark.parametrize("name", ["counters", "switches", "stats", "ceilings"])
def test_maps_of_an_older_shape_are_succeeded(netns_pair: NetnsPair, datapath: Datapath, name: str) -> None:
    """Adoption of what an older version pinned: values go over, the old map is never changed under its program."""

    def older(spec: MapSpec) -> MapSpec:
        return replace(spec, max_entries=spec.max_entries - 1) if spec.max_entries > 1 else replace(spec, value_bytes=8)

    shapes = tuple(older(spec) if spec.name == name else spec for spec in MAPS)
    old = Datapath(netns_pair.bpffs / "spillway")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spillway_dataplane.kernel.datapath.SPECS", {spec.name: spec for spec in shapes})
        old.attach("spw0", artifact(ONE, number=DROP, slot=9, maps=shapes), XdpMode.NATIVE)
    assert passed(netns_pair) == 0
    datapath.attach("spw0", artifact(TWO, number=DROP, slot=9), XdpMode.NATIVE)
    assert passed(netns_pair) == 0
    assert datapath.read_counts("spw0", [9])[9].matched_packets == 2 * FRAMES
    assert [each for each in pins(netns_pair) if each.endswith(name)] == [f"spw0/{name}"]
