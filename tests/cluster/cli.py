"""A real Kubernetes cluster on this machine, as root, without a container engine, a hypervisor or a registry."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.cluster.building import build_all, build_only, write_archives
from tests.cluster.cluster import Cluster, status_lines, take_down
from tests.cluster.errors import ClusterError
from tests.cluster.images import DEFAULT_TAG, IMAGES
from tests.cluster.layout import cache, home
from tests.cluster.lifecycle import is_up
from tests.cluster.network import in_netns
from tests.cluster.nodes import inside
from tests.cluster.products import remove
from tests.cluster.programs import named
from tests.cluster.shell import Argv, say, words
from tests.cluster.state import read_state

Options = argparse.Namespace
Command = Callable[[Options], int | None]
EPILOG = """\
Everything built is kept in ${XDG_CACHE_HOME:-~/.cache}/spillway. SLOW=20 stretches every time-out, for software emulation.
The machine needs what tools/setup.sh installs.
"""


def build(options: Options) -> None:
    if options.only:
        return build_only(cache(), options.only.split(","))
    built = build_all(cache(), options.tag)
    if options.archives:
        for archive in write_archives(built.images, Path(options.archives), options.tag):
            print(archive)
    return None


def clean(_: Options) -> None:
    """What is quickly made again stays out of the way of what takes minutes: programs are kept."""
    for folder in (cache().stores, cache().containers, cache().images, cache().logs):
        remove(folder)


def up(options: Options) -> None:
    hosts = [name for name in options.hosts.split(",") if name]
    cluster = Cluster.up(options.nodes, hosts, mtu_bytes=options.mtu, tag=options.tag)
    say(f"export KUBECONFIG={cluster.kubeconfig} PATH={cluster.home.bin}:$PATH")


def load(options: Options) -> None:
    cluster = Cluster.load()
    if options.image in IMAGES:
        print(cluster.load_image(options.image, options.tag))
    else:
        cluster.load_archive(Path(options.image))


def status(_: Options) -> int:
    print(*status_lines(home()), sep="\n")
    return 0 if is_up(home(), read_state(home())) else 1


def which(options: Options) -> None:
    for program in named([options.program]):
        print(program.place(cache()))


def enter(options: Options) -> None:
    node = Cluster.load().node(options.node)
    become([*inside(node.home, node.index), *(options.command or ["bash"])])


def host(options: Options) -> None:
    become([*in_netns(Cluster.load().host(options.name).netns), *(options.command or ["bash"])])


def become(argv: Argv) -> None:
    """Replace this process, with the cluster's own programs found first."""
    command = words(*argv)
    sys.stdout.flush()
    os.execvpe(command[0], command, {**os.environ, "PATH": f"{home().bin}:{os.environ['PATH']}"})


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m tests.cluster",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        return made

    add_building(command)
    add_cluster(command)
    add_nodes(command)
    return top


def add_building(command: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    make = command("build", build, "build what is missing: programs, images, the image store")
    make.add_argument("--only", metavar="NAMES", help="build these programs and nothing else, as in `kubectl,helm`")
    make.add_argument("--tag", default=DEFAULT_TAG, help="tag of the images (%(default)s)")
    make.add_argument("--archives", metavar="FOLDER", help="also write the images as archives, as `kind load` takes them")
    command("which", which, "print where a built program lies").add_argument("program")
    command("clean", clean, "forget images and stores; programs are kept")


def add_cluster(command: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    start = command("up", up, "start the cluster; nothing happens if one of this shape is up")
    start.add_argument("--nodes", type=int, default=2, metavar="N", help="how many nodes (%(default)s)")
    start.add_argument("--hosts", default="", metavar="NAMES", help="traffic hosts on the switch, as in `attacker,client`")
    start.add_argument("--mtu", type=int, default=1500, metavar="BYTES", help="of every link (%(default)s)")
    start.add_argument("--tag", default=DEFAULT_TAG, help="tag of the images (%(default)s)")
    command("down", lambda _: take_down(), "take down what there is, without a trace")
    command("status", status, "say what there is; exit code 1 if nothing is up")
    command("kubeconfig", lambda _: print(Cluster.load().kubeconfig), "print the path of the administrator's kubeconfig")
    command("api-stop", lambda _: Cluster.load().api_stop(), "stop the API server")
    command("api-start", lambda _: Cluster.load().api_start(), "start the API server and wait until it is ready")
    images = command("load", load, "give every node an image: `dataplane` or `operator` as the code is now, or an archive")
    images.add_argument("image", metavar="IMAGE.tar|NAME")
    images.add_argument("--tag", help="another tag for an image built here")


def add_nodes(command: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    on_one_node: dict[str, tuple[Command, str]] = {
        "node-kill": (lambda o: Cluster.load().node(o.node).kill(), "cut a node's power"),
        "node-start": (lambda o: Cluster.load().node(o.node).start(), "power a node on again"),
        "kubelet-restart": (lambda o: Cluster.load().node(o.node).restart_kubelet(), "kill and start a node's kubelet"),
        "block-api": (lambda o: Cluster.load().node(o.node).block_api(), "cut a node and its pods off the API server"),
        "unblock-api": (lambda o: Cluster.load().node(o.node).unblock_api(), "end that"),
    }
    for name, (run, text) in on_one_node.items():
        command(name, run, text).add_argument("node", type=int, metavar="N")
    command("node-add", lambda _: print(Cluster.load().add_node().name), "start one more node")
    entering = command("enter", enter, "run a command inside a node: its network, mounts, processes, groups")
    entering.add_argument("node", type=int, metavar="N")
    entering.add_argument("command", nargs=argparse.REMAINDER, metavar="CMD")
    on_host = command("host", host, "run a command on a traffic host")
    on_host.add_argument("name", metavar="NAME")
    on_host.add_argument("command", nargs=argparse.REMAINDER, metavar="CMD")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it did what it says, 1 with a line on standard error if not, 130 if it was stopped."""
    options = parser().parse_args(argv)
    try:
        return options.run(options) or 0
    except ClusterError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
