"""What a node's process 1 does before it becomes the pause program, as a shell script. Pure.

The machine's root file system is every node's root; each thing that must differ is covered by a mount of the node's own,
before its mounts begin to spread to its pods.
"""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from tests.cluster.addresses import node_name
from tests.cluster.cgroups import Hierarchies, mount_commands
from tests.cluster.configs import CNI_CONFIGURATION, STATIC_PODS
from tests.cluster.layout import Home

NODE_DISK = (
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/var/lib/spillway",
    "/var/log/pods",
    "/var/log/containers",
    CNI_CONFIGURATION,
    STATIC_PODS,
)
KERNEL_SETTINGS = {  # kubelet writes these; they are the whole machine's, so it gets files of its own to write
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
BOOT = """\
set -e
mount --make-rprivate /
umount -R /run/netns 2>/dev/null || true
umount -R -l /sys
mount -t sysfs sysfs /sys
{groups}
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/sysctl
{disk}
{settings}
sysctl -qw net.ipv4.ip_forward=1
hostname {name}
mount --make-rshared /
touch {ready}
exec {pause}
"""


def boot_script(hierarchies: Hierarchies, home: Home, index: int) -> str:
    """The script of one node. It touches `ready` when it is done, and never ends."""
    folder = home.node(index)
    return BOOT.format(
        groups=mount_commands(hierarchies),
        disk="\n".join(f"mount --bind {quote(str(disk_path(folder, path)))} {path}" for path in NODE_DISK),
        settings="\n".join(map(setting_commands, KERNEL_SETTINGS.items())),
        name=node_name(index),
        ready=quote(str(folder / "ready")),
        pause=quote(str(home.bin / "pause")),
    )


def setting_commands(setting: tuple[str, str]) -> str:
    name, value = setting
    own = f"/run/sysctl/{name.replace('/', '.')}"
    return f"printf '{value}\\n' > {own}; mount --bind {own} /proc/sys/{name}"


def disk_path(folder: Path, path: str) -> Path:
    """Where a node's own `path` lies on the machine."""
    return folder / "disk" / path.lstrip("/")
