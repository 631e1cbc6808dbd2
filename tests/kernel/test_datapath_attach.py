"""Attaching, replacing, detaching: what the kernel runs, what it counts, and what is left."""

from __future__ import annotations

import errno
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.kernel.artifacts import DROP, artifact, chained, refused, verdict
from tests.kernel.netpair import NetnsPair, ip, namespace_path, run

from spillway_crds.errors import Conflict, KernelError, NotSupported, Transient
from spillway_crds.filters import XdpMode
from spillway_dataplane.filter.program import MODE_SLOTS, Switches
from spillway_dataplane.kernel import libbpf
from spillway_dataplane.kernel.artifact import MAPS
from spillway_dataplane.kernel.datapath import Datapath
from spillway_dataplane.node.observed import ObservedInterface, PinnedLink

ONE, TWO = "1" * 11, "2" * 11
FRAMES = 50


@pytest.fixture
def datapath(netns_pair: NetnsPair) -> Datapath:
    return Datapath(netns_pair.bpffs / "spillway")


def frames(pair: NetnsPair, size: int = 60) -> list[bytes]:
    return [pair.mac + pair.peer_mac + b"\x88\xb5" + bytes(size - 14)] * FRAMES


def seen(datapath: Datapath, ifname: str = "spw0") -> ObservedInterface:
    found = datapath.observe().interface(ifname)
    assert found is not None
    return found


def pinned(datapath: Datapath, ifname: str = "spw0") -> PinnedLink:
    link = seen(datapath, ifname).pinned
    assert link is not None
    return link


def passed(pair: NetnsPair, expected: int) -> int:
    with pair.listen() as listener:
        pair.send(frames(pair))
        return len(listener.frames(expected))


def open_pins(root: Path) -> list[str]:
    return sorted(str(each.relative_to(root)) for each in root.rglob("*") if not each.is_dir())


def test_attach_shows_in_netlink_and_pins(netns_pair: NetnsPair, datapath: Datapath) -> None:
    """What is reported is read back: ids, tag, digest, mode."""
    datapath.attach("spw0", artifact(ONE), XdpMode.NATIVE)
    found, link = seen(datapath), pinned(datapath)
    assert found.attached is not None
    assert (found.attached.mode, found.attached.program_id) == (XdpMode.NATIVE, link.program_id)
    assert (found.attached.name, link.digest, link.ifindex) == (f"spw_{ONE}", ONE, netns_pair.ifindex)
    assert len(link.program_tag) == 16 and found.maps_pinned
    assert (found.driver, found.kind, found.rx_queues, found.physical) == ("veth", "veth", 4, False)


@pytest.mark.parametrize("mode", [XdpMode.NATIVE, XdpMode.GENERIC])
def test_a_program_drops_and_counts(netns_pair: NetnsPair, datapath: Datapath, mode: XdpMode) -> None:
    assert passed(netns_pair, FRAMES) == FRAMES
    datapath.attach("spw0", artifact(ONE, number=DROP, slot=5), mode)
    assert passed(netns_pair, 0) == 0
    assert {slot: each.matched_packets for slot, each in datapath.read_counts("spw0", [4, 5]).items()} == {4: 0, 5: FRAMES}
    assert seen(datapath).attached.mode is mode  # type: ignore[union-attr]


@pytest.mark.parametrize("queue_id", range(4))
def test_every_queue_meets_the_program(netns_pair: NetnsPair, datapath: Datapath, queue_id: int) -> None:
    datapath.attach("spw0", chained(ONE), XdpMode.NATIVE)
    with netns_pair.listen() as listener:
        netns_pair.send(frames(netns_pair), queue_id=queue_id)
        assert listener.frames(0) == []
    assert datapath.read_counts("spw0", [0])[0].matched_packets == FRAMES


