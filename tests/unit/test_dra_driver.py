"""The driver as kubelet meets it: over its sockets, with a keeper and an API that are fakes (dra_fakes.py)."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.dra_fakes import CLAIMS, NODE, FakeKeeper, KubeletSide, MemoryApi, Raw, claim, eventually

from spillway_crds.errors import Conflict, KernelError, NotSupported, Transient
from spillway_dataplane.cli.console import Say
from spillway_dataplane.cli.exits import CommandError
from spillway_dataplane.cli.off import _purge_streams
from spillway_dataplane.dra import prepare, reporter, tenure
from spillway_dataplane.dra.devices import Card
from spillway_dataplane.dra.driver import Driver
from spillway_dataplane.dra.settings import StreamSettings, read_settings
from spillway_dataplane.source import Stop
from spillway_dataplane.stream.model import RingCounters

EBUSY = 16


@dataclass
class Place:
    """A node's directories, its keeper and its API server, for one process of the driver after another."""

    root: Path
    api: MemoryApi = field(default_factory=MemoryApi)
    cards: dict[str, Card] = field(default_factory=lambda: {"eth1": Card("eth1", tx_queues=4)})
    running: list[tuple[Driver, threading.Thread, KubeletSide]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.grant([1, 2])
        for name in ("plugins", "plugins_registry"):
            (self.root / name).mkdir()
        self.api.objects[f"/api/v1/nodes/{NODE}"] = {"metadata": {"uid": "node-uid"}}
        self.claim("cam")

    def claim(self, name: str, uid: str = "uid-1", device: str = "eth1-tx1", **more: Any) -> None:
        self.api.objects[f"{CLAIMS}/{name}"] = claim(name, uid, device, **more)

    def grant(self, queues: list[int], namespace: str = "studio") -> None:
        grants = [{"interface": "eth1", "queues": queues, "namespaces": [namespace]}]
        (self.root / "streams.json").write_text(json.dumps({"grants": grants}))

    def settings(self, instance: str) -> StreamSettings:
        return StreamSettings(
            NODE, instance=instance, kubelet=self.root, cdi=self.root / "cdi", config=self.root / "streams.json"
        )

    def start(self, keeper: FakeKeeper, instance: str = "a", frames_bytes: int = 0) -> tuple[Driver, KubeletSide]:
        driver = Driver(
            replace(self.settings(instance), frames_bytes=frames_bytes),
            make_keeper=lambda: keeper,
            make_api=lambda: self.api,
            observe=lambda names: {name: self.cards[name] for name in names if name in self.cards},
            watch=no_watch,
        )
        thread = threading.Thread(target=driver.run)
        thread.start()
        side = KubeletSide(self.settings(instance).plugin_socket)
        self.running.append((driver, thread, side))
        return driver, side

    def stop(self) -> None:
        self.api.close()
        for driver, thread, side in self.running:
            side.close()
            driver.inbox.put(Stop())
            thread.join(20)
            assert not thread.is_alive()
        self.running.clear()


@contextmanager
def no_watch(changed: Callable[[], None]) -> Iterator[None]:
    yield


@pytest.fixture
def place() -> Iterator[Place]:
    root = Path(tempfile.mkdtemp(prefix="dra", dir="/tmp"))  # a socket's path ends at 107 bytes
    made = Place(root)
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(root)


@dataclass
class Node:
    """One driver, running."""

    place: Place
    keeper: FakeKeeper
    driver: Driver
    kubelet: KubeletSide

    def condition(self, name: str, kind: str) -> Raw | None:
        devices = self.place.api.objects[f"{CLAIMS}/{name}"]["status"].get("devices", ())
        return next((each for device in devices for each in device["conditions"] if each["type"] == kind), None)


@pytest.fixture
def node(place: Place) -> Node:
    keeper = FakeKeeper()
    return Node(place, keeper, *place.start(keeper))


# ---- registration and slices ----------------------------------------------------------------------------------------------


def test_kubelet_is_told_who_we_are(node: Node) -> None:
    info = node.kubelet.info()
    assert (info.type, info.name, list(info.supported_versions)) == ("DRAPlugin", "tx-queue.spillway.dev", ["v1.DRAPlugin"])
    assert Path(info.endpoint).is_socket()
    assert node.place.settings("a").registration_socket.is_socket()


def test_ready_once_it_acts_and_kubelet_took_it(node: Node) -> None:
    node.kubelet.info()
    assert not node.driver.ready
    node.kubelet.notify(registered=False, error="no")
    assert not node.driver.ready
    node.kubelet.notify()
    eventually(lambda: node.driver.ready)


def test_granted_queues_are_offered_and_come_back_after_a_wipe(node: Node) -> None:
    eventually(node.place.api.slices)
    (before,) = node.place.api.slices()
    assert [each["name"] for each in before["spec"]["devices"]] == ["eth1-tx1", "eth1-tx2"]
    assert before["metadata"]["ownerReferences"][0]["uid"] == "node-uid"
    node.place.api.delete(f"/apis/resource.k8s.io/v1/resourceslices/{before['metadata']['name']}")
    eventually(node.place.api.slices)


def test_an_api_server_that_is_away_is_asked_again(place: Place) -> None:
    place.api.fail = 500
    _, kubelet = place.start(FakeKeeper())
    threading.Timer(0.6, lambda: setattr(place.api, "fail", 0)).start()
    assert kubelet.prepare().error == ""
    eventually(place.api.slices)


# ---- prepare and unprepare ------------------------------------------------------------------------------------------------


def test_a_prepared_claim_has_ring_cdi_file_and_checkpoint(node: Node) -> None:
    answer = node.kubelet.prepare()
    (device,) = answer.devices
    assert (list(device.request_names), device.pool_name, device.device_name) == (["ring"], NODE, "eth1-tx1")
    spec = json.loads((node.place.root / "cdi" / "tx-queue.spillway.dev-uid-1.json").read_text())
    assert list(device.cdi_device_ids) == [f"{spec['kind']}={each['name']}" for each in spec["devices"]]
    assert (node.place.settings("a").claims / "uid-1.json").is_file()
    order = node.keeper.orders["uid-1/ring"]
    assert (order.interface, order.queue, order.label) == ("eth1", 1, "studio/cam")
    assert order.directory == node.place.settings("a").claims / "uid-1" / "ring"


def test_the_same_claim_again_gives_the_same_answer_also_without_the_api(node: Node) -> None:
    first = node.kubelet.prepare()
    node.place.api.fail = 500
    assert node.kubelet.prepare() == first
    assert len(node.keeper.rings) == 1


def test_unprepare_leaves_nothing_and_may_be_repeated(node: Node) -> None:
    node.kubelet.prepare()
    for _ in range(2):
        assert node.kubelet.unprepare().error == ""
    assert node.keeper.rings == {}
    assert list((node.place.root / "cdi").iterdir()) == []
    assert list(node.place.settings("a").claims.iterdir()) == []


def test_a_successor_waits_for_the_claim_of_a_pod_that_was_deleted_by_force(node: Node) -> None:
    """Its preparation comes before the old claim's end; a failure would be asked about again only after a minute."""
    node.kubelet.prepare()
    node.place.claim("cam2", "uid-2")
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(node.kubelet.prepare("cam2", "uid-2")))
    waiting.start()
    eventually(lambda: node.keeper.tried > 2)
    assert answers == []
    node.kubelet.unprepare()
    waiting.join(20)
    assert answers[0].error == ""
    assert [each.label for each in node.keeper.rings.values()] == ["studio/cam2"]


