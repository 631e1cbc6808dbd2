"""The demo's story, from peace to peace. One function, one step."""

from __future__ import annotations

from contextlib import ExitStack, suppress

from tests.cluster import Cluster, ClusterError
from tests.demo.actors import ANSWER_BYTES, FLOOD_RATE_PPS, SOURCES, VIDEO_PORT, Actors, flood
from tests.demo.product import EXAMPLE, FILTER, dropped_where, example_for, install, patch_mode
from tests.demo.screen import Screen
from tests.e2e.product import NAMESPACE, Product, TimedOut

HOSTS = ("attacker", "client")
PEACE_S, FLOOD_S, MONITOR_S, ENFORCE_S = 3, 6, 5, 8
IP_UDP_BYTES = 28


def tell(screen: Screen, stack: ExitStack, cluster: Cluster) -> None:
    """Tell the whole story on a cluster that is up."""
    product = Product(cluster)
    try:
        scenes(screen, stack, product)
    except TimedOut:
        evidence(screen, product)
        raise


def scenes(screen: Screen, stack: ExitStack, product: Product) -> None:
    """One after the other."""
    cluster = product.cluster
    install_chart(screen, product)
    actors = peace(screen, cluster, stack)
    with flood(cluster):
        flooded(screen, actors)
        monitor(screen, product, actors)
        enforce(screen, product, actors)
        kubectl_says(screen, product)
    after(screen, actors)


def evidence(screen: Screen, product: Product) -> None:
    """Show what a person would look at when the story does not go on."""
    for question in (
        ("get", "pods", "-A", "-o", "wide"),
        ("get", "floodfilters,nodedataplanes", "-o", "yaml"),
        ("-n", NAMESPACE, "logs", "-l", "app.kubernetes.io/name=spillway", "--tail=15", "--prefix"),
    ):
        screen.command(f"kubectl {' '.join(question)}")
        with suppress(ClusterError):
            screen.output(product.kubectl(*question))


def install_chart(screen: Screen, product: Product) -> None:
    screen.step("Spillway comes to the cluster")
    screen.command(f"helm install spillway charts/spillway -n {NAMESPACE} --create-namespace")
    with screen.waiting("an operator, and an agent on each node"):
        install(product)


def peace(screen: Screen, cluster: Cluster, stack: ExitStack) -> Actors:
    screen.step("A quiet day")
    screen.say("On node1: a web site, and a video service that verifies each datagram's signature. Both have callers.")
    actors = Actors(cluster, stack)
    screen.table_head()
    seconds(screen, actors, PEACE_S)
    return actors


def seconds(screen: Screen, actors: Actors, count: int) -> None:
    for _ in range(count):
        screen.table_line(actors.second())


def flooded(screen: Screen, actors: Actors) -> None:
    screen.step("The flood")
    megabits = FLOOD_RATE_PPS * (ANSWER_BYTES + IP_UDP_BYTES) * 8 // 1_000_000
    screen.say(
        f"A DNS amplification reaches for node1's port {VIDEO_PORT}: {FLOOD_RATE_PPS:,} answers a second from"
        f" {SOURCES} resolvers, {megabits} Mbit/s, every tenth with a fragment behind it. The callers' datagrams drown."
    )
    screen.table_head()
    seconds(screen, actors, FLOOD_S)


def monitor(screen: Screen, product: Product, actors: Actors) -> None:
    screen.step("A filter that only looks")
    screen.say(
        "Monitor counts what would be dropped and drops nothing: nobody's traffic is at stake while you find the right rule."
    )
    screen.command(f"kubectl apply -f {EXAMPLE.relative_to(EXAMPLE.parents[1])}      # with node1's address")
    with screen.waiting("from apply to the kernel, on the nodes labelled edge=true"):
        screen_output = product.kubectl("apply", "-f", "-", stdin=example_for(product.cluster))
        product.wait_ready(FILTER)
    screen.output(screen_output)
    screen.table_head()
    seconds(screen, actors, MONITOR_S)


def enforce(screen: Screen, product: Product, actors: Actors) -> None:
    screen.step("The filter acts")
    patch = patch_mode(product, "Enforce")
    screen.command(f"kubectl patch floodfilter {FILTER} --type merge -p '{patch}'")
    screen.output(product.kubectl("patch", "floodfilter", FILTER, "--type", "merge", "-p", patch))
    screen.table_head()
    seconds(screen, actors, ENFORCE_S)


def kubectl_says(screen: Screen, product: Product) -> None:
    screen.step("What kubectl says, read from the kernel")
    screen.command("kubectl get ff")
    screen.output(product.kubectl("get", "ff"))
    screen.say("")
    columns = ("NODE", "INTERFACE", "RULE", "STATE", "WOULD HAVE DROPPED#", "DROPPED#")
    screen.rows(columns, dropped_where(product))


def after(screen: Screen, actors: Actors) -> None:
    screen.step("The flood is over")
    screen.table_head()
    seconds(screen, actors, 2)