def test_counters_survive_replace(netns_pair: NetnsPair, datapath: Datapath) -> None:
    """A new program counts on where the old one stopped; its link stays the same."""
    datapath.attach("spw0", chained(ONE, slot=7), XdpMode.NATIVE)
    before = pinned(datapath)
    assert passed(netns_pair, 0) == 0
    datapath.replace("spw0", chained(TWO, slot=7))
    assert passed(netns_pair, 0) == 0
    after = pinned(datapath)
    assert datapath.read_counts("spw0", [7])[7].matched_packets == 2 * FRAMES
    assert (after.link_id, after.digest) == (before.link_id, TWO)
    assert after.program_id != before.program_id
    assert len(list((netns_pair.bpffs / "spillway/spw0").glob("gen*"))) == 1


def test_replace_lets_no_packet_through(netns_pair: NetnsPair, datapath: Datapath) -> None:
    """A hundred replacements under load of a program whose verdict lies behind a tail call."""
    ip("link set spw0 arp off")
    datapath.attach("spw0", chained(ONE), XdpMode.NATIVE)
    sent = 0
    with netns_pair.listen() as listener:
        for number in range(100):
            sent += netns_pair.send(frames(netns_pair))
            datapath.replace("spw0", chained(f"{number:011x}"))
        assert listener.frames(0) == []
    assert datapath.read_counts("spw0", [0])[0].matched_packets == sent


def test_load_check_changes_nothing(netns_pair: NetnsPair, datapath: Datapath) -> None:
    datapath.load_check(chained(ONE))
    with pytest.raises(KernelError) as refusal:
        datapath.load_check(refused())
    assert refusal.value.errno == errno.EACCES
    assert "R0 !read_ok" in refusal.value.detail
    assert not (netns_pair.bpffs / "spillway").exists()


def test_a_refused_program_leaves_the_old_one(netns_pair: NetnsPair, datapath: Datapath) -> None:
    datapath.attach("spw0", artifact(ONE, number=DROP), XdpMode.NATIVE)
    before, pins = pinned(datapath), open_pins(netns_pair.bpffs / "spillway")
    with pytest.raises(KernelError, match="EACCES"):
        datapath.replace("spw0", refused())
    assert pinned(datapath) == before
    assert open_pins(netns_pair.bpffs / "spillway") == pins
    assert passed(netns_pair, 0) == 0


def test_attach_over_our_own_replaces(netns_pair: NetnsPair, datapath: Datapath) -> None:
    datapath.attach("spw0", artifact(ONE), XdpMode.NATIVE)
    before = pinned(datapath)
    datapath.attach("spw0", artifact(TWO), XdpMode.AUTO)
    assert (pinned(datapath).link_id, pinned(datapath).digest) == (before.link_id, TWO)


def test_another_mode_keeps_counts(netns_pair: NetnsPair, datapath: Datapath) -> None:
    datapath.attach("spw0", artifact(ONE, number=DROP), XdpMode.NATIVE)
    assert passed(netns_pair, 0) == 0
    datapath.attach("spw0", artifact(TWO, number=DROP), XdpMode.GENERIC)
    assert passed(netns_pair, 0) == 0
    assert datapath.read_counts("spw0", [0])[0].matched_packets == 2 * FRAMES
    assert seen(datapath).attached.mode is XdpMode.GENERIC  # type: ignore[union-attr]


def test_another_mode_that_fails_brings_back_what_ran(netns_pair: NetnsPair, datapath: Datapath) -> None:
    datapath.attach("spw0", artifact(ONE), XdpMode.GENERIC)
    with pytest.raises(KernelError):
        datapath.attach("spw0", refused(), XdpMode.NATIVE)
    assert pinned(datapath).digest == ONE
    assert seen(datapath).attached.mode is XdpMode.GENERIC  # type: ignore[union-attr]


def test_prepare_says_whether_counters_are_new(datapath: Datapath) -> None:
    assert datapath.prepare("spw0")
    assert not datapath.prepare("spw0")
    datapath.write_switches("spw0", Switches(True, (2, 1)))
    datapath.attach("spw0", artifact(ONE), XdpMode.NATIVE)
    assert not datapath.prepare("spw0")
    read = datapath.read_switches("spw0")
    assert read.enforcement
    assert read.modes == (2, 1) + (0,) * (MODE_SLOTS - 2)


