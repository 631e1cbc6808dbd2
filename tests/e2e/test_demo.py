"""The demo tells the truth: what it says of the flood is so on the cluster that the other tests use."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.demo.product import FILTER
from tests.e2e.product import Product

pytestmark = pytest.mark.long
NUMBERED = re.compile(r"^\d+  ", re.MULTILINE)


def test_the_demo_s_services_suffer_and_recover(product: Product) -> None:
    done = subprocess.run([sys.executable, "-m", "tests.demo", "--keep"], capture_output=True, text=True, check=False)
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        peace, flood, looking, acting, said = NUMBERED.split(done.stdout)[3:8]
        assert all("100%" in line for line in samples(peace))
        assert any(lost(line) for line in samples(flood)) and any(lost(line) for line in samples(looking))
        assert lost(samples(acting)[-1]) == 0 and samples(acting)[-1].count("100%") == 2
        assert FILTER in said and "Enforcing" in said
        assert product.totals(FILTER)["droppedPackets"] > 0
    finally:
        product.kubectl("label", "node", "node1", "edge-")


def samples(section: str) -> list[str]:
    """The lines of a section's table."""
    return [line for line in section.splitlines() if re.match(r" *\d+ s ", line)]


def lost(line: str) -> int:
    """Datagrams a second that the listener lost: the fourth number after the time."""
    return int(line.split()[5].replace(",", ""))
