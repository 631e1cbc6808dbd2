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
from tests import crd_cases as cases
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


def refused_by_decoder(made: cases.Manifest) -> set[str]:
    try:
        decode_filter(made)
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
def test_both_refuse_the_same_fields(installed: Any, seed: int) -> None:
    """Prefixes, ports, interfaces and label keys: nothing passes one and not the other."""
    made = manifest(random.Random(seed))
    refused = refused_by_decoder(made)
    assert refused == refused_by_api(installed, made)
    assert refused
