"""What the cluster's programs are told, and what nodes and machines are asked: rendering and parsing alone, nothing runs."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cluster import addresses, configs, layout
from tests.cluster.boot import NODE_DISK, boot_script, disk_path
from tests.cluster.cgroups import Hierarchies, groups_of, hand_on_controllers, mount_commands, parse_controllers
from tests.cluster.errors import ClusterError, TimedOut
from tests.cluster.images import PAUSE
from tests.cluster.layout import Home
from tests.cluster.lifecycle import check_shape, missing_directories, netns_names
from tests.cluster.machine import find_authorities, parse_pip_settings, pip_file
from tests.cluster.processes import identify, is_alive, read_record
from tests.cluster.programs import PROGRAMS, go_version, named, needed_go
from tests.cluster.shell import no_more_waiting, wait_for
from tests.cluster.state import Shape, State, decode_state, encode_state

HOME = Home(Path("/x/cluster"))
V1 = Hierarchies(unified=False, controllers=("cpu,cpuacct", "memory"), extras=("systemd",))
V2 = Hierarchies(unified=True)


# ---- addresses --------------------------------------------------------------------------------------------------------


def test_addresses_differ() -> None:
    """Nobody on the switch shares an address or a name with anybody else."""
    nodes, hosts = range(1, addresses.MAX_NODES + 1), range(addresses.MAX_HOSTS)
    for of_node, of_host in (
        (addresses.node_address, addresses.host_address),
        (addresses.node_address6, addresses.host_address6),
        (addresses.node_mac, addresses.host_mac),
    ):
        everyone = [*map(of_node, nodes), *map(of_host, hosts)]
        own = [addresses.API_ADDRESS, addresses.MACHINE_ADDRESS, addresses.API_ADDRESS6, addresses.BRIDGE_MAC]
        assert len({*everyone, *own}) == len(everyone) + len(own)
        assert all(ipaddress.ip_address(each) for each in everyone if "02:" not in each)


def test_pod_ranges_do_not_overlap() -> None:
    ranges = [ipaddress.ip_network(addresses.node_pods(index)) for index in (1, 2, addresses.MAX_NODES)]
    assert all(each.subnet_of(ipaddress.ip_network(addresses.ALL_PODS)) for each in ranges)  # type: ignore[arg-type]
    assert not ranges[0].overlaps(ranges[1])


def test_link_names_fit() -> None:
    """The kernel takes 15 bytes."""
    longest = "a" * 12
    check_shape(Shape(1, (longest,)))
    assert len(addresses.host_port(longest)) <= 15
    assert len(addresses.node_port(addresses.MAX_NODES)) <= 15


# ---- shapes and records -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(Shape(nodes=-1), id="fewer than none"),
        pytest.param(Shape(nodes=addresses.MAX_NODES + 1), id="too many nodes"),
        pytest.param(Shape(hosts=("a", "a")), id="twice the same host"),
        pytest.param(Shape(hosts=("node1",)), id="named like a node"),
        pytest.param(Shape(hosts=("sw",)), id="named like the switch"),
        pytest.param(Shape(hosts=("a b",)), id="a space"),
        pytest.param(Shape(hosts=("a" * 13,)), id="too long a name"),
    ],
)
def test_impossible_shapes(shape: Shape) -> None:
    with pytest.raises(ClusterError):
        check_shape(shape)


def test_the_record_comes_back() -> None:
    state = State(Shape(3, ("attacker",), 9000, "next"), "boot", "/store", True, ("/a", "/a/b"), (("/proc/x", "128"),), ("cpu",))
    assert decode_state(encode_state(state)) == state
    assert netns_names(state) == ["spw-sw", "spw-attacker", "spw-node1", "spw-node2", "spw-node3"]


def test_missing_directories_outermost_first(tmp_path: Path) -> None:
    """What is there is not listed, so it is never removed."""
    (tmp_path / "there").mkdir()
    asked = (f"{tmp_path}/there/a/b", f"{tmp_path}/there/a/c")
    assert missing_directories(asked) == [f"{tmp_path}/there/a", f"{tmp_path}/there/a/b", f"{tmp_path}/there/a/c"]


def test_the_home_is_always_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is removed with all it holds, so it must never be the folder that somebody named."""
    monkeypatch.setenv("SPILLWAY_CLUSTER_HOME", "/var/tmp")
    assert layout.home().root == Path("/var/tmp/cluster")


# ---- control groups ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("9:name=systemd:/\n2:cpuacct:/\n1:cpu:/\n0::/\n", ("cpuacct", "cpu"), id="each alone"),
        pytest.param("5:cpu,cpuacct:/a\n4:memory:/a\n1:name=systemd:/a\n0::/a\n", ("cpu,cpuacct", "memory"), id="joined"),
        pytest.param("0::/init.scope\n", (), id="v2"),
    ],
)
def test_controllers(text: str, expected: tuple[str, ...]) -> None:
    assert parse_controllers(text) == expected


def test_groups() -> None:
    """v1 has a group in every hierarchy, v2 has one."""
    root = Path("/sys/fs/cgroup")
    assert groups_of(V2, "spw-node1", "system") == [root / "spw-node1/system"]
    assert groups_of(V1, "n") == [root / "cpu,cpuacct/n", root / "memory/n", root / "systemd/n"]


def test_mounts() -> None:
    assert mount_commands(V2) == "mount -t cgroup2 cgroup2 /sys/fs/cgroup"
    v1 = mount_commands(V1)
    assert "mount -t cgroup -o cpu,cpuacct cgroup /sys/fs/cgroup/cpu,cpuacct" in v1
    assert "mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd" in v1
    assert "unified" not in v1  # this machine has none