def test_a_queue_that_stays_taken_is_an_error_that_names_the_holder_before_kubelet_s_patience_ends(node: Node) -> None:
    node.kubelet.prepare()
    node.place.claim("cam2", "uid-2")
    answer = node.kubelet.prepare("cam2", "uid-2", timeout_s=4)
    assert answer.error == "Conflict: eth1 queue 1: studio/cam has it"
    assert list(answer.devices) == []
    assert not (node.place.settings("a").claims / "uid-2.json").exists()
    eventually(lambda: node.condition("cam2", "Ready"))


def test_who_waits_long_is_told_why_before_the_waiting_ends(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "TELL_AFTER_S", 0.1)
    node.keeper.refuse["eth1", 1] = Conflict(subject="eth1 queue 1", owner="studio/other holds the queue")
    waiting = node.kubelet.later("NodePrepareResources", "cam", "uid-1")
    eventually(lambda: (node.condition("cam", "Ready") or {}).get("reason") == "Conflict")
    assert not waiting.done()
    node.keeper.refuse.clear()
    assert waiting.result(20).claims["uid-1"].error == ""
    eventually(lambda: (node.condition("cam", "Ready") or {})["status"] == "True")


def test_a_wait_ends_when_kubelet_gives_the_claim_back(node: Node) -> None:
    node.keeper.refuse["eth1", 1] = KernelError(errno=EBUSY, operation="bind", ifname="eth1")
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(node.kubelet.prepare(timeout_s=40)))
    waiting.start()
    eventually(lambda: node.keeper.tried > 1)
    assert node.kubelet.unprepare().error == ""
    waiting.join(20)
    assert "EBUSY" in answers[0].error


