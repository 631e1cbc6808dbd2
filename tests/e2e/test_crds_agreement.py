"""The decoder in Python and the CEL rules of the API server agree on texts that nobody thought of."""

from __future__ import annotations

import json
import random
import re
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from spillway_crds.decode import decode_filter
from spillway_crds.errors import InvalidIntent
from spillway_crds.streams_wire import decode_stream
from tests import crd_cases as cases
from tests import stream_cases
from tests.cluster.errors import CommandFailed

ROUNDS = 20
PATH = re.compile(r"^(?:\* |.*? is invalid: )?(spec\.[\w.\[\]]+): ", re.MULTILINE)
ODD_ADDRESSES = (
    "::", "1::", "64:ff9b::1.2.3.4", "1.2.3", "fe80::1%1", "0::ffff:1.2.3.4", "::ffff:1:2", "1:2:3:4:5:6:7::", "256.1.1.1"
)  # fmt: skip
ODD_LENGTHS = ("", "/0", "/8", "/32", "/33", "/128", "/129", "/08", "/+8", "/-1", "/ 8")


def prefix(chance: random.Random) -> str:
    """An address of either family and a length, or something like them; now and then one character is changed."""
    mapped = IPv6Address(0xFFFF << 32 | chance.getrandbits(32))
    single = IPv6Address(1 << chance.randrange(128))
    addresses = (IPv4Address(chance.getrandbits(32)), single, mapped, chance.choice(ODD_ADDRESSES))
    text = str(chance.choice(addresses)) + chance.choice(ODD_LENGTHS)
    if chance.random() < 0.2:
        place = chance.randrange(len(text) + 1)
        text = text[:place] + chance.choice(":./ 0fg%-é") + text[place + 1 :]
    return text[:43]


def texts(chance: random.Random, letters: str, longest: int) -> str:
    return "".join(chance.choice(letters) for _ in range(chance.randint(0, longest)))


def manifest(chance: random.Random) -> cases.Manifest:
    """A filter whose texts are of the right length and size, and of any shape."""
    ports = [texts(chance, "0123456789-65", 11) for _ in range(16)]
    keys = [texts(chance, "aB0-_./ é", 6) for _ in range(16)]
    return cases.spec(
        exempt=[prefix(chance) for _ in range(16)],
        interfaces=sorted({texts(chance, "abe0.[]*?!-/: loé\u00a0", 8) for _ in range(16)}),
        nodeSelector={"matchExpressions": [{"key": key, "operator": "Exists"} for key in keys]},
        rules=[cases.rule(match={"protocol": "UDP", "sourcePorts": ports})],
    )


def stream(chance: random.Random) -> cases.Manifest:
    """A stream whose texts are of any shape, short enough."""
    file = {
        "file": texts(chance, "a./", 6),
        "volume": {chance.choice(["configMap", "persistentVolumeClaim"]): texts(chance, "aB0-.", 4) or "-"},
    }
    video = {
        "widthPixels": chance.randint(1, 40),
        "heightPixels": chance.randint(1, 9),
        "exactFrameRate": texts(chance, "0159/ .", 5) or "0",
        "sampling": chance.choice(["YCbCr-4:2:2", "YCbCr-4:4:4", "RGB"]),
        "depthBits": chance.randint(8, 12),
        "interlaced": chance.random() < 0.5,
        **chance.choice(
            [{}, {"colorimetry": "BT2020"}, {"range": "FULL"}, {"pixelAspectRatio": texts(chance, "0169:", 5) or "-"}]
        ),
        **chance.choice([{"pattern": "Ramp"}, file, file]),
    }
    pcap = {"file": texts(chance, "a./", 4), "speed": texts(chance, "012.", 5) or "-", "volume": {"configMap": "c"}}
    flow = {"destinationAddress": address(chance), "sourceAddress": address(chance), "destinationPort": 1}
    return stream_cases.stream(
        interface=texts(chance, "abe0.*?-_/: l\u00e9", 6) or "-",
        txQueue=chance.choice([0, 5, "Any", "any", "", "4"]),
        flow=flow,
        source=chance.choice([{"video": video}, {"pcap": pcap}, {"application": {}}]),
        **chance.choice([{}, {"cpu": 1}, {"clock": {}}, {"pacing": {"packetsPerSecond": 1}}]),
    )


def address(chance: random.Random) -> str:
    """Mostly an address, of every kind that the rules tell apart."""
    special = ("0.0.0.0", "127.0.0.9", "255.255.255.255", "224.0.0.1", "::", "::1", "ff02::1", "fe80::1", "239.1.1.1")
    return chance.choice([chance.choice(special), prefix(chance).partition("/")[0] or "x"])[:39]


def refused_by_decoder(made: cases.Manifest) -> set[str]:
    try:
        (decode_stream if made["kind"] == "BypassStream" else decode_filter)(made)
    except InvalidIntent as error:
        return {problem.path for problem in error.problems}
    return set()


def refused_by_api(installed: Any, made: cases.Manifest) -> set[str]:
    try:
        installed.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(made))
    except CommandFailed as error:
        return set(PATH.findall(error.output))
    return set()


@pytest.mark.parametrize("seed", range(ROUNDS))
@pytest.mark.parametrize("make", [manifest, stream], ids=["filters", "streams"])
def test_both_refuse_the_same_fields(installed: Any, make: Any, seed: int) -> None:
    """Prefixes, ports, interfaces, label keys, addresses, rates and files: nothing passes one and not the other."""
    made = make(random.Random(seed))
    refused = refused_by_decoder(made)
    assert refused == refused_by_api(installed, made)
    assert refused