def test_detach_leaves_nothing(netns_pair: NetnsPair, datapath: Datapath) -> None:
    datapath.attach("spw0", chained(ONE), XdpMode.NATIVE)
    datapath.detach("spw0")
    datapath.detach("spw0")
    assert seen(datapath).attached is None
    assert seen(datapath).pinned is None
    assert datapath.pinned_names() == ()
    assert passed(netns_pair, FRAMES) == FRAMES


def test_purge_leaves_nothing(netns_pair: NetnsPair, datapath: Datapath) -> None:
    """Programs, links and maps of ours are gone from the kernel, not only from the filesystem."""
    programs, maps = run("bpftool", "prog", "list"), run("bpftool", "map", "list")
    datapath.attach("spw0", chained(ONE), XdpMode.NATIVE)
    datapath.write_peers(())
    datapath.prepare("gone0")
    assert ONE in run("bpftool", "prog", "list")
    ours = {"prog": ids(run("bpftool", "prog", "list")) - ids(programs), "map": ids(run("bpftool", "map", "list")) - ids(maps)}
    datapath.purge()
    datapath.purge()
    assert not (netns_pair.bpffs / "spillway").exists()
    assert "xdp" not in ip("-d link show spw0")
    for kind, made in ours.items():
        wait_until_gone(kind, made)


def wait_until_gone(kind: str, made: set[str]) -> None:
    """Programs and maps go some milliseconds after their last reference; what other tests load beside this one is theirs."""
    deadline = time.monotonic() + 5
    while made & ids(run("bpftool", kind, "list")):
        assert time.monotonic() < deadline, run("bpftool", kind, "list")
        time.sleep(0.05)


def ids(listing: str) -> set[str]:
    return {line.split(":")[0] for line in listing.splitlines() if line[:1].isdigit() and "name spw" in line}


@pytest.mark.parametrize("ifname", ["eth0.100", "node", "link", "é"])
def test_any_interface_name(netns_pair: NetnsPair, datapath: Datapath, ifname: str) -> None:
    """A BPF filesystem refuses dots, and one name is our own."""
    ip("link set spw0 down")
    run("ip", "link", "set", "spw0", "name", ifname)
    datapath.write_peers(())
    datapath.attach(ifname, artifact(ONE), XdpMode.NATIVE)
    assert datapath.pinned_names() == (ifname,)
    assert pinned(datapath, ifname).ifindex == seen(datapath, ifname).ifindex
    datapath.detach(ifname)
    assert datapath.pinned_names() == ()


def test_a_down_interface_can_be_attached(netns_pair: NetnsPair, datapath: Datapath) -> None:
    ip("link set spw0 down")
    datapath.attach("spw0", artifact(ONE, number=DROP), XdpMode.NATIVE)
    assert not seen(datapath).up
    ip("link set spw0 up")
    assert passed(netns_pair, 0) == 0


@pytest.mark.parametrize("mode", [XdpMode.NATIVE, XdpMode.GENERIC])
def test_large_mtu(netns_pair: NetnsPair, datapath: Datapath, mode: XdpMode) -> None:
    """Frames of 9,000 bytes reach the program whole, in fragments."""
    ip("link set spw0 mtu 9000")
    netns_pair.peer_run("ip", "link", "set", "spw1", "mtu", "9000")
    datapath.attach("spw0", artifact(ONE, number=DROP), mode)
    assert seen(datapath).mtu == 9000
    with netns_pair.listen() as listener:
        assert netns_pair.send(frames(netns_pair, 9014)) == FRAMES
        assert listener.frames(0) == []
    assert datapath.read_counts("spw0", [0])[0].matched_packets == FRAMES


def test_no_native_xdp_names_the_driver(netns_pair: NetnsPair, datapath: Datapath) -> None:
    ip("link add br0 type bridge")
    with pytest.raises(NotSupported, match="driver bridge has no native XDP"):
        datapath.attach("br0", artifact(ONE), XdpMode.NATIVE)
    datapath.attach("br0", artifact(ONE), XdpMode.AUTO)
    assert seen(datapath, "br0").attached.mode is XdpMode.GENERIC  # type: ignore[union-attr]