def test_what_cannot_pass_is_said_at_once_and_in_the_claim(node: Node) -> None:
    node.keeper.refuse["eth1", 1] = NotSupported(subject="eth1 queue 1", detail="zero copy: EOPNOTSUPP")
    answer = node.kubelet.prepare()
    assert answer.error == "NotSupported: eth1 queue 1: zero copy: EOPNOTSUPP"
    assert node.keeper.tried == 1
    eventually(lambda: node.condition("cam", "Ready"))
    assert (node.condition("cam", "Ready") or {})["reason"] == "NotSupported"


def test_a_queue_that_is_not_granted_is_said_in_the_claim_too(node: Node) -> None:
    """Its parameters may be anything: the device that is allocated is all that has to be known for that."""
    node.place.claim("cam", device="eth1-tx3", config=[])
    assert "eth1-tx3" in node.kubelet.prepare().error
    eventually(lambda: node.condition("cam", "Ready"))
    assert (node.condition("cam", "Ready") or {})["reason"] == "InvalidIntent"
    assert node.keeper.tried == 0


def test_a_withdrawn_grant_is_checked_again_for_a_claim_that_is_known(node: Node) -> None:
    node.kubelet.prepare()
    node.place.grant([1], namespace="lab")
    node.driver._changed()
    eventually(lambda: "not granted" in node.kubelet.prepare().error)
    assert len(node.keeper.rings) == 1, "what runs is not cut"


def test_one_ring_of_two_that_cannot_be_had_gives_the_other_back(node: Node) -> None:
    result = {"request": "ring", "driver": "tx-queue.spillway.dev", "pool": NODE}
    node.place.claim("cam", results=[{**result, "device": f"eth1-tx{queue}"} for queue in (1, 2)])
    node.keeper.refuse["eth1", 2] = NotSupported(subject="eth1 queue 2", detail="no")
    assert "NotSupported" in node.kubelet.prepare().error
    assert node.keeper.rings == {}
    node.keeper.refuse.clear()
    assert [each.device_name for each in node.kubelet.prepare().devices] == ["eth1-tx1", "eth1-tx2"]


def test_rings_that_would_not_fit_into_the_container_s_memory_are_refused(place: Place) -> None:
    """Frames are charged to the driver: whoever asks for the largest rings must not have it killed."""
    keeper = FakeKeeper()
    _, kubelet = place.start(keeper, frames_bytes=20 << 20)
    assert kubelet.prepare().error == ""
    keeper.change("uid-1/ring", umem_bytes=16 << 20)
    place.claim("cam2", "uid-2", "eth1-tx2")
    answer = kubelet.prepare("cam2", "uid-2", timeout_s=4)
    assert "its frames take 16 MiB, rings of this node 16 MiB of 20 MiB" in answer.error
    assert kubelet.unprepare().error == ""
    assert kubelet.prepare("cam2", "uid-2").error == ""


