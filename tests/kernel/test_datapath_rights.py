"""What works with the pod's five capabilities, and what is said without them. Each test runs the datapath in a child."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kernel.artifacts import DROP, artifact, chained, verdict
from tests.kernel.netpair import NetnsPair

from spillway_crds.errors import NotSupported
from spillway_crds.filters import XdpMode
from spillway_dataplane.kernel import libbpf
from spillway_dataplane.kernel.datapath import Datapath

THE_FIVE = "-all,+bpf,+net_admin,+net_raw,+perfmon,+ipc_lock"

PRELUDE = """
import sys
from pathlib import Path
from spillway_crds.errors import SpillwayError
from spillway_crds.filters import XdpMode
from spillway_dataplane.kernel.datapath import Datapath
from tests.kernel.artifacts import artifact, chained
ONE, TWO = "1" * 11, "2" * 11
datapath = Datapath(Path(sys.argv[1]))
"""


def run_with(capabilities: str, pair: NetnsPair, script: str) -> str:
    """Run a script as root with only these capabilities, in the namespaces of the test; returns what it prints."""
    command = [
        *("setpriv", "--no-new-privs", f"--inh-caps={capabilities}", f"--bounding-set={capabilities}"),
        *(sys.executable, "-W", "error", "-c", PRELUDE + script, str(pair.bpffs / "spillway")),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_five_capabilities_do_everything(netns_pair: NetnsPair) -> None:
    script = """
datapath.write_peers(())
datapath.load_check(chained(ONE))
datapath.attach("spw0", chained(ONE), XdpMode.NATIVE)
datapath.replace("spw0", chained(TWO))
datapath.read_counts("spw0", range(8)); datapath.read_interface_counts("spw0"); datapath.clear_counts("spw0", [1])
datapath.write_switches("spw0", datapath.read_switches("spw0"))
link = datapath.observe().interface("spw0").pinned
print(link.digest, len(link.program_tag))
datapath.attach("spw0", chained(ONE), XdpMode.GENERIC)
datapath.detach("spw0")
datapath.purge()
"""
    assert run_with(THE_FIVE, netns_pair, script).split() == ["2" * 11, "16"]


def test_a_foreign_program_has_only_a_number(netns_pair: NetnsPair) -> None:
    """Its name needs CAP_SYS_ADMIN; ours is known from its pin."""
    script = """
try:
    datapath.attach("spw0", artifact(ONE), XdpMode.NATIVE)
except SpillwayError as error:
    print(error)
print(datapath.observe().interface("spw0").attached)
"""
    with libbpf.prog_load(verdict(DROP), "foreign") as program, libbpf.link_create(program, netns_pair.ifindex, 4):
        number = libbpf.prog_info(program).id
        said = run_with(THE_FIVE, netns_pair, script)
    assert f"XDP program {number} holds the hook in mode Native" in said
    assert "name=''" in said


@pytest.mark.parametrize(
    ("capabilities", "change"),
    [
        pytest.param("-all,+net_admin,+perfmon", 'datapath.prepare("spw0")', id="no-bpf"),
        pytest.param("-all,+bpf,+perfmon", 'datapath.replace("spw0", artifact(TWO))', id="no-net-admin"),
        pytest.param("-all", "datapath.load_check(artifact(ONE))", id="none"),
    ],
)
def test_what_is_missing_is_named(netns_pair: NetnsPair, capabilities: str, change: str) -> None:
    Datapath(netns_pair.bpffs / "spillway").attach("spw0", artifact("1" * 11), XdpMode.NATIVE)
    for name in ("counters", "stats"):
        (netns_pair.bpffs / "spillway/spw0" / name).unlink()
    script = f"""
try:
    {change}
except SpillwayError as error:
    print(error.reason, error.errno, error.detail)
"""
    said = run_with(capabilities, netns_pair, script)
    assert said.startswith("KernelError 1 ")
    for word in ("CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON", "seccomp", "AppArmor"):
        assert word in said


def test_chained_programs_need_no_more(netns_pair: NetnsPair) -> None:
    assert run_with(THE_FIVE, netns_pair, 'datapath.attach("spw0", chained(ONE), XdpMode.AUTO); print("done")') == "done\n"
    assert Datapath(netns_pair.bpffs / "spillway").observe().interface("spw0") is not None
    assert chained("1" * 11).chunks == ("tail",)


def test_no_bpf_filesystem_is_said(tmp_path: Path) -> None:
    datapath = Datapath(tmp_path / "deep" / "spillway")
    with pytest.raises(NotSupported, match="mount -t bpf"):
        datapath.prepare("spw0")
    datapath.purge()
    assert list(tmp_path.iterdir()) == []
    assert datapath.pinned_names() == ()