def test_too_few_queues_is_said(netns_pair: NetnsPair, datapath: Datapath) -> None:
    """A veth with fewer receive queues than its peer sends on."""
    ip("link add few numtxqueues 1 numrxqueues 1 type veth peer name many numtxqueues 4 numrxqueues 4")
    with pytest.raises(NotSupported, match="too few queues"):
        datapath.attach("few", artifact(ONE), XdpMode.NATIVE)


def test_an_absent_interface_is_transient(datapath: Datapath) -> None:
    with pytest.raises(Transient):
        datapath.attach("none0", artifact(ONE), XdpMode.NATIVE)
    with pytest.raises(Transient):
        datapath.replace("spw0", artifact(ONE))


@pytest.mark.parametrize(("ours", "theirs"), [(XdpMode.NATIVE, 4), (XdpMode.NATIVE, 2), (XdpMode.GENERIC, 4), (XdpMode.AUTO, 4)])
def test_foreign_program_is_named_and_untouched(netns_pair: NetnsPair, datapath: Datapath, ours: XdpMode, theirs: int) -> None:
    """Invariant 3. When it is gone, ours attaches."""
    with libbpf.prog_load(verdict(DROP), "foreign") as program:
        number = libbpf.prog_info(program).id
        with libbpf.link_create(program, netns_pair.ifindex, theirs):
            with pytest.raises(Conflict, match=rf"program {number} \(foreign\)"):
                datapath.attach("spw0", artifact(ONE), ours)
            assert passed(netns_pair, 0) == 0
            found = seen(datapath)
            assert found.attached is not None
            assert (found.attached.program_id, found.pinned) == (number, None)
            datapath.detach("spw0")
            assert seen(datapath).attached is not None
    datapath.attach("spw0", artifact(ONE), ours)
    assert passed(netns_pair, FRAMES) == FRAMES


def test_a_foreign_program_without_a_link_is_a_conflict_too(netns_pair: NetnsPair, datapath: Datapath) -> None:
    with libbpf.prog_load(verdict(DROP), "foreign") as program:
        libbpf.obj_pin(program, netns_pair.bpffs / "foreign")
    run("bpftool", "net", "attach", "xdpgeneric", "pinned", str(netns_pair.bpffs / "foreign"), "dev", "spw0")
    with pytest.raises(Conflict, match="Generic"):
        datapath.attach("spw0", artifact(ONE), XdpMode.AUTO)


def test_a_foreign_program_on_our_link_is_not_replaced(netns_pair: NetnsPair, datapath: Datapath) -> None:
    """The old program is stale: somebody moved our link to a program of theirs."""
    datapath.attach("spw0", artifact(ONE), XdpMode.NATIVE)
    link_path, program_path = (netns_pair.bpffs / "spillway/spw0" / each for each in ("link", "gen1-native/prog"))
    with (
        libbpf.prog_load(verdict(DROP), "foreign") as theirs,
        libbpf.obj_get(link_path) as link,
        libbpf.obj_get(program_path) as ours,
    ):
        libbpf.link_update(link, theirs, ours)
        number = libbpf.prog_info(theirs).id
    for change in (datapath.replace, lambda name, it: datapath.attach(name, it, XdpMode.NATIVE)):
        with pytest.raises(Conflict, match=str(number)):
            change("spw0", artifact(TWO))
    assert (pinned(datapath).program_id, pinned(datapath).digest) == (number, "")


def test_detached_by_somebody_reads_ifindex_zero(netns_pair: NetnsPair, datapath: Datapath) -> None:
    datapath.attach("spw0", artifact(ONE, number=DROP), XdpMode.NATIVE)
    run("bpftool", "link", "detach", "id", str(pinned(datapath).link_id))
    assert (pinned(datapath).ifindex, seen(datapath).attached) == (0, None)
    with pytest.raises(Transient):
        datapath.replace("spw0", artifact(TWO))
    datapath.reattach("spw0")
    assert pinned(datapath).ifindex == netns_pair.ifindex
    assert passed(netns_pair, 0) == 0