def test_a_full_disk_is_an_error_and_no_lost_queue(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    node.kubelet.info()
    monkeypatch.setattr("spillway_dataplane.dra.checkpoint.Store.write_json", full)
    assert "ENOSPC" in node.kubelet.prepare().error
    assert node.keeper.rings == {}
    monkeypatch.undo()
    assert node.kubelet.prepare().error == ""


def test_a_mistake_of_ours_is_an_answer_too(node: Node) -> None:
    node.keeper.refuse["eth1", 1] = ZeroDivisionError("oh")  # type: ignore[assignment]
    assert node.kubelet.prepare().error == "internal error: ZeroDivisionError: oh"
    node.keeper.refuse.clear()
    assert node.kubelet.prepare().error == ""


# ---- restarts -------------------------------------------------------------------------------------------------------------


def test_a_restarted_driver_holds_again_what_was_prepared(place: Place) -> None:
    _, kubelet = place.start(FakeKeeper())
    first = kubelet.prepare()
    place.stop()
    shutil.rmtree(place.root / "cdi")  # a boot: /run is empty
    place.api = MemoryApi(place.api.objects)
    keeper = FakeKeeper()
    _, kubelet = place.start(keeper)
    eventually(lambda: keeper.rings)
    assert (place.root / "cdi" / "tx-queue.spillway.dev-uid-1.json").is_file()
    assert kubelet.prepare() == first
    assert kubelet.unprepare().error == ""


def test_a_ring_that_cannot_be_opened_yet_after_a_boot_is_tried_again(place: Place) -> None:
    _, kubelet = place.start(FakeKeeper())
    kubelet.prepare()
    place.stop()
    place.api = MemoryApi(place.api.objects)
    keeper = FakeKeeper()
    keeper.refuse["eth1", 1] = Transient(operation="open ring", detail="no such interface")
    driver, _ = place.start(keeper)
    eventually(lambda: driver.snapshot.unopened == 1)
    keeper.refuse.clear()
    driver._changed()
    eventually(lambda: driver.snapshot.unopened == 0 and keeper.rings)


def test_after_a_boot_a_ring_waits_for_its_card_s_native_program(place: Place) -> None:
    """Bound before, it would be refused zero copy, or the program's first attach would flap the link under it."""
    _, kubelet = place.start(FakeKeeper())
    first = kubelet.prepare()
    place.stop()
    place.api = MemoryApi(place.api.objects)
    place.cards["eth1"] = Card("eth1", tx_queues=4, native=False)
    keeper = FakeKeeper()
    driver, kubelet = place.start(keeper)
    waiting = kubelet.later("NodePrepareResources", "cam", "uid-1")
    eventually(lambda: driver.snapshot.unopened == 1)
    assert keeper.tried == 0
    place.cards["eth1"] = Card("eth1", tx_queues=4)
    assert waiting.result(20).claims["uid-1"] == first
    assert list(keeper.rings) == ["uid-1/ring"]


def test_a_ring_that_is_known_is_kept_whatever_its_card_does(node: Node) -> None:
    first = node.kubelet.prepare()
    node.place.cards.clear()
    assert node.kubelet.prepare() == first


def test_a_newer_process_takes_over_without_a_moment_in_which_kubelet_has_nobody(place: Place) -> None:
    old_keeper, new_keeper = FakeKeeper(), FakeKeeper()
    old, kubelet = place.start(old_keeper)
    first = kubelet.prepare()
    eventually(lambda: old.snapshot.acting)
    new, newer = place.start(new_keeper, "b")
    newer.info()
    assert place.settings("a").registration_socket.exists()
    assert place.settings("b").registration_socket.exists()
    eventually(lambda: (place.settings("a").plugin / "handover").exists() or not old.snapshot.acting)
    old._changed()  # the real process hears of the file by a signal
    assert newer.prepare() == first, "who waits for the node's lock answers once it has it"
    assert not old.snapshot.acting
    assert (old_keeper.rings, list(new_keeper.rings)) == ({}, ["uid-1/ring"])
    eventually(lambda: new.snapshot.acting)
    new.inbox.put(Stop())
    eventually(lambda: old.snapshot.acting and old_keeper.rings)


def test_who_ends_is_no_longer_found_by_kubelet(place: Place) -> None:
    _, kubelet = place.start(FakeKeeper())
    kubelet.info()
    place.stop()
    assert list((place.root / "plugins_registry").iterdir()) == []
    assert not place.settings("a").plugin_socket.exists()


def test_sockets_of_a_killed_process_are_removed_and_those_of_a_living_one_stay(place: Place) -> None:
    dead, living = (place.root / "plugins_registry" / f"tx-queue.spillway.dev-{name}-reg.sock" for name in ("dead", "living"))
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(dead))
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(living))
        other.listen()
        driver, _ = place.start(FakeKeeper())
        eventually(lambda: driver.snapshot.acting)
        assert (dead.exists(), living.exists()) == (False, True)
    living.unlink()


# ---- status ---------------------------------------------------------------------------------------------------------------


