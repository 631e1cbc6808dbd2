"""Wake-ups: what changes is told soon and together, and a device that left and came back is told as both."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from tests.kernel.netpair import NetnsPair, ip, namespace_path, open_descriptors

from spillway_dataplane.kernel.events import Changes, Watcher
from spillway_dataplane.kernel.netlink import watch


class Heard:
    """Wake-ups in the order in which they came."""

    def __init__(self) -> None:
        self.queue: queue.Queue[Changes] = queue.Queue()

    def all(self, quiet_s: float = 0.5) -> Changes:
        """Everything until nothing comes for a while, as one."""
        found = self.queue.get(timeout=5)
        while True:
            try:
                found |= self.queue.get(timeout=quiet_s)
            except queue.Empty:
                return found

    def nothing(self) -> bool:
        time.sleep(0.4)
        return self.queue.empty()


@pytest.fixture
def heard(netns_pair: NetnsPair) -> Iterator[Heard]:
    listener = Heard()
    with watch(listener.queue.put):
        time.sleep(0.3)
        while not listener.queue.empty():
            listener.queue.get()
        yield listener


def test_quiet_is_quiet(heard: Heard) -> None:
    assert heard.nothing()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("link set spw0 mtu 1400", id="mtu"),
        pytest.param("link set spw0 down", id="down"),
        pytest.param("address add 10.9.0.1/24 dev spw0", id="address"),
        pytest.param("route add default dev spw0", id="default-route"),
    ],
)
def test_a_change_wakes(heard: Heard, change: str) -> None:
    ip(change)
    assert heard.all() == Changes()


def test_a_carrier_that_goes_wakes(netns_pair: NetnsPair, heard: Heard) -> None:
    netns_pair.peer_run("ip", "link", "set", "spw1", "down")
    assert heard.all() == Changes()


@pytest.mark.parametrize("ours", ["route add 10.7.0.0/16 dev spw0", "route add default dev spw0 table 77"])
def test_other_routes_do_not_wake(heard: Heard, ours: str) -> None:
    """A router learns thousands of them."""
    ip(ours)
    assert heard.nothing()


def test_came_and_went(heard: Heard) -> None:
    ip("link add new0 type veth peer name new1")
    assert heard.all() == Changes(came=frozenset({"new0", "new1"}))
    ip("link del new0")
    assert heard.all() == Changes(went=frozenset({"new0", "new1"}))


def test_left_and_came_back(netns_pair: NetnsPair, heard: Heard) -> None:
    ip(f"link set spw0 netns {namespace_path(netns_pair.peer_net)}")
    netns_pair.peer_run("ip", "link", "set", "spw0", "netns", namespace_path(netns_pair.net))
    changes = heard.all()
    assert "spw0" in changes.went & changes.came


def test_a_new_name_is_another_device(heard: Heard) -> None:
    ip("link set spw0 down")
    ip("link set spw0 name lan0")
    assert heard.all() == Changes(went=frozenset({"spw0"}), came=frozenset({"lan0"}))


def test_leaving_a_bridge_is_not_leaving(heard: Heard) -> None:
    """A bridge tells its ports' news as RTM_DELLINK too."""
    ip("link add br0 type bridge")
    ip("link set spw0 master br0")
    heard.all()
    ip("link set spw0 nomaster")
    assert heard.all() == Changes()


def test_many_changes_are_few_wake_ups(netns_pair: NetnsPair, heard: Heard) -> None:
    path = netns_pair.bpffs.parent / "batch"
    path.write_text("\n".join(f"link set spw0 mtu {mtu}" for mtu in range(1000, 1400)))
    started = time.monotonic()
    ip(f"-batch {path}")
    took = time.monotonic() - started
    time.sleep(0.4)
    assert 1 <= heard.queue.qsize() <= 2 + took / 0.2


def test_lost_events_are_told_and_made_good(netns_pair: NetnsPair) -> None:
    """More than the socket's buffer holds: names are compared with what was there before."""
    watcher = Watcher()
    watcher._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    path = netns_pair.bpffs.parent / "batch"
    path.write_text("\n".join(f"link add many{number} type veth peer name peer{number}" for number in range(50)))
    ip(f"-batch {path}")
    changes = watcher.read()
    watcher.close()
    assert changes is not None
    assert changes.lost
    assert {f"many{number}" for number in range(50)} <= changes.came


def test_closing_ends_the_thread_and_its_descriptors(netns_pair: NetnsPair) -> None:
    before = open_descriptors()
    with watch(lambda _: None) as watching:
        assert "spillway-netlink" in {thread.name for thread in threading.enumerate()}
    watching.close()
    assert "spillway-netlink" not in {thread.name for thread in threading.enumerate()}
    assert open_descriptors() == before