@pytest.mark.parametrize("nested", [False, True], ids=["the true root", "a group"])
def test_controllers_are_handed_on(tmp_path: Path, nested: bool) -> None:
    """v2: children get all controllers; only the true root may keep processes of its own. Files stand in for the kernel."""
    files = {"cgroup.controllers": "cpu memory\n", "cgroup.subtree_control": "", "cgroup.procs": "7\n8\n"}
    for name, text in (files | ({"cgroup.type": "domain\n"} if nested else {})).items():
        (tmp_path / name).write_text(text)
    hand_on_controllers(tmp_path, "system")
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +memory"
    assert (tmp_path / "system").is_dir() == nested
    if nested:
        assert (tmp_path / "system/cgroup.procs").read_text() == "8"  # the last one written; a real file takes one at a time


# ---- nodes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hierarchies", [V1, V2], ids=["v1", "v2"])
def test_boot_script(hierarchies: Hierarchies) -> None:
    """A node covers what is per node before its shared mounts spread, and ends as the pause program."""
    script = boot_script(hierarchies, HOME, 2)
    lines = script.splitlines()
    for path in NODE_DISK:
        line = f"mount --bind {disk_path(HOME.node(2), path)} {path}"
        assert lines.index("mount --make-rprivate /") < lines.index(line) < lines.index("mount --make-rshared /")
    assert "mount -t bpf bpf /sys/fs/bpf" in lines
    assert "hostname node2" in lines
    assert lines[-1] == "exec /x/cluster/bin/pause"
    assert "{" not in script


def test_configurations_name_their_own_node() -> None:
    """No two nodes share a file, an address or a range of pods."""
    texts = [
        json.dumps([configs.kubelet_configuration(HOME, i), configs.pod_network(i, 1500), configs.kubelet_arguments(HOME, i)])
        for i in (1, 2)
    ]
    assert "node2" not in texts[0]
    assert "10.99.0.12" not in texts[0]
    assert texts[0].replace("node1", "node2").replace("10.99.0.11", "10.99.0.12").replace("10.199.1.", "10.199.2.") == texts[1]


def test_containerd_keeps_off_the_machine() -> None:
    text = configs.containerd_configuration(Path("/x/root"), "/run/containerd", Path("/x/opt"))
    assert 'root = "/x/root"' in text
    assert 'path = "/x/opt"' in text
    assert PAUSE in text
    assert "cri" in configs.store_configuration(Path("/x"), "/run/c").split("disabled_plugins")[1]


def test_the_api_server_is_reached_where_it_listens() -> None:
    arguments = configs.apiserver_arguments(HOME)
    assert f"--bind-address={addresses.API_ADDRESS}" in arguments
    assert f"https://{addresses.API_ADDRESS}:6443" == addresses.API_URL


# ---- programs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [("go version go1.26.8 linux/amd64", (1, 26, 8)), ("module x\n\ngo 1.25\n", (1, 25)), ("golang", ()), ("", ())],
)
def test_go_versions(text: str, expected: tuple[int, ...]) -> None:
    assert go_version(text) == expected


def test_go_versions_order() -> None:
    assert go_version("go1.9.1") < go_version("go1.10") < needed_go()


def test_programs() -> None:
    """Every program has a name and a key of its own; a key follows what the linker writes."""
    assert len({program.key for program in PROGRAMS}) == len({program.name for program in PROGRAMS}) == len(PROGRAMS)
    helm = named(["helm"])[0]
    assert replace(helm, stamps=()).key != helm.key
    with pytest.raises(ClusterError, match="nginx"):
        named(["nginx"])


# ---- this machine's settings ------------------------------------------------------------------------------------------


def test_pip_settings() -> None:
    listing = "global.cert='/a.crt'\nglobal.index-url='https://a/'\n:env:.index-url='https://b/'\n"
    settings = parse_pip_settings(listing)
    assert settings == {"cert": "/a.crt", "index-url": "https://b/"}
    assert pip_file(settings, own_authorities=True) == "[global]\nindex-url = https://b/\ncert = /run/machine-ca.crt\n"
    assert pip_file({}, own_authorities=False) == "[global]\n"


def test_pip_settings_of_several_lines() -> None:
    """pip takes a list as an indented block."""
    assert pip_file({"trusted-host": "\na\nb"}, own_authorities=False) == "[global]\ntrusted-host = \n    a\n    b\n"


def test_authorities(tmp_path: Path) -> None:
    """pip's own setting comes first; what names no file does not count."""
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    named_twice = {"SSL_CERT_FILE": f"{tmp_path}/a", "PIP_CERT": f"{tmp_path}/b"}
    assert find_authorities(named_twice) == tmp_path / "b"
    assert find_authorities({"PIP_CERT": "/nowhere", "SSL_CERT_FILE": f"{tmp_path}/a"}) == tmp_path / "a"


# ---- waiting ----------------------------------------------------------------------------------------------------------


def test_waiting_ends() -> None:
    """With its time, or at once when somebody is in a hurry; not at all for what is there already."""
    with pytest.raises(TimedOut, match="no spring within 0 s"):
        wait_for("spring", lambda: False, 0)
    with no_more_waiting():
        with pytest.raises(TimedOut):
            wait_for("spring", lambda: False, 1000)
        wait_for("winter", lambda: True, 1000)


# ---- processes --------------------------------------------------------------------------------------------------------


def test_a_process_is_its_start_time_too(tmp_path: Path) -> None:
    """An id that somebody else has by now is not the process that was recorded."""
    init = identify(1)
    assert init is not None
    assert is_alive(init)
    assert not is_alive(replace(init, start_ticks=init.start_ticks + 1))
    assert not is_alive(None)
    (tmp_path / "half").write_text("12")
    assert read_record(tmp_path / "half") is None
    assert read_record(tmp_path / "none") is None
