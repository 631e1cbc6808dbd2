"""A flood dies on a real cluster while you watch. It ends by itself and takes everything down again."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from tests.cluster import Cluster, ClusterError, NotUp
from tests.cluster.interruption import signals, stop
from tests.demo.actors import Actors, flood
from tests.demo.screen import Screen
from tests.demo.story import HOSTS, seconds, tell

DEFAULT_FLOOD_S = 60


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when it came to its end, 1 with a line when something failed, 130 when it was interrupted."""
    options = parser().parse_args(argv)
    screen = Screen()
    try:
        with signals(stop):  # a closed terminal ends it as Ctrl-C does: everything is taken down
            return flood_again(screen, options.flood) if options.flood else demo(screen, keep=options.keep)
    except KeyboardInterrupt:
        screen.say("interrupted", "red")
        return 130
    except (ClusterError, AssertionError) as error:
        screen.say(f"the demo failed: {error}", "bold red")
        return 1


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    made.add_argument("--keep", action="store_true", help="leave the cluster and the filter as they are at the end")
    made.add_argument(
        "--flood", type=int, nargs="?", const=DEFAULT_FLOOD_S, metavar="SECONDS",
        help=f"on a cluster that was kept: services, callers and flood again (default {DEFAULT_FLOOD_S} s, at most 110)",
    )  # fmt: skip
    return made


def demo(screen: Screen, *, keep: bool) -> int:
    """The whole story, with a cluster of its own; one that was up before stays up."""
    screen.title("Spillway: a flood, one filter, and the service beside it")
    keep = keep or is_up()
    with ExitStack() as stack:
        screen.step("A Kubernetes cluster on this machine")
        screen.say("Two nodes with four-queue cards on one switch, and beside them an attacker and a client.")
        cluster = Cluster.up(nodes=2, hosts=HOSTS)
        if not keep:
            stack.callback(cluster.down)
        tell(screen, stack, cluster)
        screen.say(f"\nThe demo took {time.monotonic() - screen.began:.0f} seconds.", "bold")
        if keep:
            how_to_play(screen, cluster)
    return 0


def is_up() -> bool:
    try:
        Cluster.load()
    except NotUp:
        return False
    return True


def how_to_play(screen: Screen, cluster: Cluster) -> None:
    screen.step("It is yours")
    screen.say("The cluster and the filter stay. Services, callers and flood come back for a minute with the last command.")
    for command in (
        f"export KUBECONFIG={cluster.kubeconfig} PATH={cluster.home.bin}:$PATH",
        "kubectl get ff -w",
        "kubectl edit floodfilter dns-amplification",
        "kubectl -n spillway-system create configmap spillway-switch --from-literal=enforcement=Off   # stop all dropping",
        "kubectl -n spillway-system delete configmap spillway-switch",
        "kubectl -n spillway-system exec ds/spillway-dataplane -- spillway status",
        ".venv/bin/python -m tests.demo --flood",
        "make cluster-down",
    ):
        screen.command(command)


def flood_again(screen: Screen, duration_s: int) -> int:
    """Traffic on the cluster that is up, for somebody who changes filters meanwhile in another window."""
    cluster = Cluster.load()
    with ExitStack() as stack:
        actors = Actors(cluster, stack)
        screen.table_head()
        with flood(cluster):
            seconds(screen, actors, min(duration_s, 110))
    return 0


if __name__ == "__main__":
    sys.exit(main())
