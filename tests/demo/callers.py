"""Customers of both services. Run by path on the traffic host `client`; one line of JSON a second says how they fare.

    callers.py ADDRESS WEB_PORT VIDEO_PORT

web: one connection and one request at a time, 20 a second, each given up after half a second.
video: 400 signed datagrams a second, each lost if its echo is not back within a quarter of a second.
"""

import http.client
import json
import socket
import sys
import threading
import time

from video_server import SIGNATURE_BYTES, sign

WEB_RATE, WEB_PATIENCE_S = 20, 0.5
VIDEO_RATE, VIDEO_PATIENCE_S = 400, 0.25
PAYLOAD = b"v" * 1200  # one packet of a picture


class Tally:
    """Asked and answered since the last look, by service."""

    def __init__(self):
        self.lock = threading.Lock()
        self.counts = {"web": [0, 0], "video": [0, 0]}

    def add(self, service, asked, answered):
        with self.lock:
            self.counts[service][0] += asked
            self.counts[service][1] += answered

    def take(self):
        with self.lock:
            taken, self.counts = self.counts, {"web": [0, 0], "video": [0, 0]}
        return {service: {"asked": asked, "answered": answered} for service, (asked, answered) in taken.items()}


def ask_web(address, port):
    connection = http.client.HTTPConnection(address, port, timeout=WEB_PATIENCE_S)
    try:
        connection.request("GET", "/GPL-3")
        return connection.getresponse().read().endswith(b"\n")
    except OSError:
        return False
    finally:
        connection.close()


def call_web(address, port, tally):
    while True:
        began = time.monotonic()
        tally.add("web", 1, ask_web(address, port))
        time.sleep(max(0.0, began + 1 / WEB_RATE - time.monotonic()))


def call_video(address, port, tally):
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.connect((address, port))
    line.setblocking(False)
    waiting = {}
    number = 0
    due = time.monotonic()
    while True:
        number += 1
        payload = number.to_bytes(8, "big") + PAYLOAD
        try:
            line.send(payload + sign(payload))
        except OSError:
            pass  # lost like any other
        waiting[number] = time.monotonic()
        hear(line, waiting, tally)
        due += 1 / VIDEO_RATE
        time.sleep(max(0.0, due - time.monotonic()))


def hear(line, waiting, tally):
    """Take the echoes that are back and give up those that are late."""
    answered = 0
    while True:
        try:
            datagram = line.recv(2048)
        except OSError:
            break
        if len(datagram) > SIGNATURE_BYTES and waiting.pop(int.from_bytes(datagram[:8], "big"), None) is not None:
            answered += 1
    late = [number for number, sent in waiting.items() if time.monotonic() - sent > VIDEO_PATIENCE_S]
    for number in late:
        del waiting[number]
    if answered or late:
        tally.add("video", answered + len(late), answered)


def main(address, web_port, video_port):
    tally = Tally()
    for caller, port in ((call_web, web_port), (call_video, video_port)):
        threading.Thread(target=caller, args=(address, int(port), tally), daemon=True).start()
    due = time.monotonic()
    while True:
        due += 1
        time.sleep(max(0.0, due - time.monotonic()))
        print(json.dumps(tally.take()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