def test_news_are_in_the_claim_at_once_and_counters_at_their_pace(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter, "AT_LEAST_S", 0.05)
    node.kubelet.prepare()
    eventually(lambda: node.condition("cam", "Ready"))
    node.keeper.change("uid-1/ring", holder="pid 7")
    eventually(lambda: (node.condition("cam", "Connected") or {}).get("reason") == "Held")
    written = len(node.place.api.statuses("cam"))
    for packets in range(5):
        node.keeper.change("uid-1/ring", counters=RingCounters(packets=packets))
        time.sleep(0.05)
    eventually(lambda: node.driver.snapshot.rings[0].counters.packets == 4)
    assert len(node.place.api.statuses("cam")) == written
    node.keeper.change("uid-1/ring", next_hop_mac="02:00:00:00:00:09")
    eventually(lambda: len(node.place.api.statuses("cam")) == written + 1)
    (device,) = node.place.api.statuses("cam")[-1]["status"]["devices"]
    assert (device["data"]["nextHopMac"], device["data"]["packets"]) == ("02:00:00:00:00:09", 4)


def test_that_a_container_once_connected_is_remembered_over_a_restart(node: Node) -> None:
    node.kubelet.prepare()
    node.keeper.change("uid-1/ring", holder="pid 7")
    path = node.place.settings("a").claims / "uid-1.json"
    eventually(lambda: json.loads(path.read_text())["connected"])


def test_a_claim_that_is_gone_is_written_to_no_more_and_its_ring_stays_while_it_is_held(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "AT_LEAST_S", 0.05)
    monkeypatch.setattr(tenure, "FORGET_S", 0.0)
    node.kubelet.prepare()
    node.keeper.change("uid-1/ring", holder="pid 7")
    eventually(lambda: (node.condition("cam", "Connected") or {}).get("reason") == "Held")
    del node.place.api.objects[f"{CLAIMS}/cam"]
    written = len(node.place.api.applied)
    node.keeper.change("uid-1/ring", next_hop_mac="02:00:00:00:00:09")
    eventually(lambda: node.place.api.refused)
    node.keeper.change("uid-1/ring", next_hop_mac="02:00:00:00:00:0a")
    time.sleep(0.3)
    assert (len(node.place.api.applied), node.place.api.refused) == (written, 1)
    assert len(node.keeper.rings) == 1
    node.keeper.change("uid-1/ring", holder="")
    eventually(lambda: not node.keeper.rings)  # kubelet forgot to give it back: no queue may be lost to that


# ---- settings -------------------------------------------------------------------------------------------------------------


def test_sockets_of_two_pods_differ_and_fit_into_their_107_bytes() -> None:
    environment = {
        "NODE_NAME": "n",
        "NODE_IP": "10.0.0.7,fd00::7",
        "SPILLWAY_KUBELET_DIR": "/var/snap/microk8s/common/var/lib/kubelet",
        "POD_UID": "0f3c1b9e-6a5b-4a53-8f9d-1c0d8e8d7c11",
    }
    one, other = read_settings(environment), read_settings({**environment, "POD_UID": "aaaaaaaa-6a5b"})
    assert one.plugin_socket != other.plugin_socket
    assert all(len(os.fspath(each)) < 107 for each in (one.plugin_socket, one.registration_socket))
    assert (one.frames_bytes, read_settings({**environment, "SPILLWAY_MEMORY_LIMIT": str(1 << 30)}).frames_bytes) == (
        0,
        864 << 20,
    )
    assert sorted(map(str, one.node_addresses)) == ["10.0.0.7", "fd00::7"]


def test_without_a_node_name_nothing_starts() -> None:
    with pytest.raises(KeyError):
        read_settings({})


# ---- leaving for good -----------------------------------------------------------------------------------------------------


def test_a_purge_leaves_nothing_of_ours_and_everything_of_others(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    _, kubelet = place.start(FakeKeeper())
    kubelet.prepare()
    settings = place.settings("a")
    with pytest.raises(CommandError, match="acts on this node"):
        _purge_streams(Say(), settings.kubelet, settings.cdi)
    place.stop()
    (settings.cdi / "nvidia.json").write_text("{}")
    (settings.plugin.parent / "other").mkdir()
    _purge_streams(Say(), settings.kubelet, settings.cdi)
    assert "claim uid-1 was still prepared" in capsys.readouterr().out
    assert [each.name for each in settings.cdi.iterdir()] == ["nvidia.json"]
    assert [each.name for each in settings.plugin.parent.iterdir()] == ["other"]
    _purge_streams(Say(), settings.kubelet, settings.cdi)
    assert not settings.plugin.exists(), "where there never was a driver, none of its files is made"
