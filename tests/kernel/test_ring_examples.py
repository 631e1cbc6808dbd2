"""The examples that ship do what they say: compiled and run as their readers would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kernel.netpair import NetnsPair
from tests.kernel.ring_server import header_page, ring_node
from tests.kernel.ring_wire import address, wire

from spillway_crds.streams import Flow

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "examples" / "streams"
FLOW = Flow(address("10.1.0.2"), 5004, address("10.1.0.1"), 5006)
COUNT = 1000


@pytest.fixture
def c_sender(tmp_path: Path) -> list[str]:
    """Built outside the repository, by the Makefile that readers get; a warning is an error."""
    directory = tmp_path / "c"
    shutil.copytree(EXAMPLES, directory)
    core = REPOSITORY / "dataplane" / "spillway_stream" / "core"
    subprocess.run(["make", "-s", "-C", str(directory), f"CORE={core}", "CFLAGS=-O1 -Wall -Wextra -Werror"], check=True)
    return [str(directory / "sender")]


@pytest.fixture
def python_sender() -> list[str]:
    return [sys.executable, str(EXAMPLES / "sender.py")]


@pytest.mark.parametrize("language", ["c_sender", "python_sender"])
def test_a_sender_numbers_its_packets(
    netns_pair: NetnsPair, tmp_path: Path, language: str, request: pytest.FixtureRequest
) -> None:
    command: list[str] = request.getfixturevalue(language)
    with ring_node(netns_pair, tmp_path, header_page(netns_pair, FLOW)) as node, wire(netns_pair) as far:
        environment = {**os.environ, "SPILLWAY_RING": node.path}
        done = subprocess.run([*command, str(COUNT)], env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "studio/cam: spw0 queue 0, 1472 bytes a packet" in done.stdout
        seen = far.packets(COUNT)
    assert [int.from_bytes(each.payload[:8]) for each in seen] == list(range(COUNT))
    assert {len(each.payload) for each in seen} == {1400}


def test_the_public_header_stands_alone(tmp_path: Path) -> None:
    """It needs no other header of ours, and every function in it is in the files that the Makefile names."""
    header = (REPOSITORY / "dataplane/spillway_stream/core/spillway_ring.h").read_text()
    names = re.findall(r"\b(spw_\w+)\(", re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL))
    names = list(dict.fromkeys(names))
    calls = "".join(f"  (void)&{name};\n" for name in names)
    source = tmp_path / "all.c"
    source.write_text(f'#include "spillway_ring.h"\nint main(void) {{\n{calls}  return 0;\n}}\n')
    makefile = (EXAMPLES / "Makefile").read_text()
    listed = re.search(r"\$\(CORE\)/,(.*?)\)", makefile)
    assert listed is not None
    core = REPOSITORY / "dataplane" / "spillway_stream" / "core"
    files = [str(core / name) for name in listed[1].split()]
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O0", f"-I{core}", "-pthread"]
    subprocess.run(["gcc", *flags, str(source), *files, "-o", str(tmp_path / "all")], check=True)
    assert len(names) > 12