def test_a_device_that_moved_and_came_back(netns_pair: NetnsPair, datapath: Datapath) -> None:
    """A link goes with its device into another namespace and back; meanwhile it counts as detached."""
    datapath.attach("spw0", chained(ONE), XdpMode.NATIVE)
    before = pinned(datapath)
    ip(f"link set spw0 netns {namespace_path(netns_pair.peer_net)}")
    away = datapath.observe()
    assert away.interface("spw0") is None
    assert away.orphans == (("spw0", replace(before, ifindex=0)),)
    with pytest.raises(Transient):
        datapath.reattach("spw0")
    with pytest.raises(Transient):
        datapath.replace("spw0", artifact(TWO))
    netns_pair.peer_run("ip", "link", "set", "spw0", "netns", namespace_path(netns_pair.net))
    ip("link set spw0 up")
    datapath.reattach("spw0")
    assert pinned(datapath) == before
    assert passed(netns_pair, 0) == 0


def test_another_device_with_the_same_name_and_number(netns_pair: NetnsPair, datapath: Datapath) -> None:
    """Our link is still on the one that was moved away, whose number says nothing here."""
    datapath.attach("spw0", artifact(ONE, number=DROP), XdpMode.NATIVE)
    index = netns_pair.ifindex
    ip(f"link set spw0 netns {namespace_path(netns_pair.peer_net)}")
    ip(f"link add spw0 index {index} type veth peer name other")
    assert (pinned(datapath).ifindex, seen(datapath).ifindex) == (0, index)
    with pytest.raises(Transient):
        datapath.replace("spw0", artifact(TWO))
    datapath.attach("spw0", artifact(TWO), XdpMode.NATIVE)
    assert seen(datapath).attached is not None
    assert "xdp" not in netns_pair.peer_run("ip", "-d", "link", "show", "spw0")


def test_a_device_that_was_made_anew(netns_pair: NetnsPair, datapath: Datapath) -> None:
    """A driver that was loaded again, a pod network that was set up again: same name, link detached."""
    datapath.attach("spw0", chained(ONE), XdpMode.NATIVE)
    assert passed(netns_pair, 0) == 0
    ip("link del spw0")
    ((name, link),) = datapath.observe().orphans
    assert (name, link and link.ifindex) == ("spw0", 0)
    with pytest.raises(Transient):
        datapath.reattach("spw0")
    ip("link add spw0 type veth peer name spw1 netns " + namespace_path(netns_pair.peer_net))
    datapath.reattach("spw0")
    assert pinned(datapath).ifindex == seen(datapath).ifindex
    assert (pinned(datapath).digest, pinned(datapath).link_id) != (ONE, link and link.link_id)
    ip("link set spw0 up")
    netns_pair.peer_run("ip", "link", "set", "spw1", "up")
    assert passed(netns_pair, 0) == 0
    assert datapath.read_counts("spw0", [0])[0].matched_packets >= 2 * FRAMES


def test_reattach_without_pins(datapath: Datapath) -> None:
    with pytest.raises(KernelError, match="ENOENT"):
        datapath.reattach("spw0")


def test_missing_maps_are_a_kernel_error(datapath: Datapath) -> None:
    with pytest.raises(KernelError, match="ENOENT"):
        datapath.read_counts("spw0", [0])


def test_interface_counts(netns_pair: NetnsPair, datapath: Datapath) -> None:
    datapath.attach("spw0", artifact(ONE), XdpMode.NATIVE)
    counts = datapath.read_interface_counts("spw0")
    flows = next(spec.max_entries for spec in MAPS if spec.name == "stats") - 2
    assert (counts.malformed_packets, counts.unparsed_packets, counts.failsafe_packets) == (0, 0, (0,) * flows)


def test_clear_counts(netns_pair: NetnsPair, datapath: Datapath) -> None:
    datapath.attach("spw0", artifact(ONE, slot=3), XdpMode.NATIVE)
    assert passed(netns_pair, FRAMES) == FRAMES
    datapath.clear_counts("spw0", [3])
    assert datapath.read_counts("spw0", [3])[3].matched_packets == 0
