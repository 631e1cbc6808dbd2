"""A guest's card, the far end of its cable in a network namespace of its own, and frames that tell whether they are whole."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spillway_dataplane.kernel.libbpf import XDP_DRV_MODE, link_create, link_detach, prog_load
from tests.kernel.namespaces import inside, new_network
from tests.nic.cards import CARD_MAC, FAR_MAC
from tests.nic.guest.numbered import PAYLOAD_AT, body, numbers_of

CARD_ADDRESS, FAR_ADDRESS = "10.9.0.1", "10.9.0.2"
ETH_P_ALL, ETH_P_IP = 0x0003, 0x0800
SOL_PACKET, PACKET_IGNORE_OUTGOING, SO_RCVBUFFORCE = 263, 23, 33
FRAME_BYTES = 1400
BURST, PAUSE_S = 32, 0.004  # what an emulated card takes without dropping
PASS = struct.pack("<BBhi", 0xB7, 0, 0, 2) + struct.pack("<BBhi", 0x95, 0, 0, 0)  # r0 = XDP_PASS; exit
NET = Path("/sys/class/net")


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}{done.stdout}"
    return done.stdout


def frame(target: bytes, source: bytes, number: int, flow: int = 0, size: int = FRAME_BYTES) -> bytes:
    """A numbered IPv4 UDP frame. flow: a source address and port of its own."""
    payload = body(number, size - PAYLOAD_AT)
    udp = struct.pack(">HHHH", 1024 + flow % 1000, 5004, 8 + len(payload), 0) + payload
    source_ip = struct.pack(">BBH", 10, 9, 0x0100 + flow)
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0x4000, 64, 17, 0) + source_ip + socket.inet_aton(CARD_ADDRESS)
    return target + source + struct.pack(">H", ETH_P_IP) + with_checksum(ip) + udp


def with_checksum(ip: bytes) -> bytes:
    total = sum(struct.unpack(">10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    return ip[:10] + struct.pack(">H", 0xFFFF ^ ((total & 0xFFFF) + (total >> 16))) + ip[12:]


class Listener:
    """Collects what comes in on an interface of the thread's network namespace, from now on, in a thread of its own."""

    def __init__(self, ifname: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._socket.bind((ifname, ETH_P_ALL))
        self._socket.settimeout(0.1)
        self.frames: list[bytes] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._collect, daemon=True)  # a check that fails does not end it
        self._thread.start()

    def _collect(self) -> None:
        while not self._stopped.is_set():
            try:
                self.frames.append(self._socket.recv(4096))
            except TimeoutError:
                continue

    def numbers(self, expected: int, timeout_s: float = 20.0) -> list[int]:
        """Wait for so many whole frames, then half a second for what should not be there; close."""
        ends = time.monotonic() + timeout_s
        while len(numbers_of(tuple(self.frames))) < expected and time.monotonic() < ends:
            time.sleep(0.2)
        time.sleep(0.5)
        self._stopped.set()
        self._thread.join()
        self._socket.close()
        return numbers_of(self.frames)


@dataclass(frozen=True, slots=True)
class Cable:
    """ifname: the card under test, in the guest's own network. far: the other end's name, in the namespace `far_net`."""

    driver: str
    ifname: str
    far: str
    far_net: int

    @property
    def ifindex(self) -> int:
        return socket.if_nametoindex(self.ifname)

    def wait_for_carrier(self) -> None:
        ends = time.monotonic() + 20
        while (NET / self.ifname / "carrier").read_text().strip() != "1":
            assert time.monotonic() < ends, f"{self.ifname} has no carrier"
            time.sleep(0.1)

    def ethtool(self, *words: str) -> str:
        """Run ethtool on the card: the first word is the option. A change may restart the link."""
        said = run("ethtool", words[0], self.ifname, *words[1:])
        self.wait_for_carrier()
        return said

    def spread_over(self, *queues: int) -> None:
        """Let the RSS table spread over these queues alone."""
        self.ethtool("-X", "weight", *("1" if queue in queues else "0" for queue in range(4)))

    def listen_far(self) -> Listener:
        with inside(self.far_net):
            return Listener(self.far)

    def listen(self) -> Listener:
        return Listener(self.ifname)

    def send_from_far(self, count: int) -> None:
        """Send numbered frames of as many flows to the card, no faster than it can take them."""
        target, source = (bytes.fromhex(mac.replace(":", "")) for mac in (CARD_MAC, FAR_MAC))
        with inside(self.far_net), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
            sender.bind((self.far, 0))
            for number in range(count):
                sender.send(frame(target, source, number, flow=number, size=200))
                if number % BURST == BURST - 1:
                    time.sleep(PAUSE_S)

    @contextmanager
    def native_program(self) -> Iterator[None]:
        """Run the block with a program on the driver's hook that passes everything."""
        with prog_load(PASS, "nic_pass") as program, link_create(program, self.ifindex, XDP_DRV_MODE) as link:
            self.wait_for_carrier()
            try:
                yield
            finally:
                link_detach(link)
        self.wait_for_carrier()


def lay_cable(driver: str) -> Cable:
    """Find both ends by their addresses, move the far one away and give both what they need to talk."""
    ends = {(each / "address").read_text().strip(): each.name for each in NET.iterdir()}
    card, far = ends[CARD_MAC], ends[FAR_MAC]
    far_net = new_network()
    run("ip", "link", "set", far, "netns", f"/proc/{os.getpid()}/fd/{far_net}")
    with inside(far_net):
        quiet(far)
        run("ip", "address", "add", f"{FAR_ADDRESS}/24", "dev", far)
        run("ip", "link", "set", far, "up")
        run("ip", "route", "add", "blackhole", CARD_ADDRESS)  # no answers of its own: packets are counted at the card
    set_up_card(card)
    cable = Cable(driver, card, far, far_net)
    cable.wait_for_carrier()
    return cable


def set_up_card(card: str) -> None:
    """Give the card its name, which it may have lost with its driver, its address and its neighbour."""
    (found,) = [each.name for each in NET.iterdir() if (each / "address").read_text().strip() == CARD_MAC]
    if found != card:
        run("ip", "link", "set", found, "name", card)
    quiet(card)
    run("ip", "address", "add", f"{CARD_ADDRESS}/24", "dev", card)
    run("ip", "link", "set", card, "up")
    run("ip", "neighbour", "replace", FAR_ADDRESS, "lladdr", FAR_MAC, "dev", card, "nud", "permanent")


def quiet(ifname: str) -> None:
    """No IPv6 of its own: its packets would be counted as the test's."""
    Path(f"/proc/sys/net/ipv6/conf/{ifname}/disable_ipv6").write_text("1")
