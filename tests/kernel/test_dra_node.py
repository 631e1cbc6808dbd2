"""The driver of streams on a real card: what it offers, what it hands out, and that nothing is lost when it is killed."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kernel.artifacts import artifact
from tests.kernel.dra_process import DriverHost, driver_host
from tests.kernel.netpair import NetnsPair, ip
from tests.kernel.ring_client import HeldRing, close_opened, hold
from tests.kernel.ring_lab import make_node, numbered, numbers
from tests.unit.dra_fakes import CLAIMS, PARAMETERS, KubeletSide, Raw, claim, eventually

from spillway_crds.filters import XdpMode
from spillway_dataplane.dra.observe import observe_cards
from spillway_dataplane.kernel.datapath import Datapath
from spillway_stream.pages import LinkState

GRANTS: list[Raw] = [{"interface": "spw0", "queues": [1, 2], "namespaces": ["studio"]}]
FLOW = {"destinationAddress": "10.9.0.2", "destinationPort": 5004}


@pytest.fixture
def node(netns_pair: NetnsPair) -> NetnsPair:
    ip("link set lo up")
    Datapath(netns_pair.bpffs / "spillway").attach("spw0", artifact("1" * 11), XdpMode.NATIVE)
    return make_node(netns_pair)


@pytest.fixture
def host(node: NetnsPair) -> Iterator[DriverHost]:
    root = Path(tempfile.mkdtemp(prefix="dra", dir="/tmp"))  # a socket's path ends at 107 bytes
    try:
        with driver_host(root, GRANTS) as made:
            put_claim(made, "cam", "uid-1", "spw0-tx1")
            yield made
    finally:
        close_opened()
        shutil.rmtree(root)


def put_claim(host: DriverHost, name: str, uid: str, device: str) -> None:
    config = [{"opaque": {"driver": "tx-queue.spillway.dev", "parameters": {**PARAMETERS, "flow": FLOW}}}]
    host.api.objects[f"{CLAIMS}/{name}"] = claim(name, uid, device, config=config)


def directory(host: DriverHost, uid: str = "uid-1") -> Path:
    return host.settings.claims / uid / "ring"


def ready(host: DriverHost, uid: str = "uid-1") -> HeldRing:
    held = hold(directory(host, uid))
    held.until(LinkState.READY)
    return held


def condition(host: DriverHost, kind: str) -> tuple[str, str] | None:
    devices = host.api.objects[f"{CLAIMS}/cam"]["status"].get("devices", ())
    found = [each for device in devices for each in device["conditions"] if each["type"] == kind]
    return (found[0]["status"], found[0]["reason"]) if found else None


def test_a_card_is_seen_as_the_kernel_has_it(netns_pair: NetnsPair) -> None:
    before = observe_cards(["spw0", "absent0"])
    assert list(before) == ["spw0"]
    card = before["spw0"]
    assert (card.native, card.up, card.tx_queues, card.driver) == (False, True, 4, "veth")
    assert (card.mac, card.zero_copy, card.numa_node) == (netns_pair.mac.hex(":"), frozenset(), -1)
    Datapath(netns_pair.bpffs / "spillway").attach("spw0", artifact("1" * 11), XdpMode.NATIVE)
    ip("link set spw0 down")
    card = observe_cards(["spw0"])["spw0"]
    assert (card.native, card.up) == (True, False)


def test_a_generic_program_is_not_what_a_ring_needs(netns_pair: NetnsPair) -> None:
    """Binding would still attach nothing, but a driver's queues are only known to stay with a native one."""
    Datapath(netns_pair.bpffs / "spillway").attach("spw0", artifact("1" * 11), XdpMode.GENERIC)
    assert not observe_cards(["spw0"])["spw0"].native


def sends(held: HeldRing, node: NetnsPair, first: int, count: int = 200) -> None:
    with node.peer_listen() as listener:
        held.send(numbered(held, first, count))
        assert numbers(listener.frames(count)) == list(range(first, first + count))


def test_from_offer_to_packets_and_back(host: DriverHost, node: NetnsPair) -> None:
    kubelet = host.start()
    eventually(host.api.slices)
    (offered,) = host.api.slices()
    assert [each["name"] for each in offered["spec"]["devices"]] == ["spw0-tx1", "spw0-tx2"]
    assert kubelet.prepare().error == ""
    held = ready(host)
    assert (held.offer.queue, held.offer.interface, held.offer.stream) == (1, "spw0", "studio/cam")
    sends(held, node, 0)
    eventually(lambda: condition(host, "Ready") == ("True", "Ready") and condition(host, "Connected") == ("True", "Held"))
    held.close()
    assert kubelet.unprepare().error == ""
    assert not directory(host).exists()
    assert host.end(signal.SIGTERM) == 0, host.log
    assert "Traceback" not in host.log
    kubelet.close()


def test_a_killed_driver_loses_no_ring_and_a_new_one_adopts_it(host: DriverHost, node: NetnsPair) -> None:
    kubelet = host.start()
    assert kubelet.prepare().error == ""
    held = ready(host)
    kubelet.close()
    host.end(signal.SIGKILL)
    sends(held, node, 0)
    kubelet = host.start()
    kubelet.info()
    eventually(lambda: "1 claims, 0 of them not open yet" in host.log.rpartition("spillway-streams")[2])
    resumed = HeldRing.taken(held.resume(directory(host)))
    sends(resumed, node, 200)
    eventually(lambda: condition(host, "Connected") == ("True", "Held"))
    put_claim(host, "cam2", "uid-2", "spw0-tx1")
    assert "spw0 queue 1" in kubelet.prepare("cam2", "uid-2", timeout_s=4).error
    assert kubelet.unprepare().error == ""
    resumed.close()
    held.close()
    assert kubelet.prepare("cam2", "uid-2").error == "", "the queue is free once its last holder has ended"
    sends(ready(host, "uid-2"), node, 400)
    kubelet.close()


def test_an_update_hands_every_ring_to_the_newer_process(host: DriverHost, node: NetnsPair) -> None:
    older = host.start("a")
    assert older.prepare().error == ""
    held = ready(host)
    newer = host.start("b")
    eventually(lambda: "handing over" in host.log)
    sends(held, node, 0)
    answer = newer.prepare()
    assert (answer.error, len(answer.devices)) == ("", 1)
    resumed = HeldRing.taken(held.resume(directory(host)))
    assert host.end(signal.SIGTERM, 0) == 0
    assert not host.settings_of("a").registration_socket.exists()
    assert host.settings_of("b").registration_socket.exists()
    sends(resumed, node, 200)
    assert newer.unprepare().error == ""
    for each in (older, newer):
        each.close()


def test_the_successor_of_a_pod_that_was_deleted_by_force_gets_its_queue(host: DriverHost, node: NetnsPair) -> None:
    """Kubelet prepares the new claim first, then kills the old container, then gives its claim back."""
    kubelet: KubeletSide = host.start()
    assert kubelet.prepare().error == ""
    held = ready(host)
    put_claim(host, "cam2", "uid-2", "spw0-tx1")
    waiting = kubelet.later("NodePrepareResources", "cam2", "uid-2")
    held.close()
    assert kubelet.unprepare().error == ""
    assert waiting.result(20).claims["uid-2"].error == ""
    sends(ready(host, "uid-2"), node, 0)
    kubelet.close()
