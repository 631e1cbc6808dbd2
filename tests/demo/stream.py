"""Colour bars leave an unprivileged pod through a transmit queue, and GStreamer on another node writes what it sees as PNG files.

    python -m tests.demo.stream [--keep]

Ends by itself and takes everything down again, but for the pictures in build/demo-stream.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import yaml

from tests.cluster import Cluster, ClusterError
from tests.cluster.interruption import signals, stop
from tests.cluster.products import remove
from tests.demo.__main__ import is_up
from tests.demo.screen import Screen
from tests.demo.story import HOSTS
from tests.e2e.product import Json, Product, condition, wait_for

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "examples" / "streams" / "colorbars.yaml"
PICTURES = REPOSITORY / "build" / "demo-stream"
PLACEHOLDER = "203.0.113.12"
FRAMES = 5
CUT = "frame-0.png"  # it began in the middle of a frame
GRANT = ("streams.grants[0].interface=eth1", "streams.grants[0].queues={1,2}", "streams.grants[0].namespaces={studio}")
STUDIO = {"apiVersion": "v1", "kind": "Namespace"} | {
    "metadata": {"name": "studio", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when there are pictures, 1 with a line when something failed, 130 when it was interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo.stream", description=__doc__.partition("\n")[0])
    parser.add_argument("--keep", action="store_true", help="leave the cluster and the stream as they are at the end")
    screen = Screen()
    try:
        with signals(stop):
            demo(screen, keep=parser.parse_args(argv).keep)
    except KeyboardInterrupt:
        screen.say("interrupted", "red")
        return 130
    except (ClusterError, AssertionError) as error:
        screen.say(f"the demo failed: {error}", "bold red")
        return 1
    return 0


def demo(screen: Screen, *, keep: bool) -> None:
    """The whole story, with a cluster of its own; one that was up before stays up."""
    screen.title("Spillway: a camera's worth of video out of a pod that may do nothing")
    keep = keep or is_up()
    with ExitStack() as stack:
        screen.step("A Kubernetes cluster on this machine")
        product = Product(Cluster.up(nodes=2, hosts=HOSTS))
        if not keep:
            stack.callback(product.cluster.down)
        install(screen, product)
        send(screen, product)
        receive(screen, product)
        screen.say(f"\nThe demo took {time.monotonic() - screen.began:.0f} seconds.", "bold")


def install(screen: Screen, product: Product) -> None:
    """The chart, with two queues granted."""
    screen.step("The administrator grants two transmit queues of eth1 to namespace studio")
    screen.command(
        "helm install spillway charts/spillway -n spillway-system --create-namespace "
        + " ".join(f"--set '{each}'" for each in GRANT)
    )
    with screen.waiting("operator, agents, and the queues offered to the scheduler"):
        if not granted(product):
            product.install(dict(each.split("=", 1) for each in GRANT), upgrade=product.is_installed())
        product.wait_pods_ready()
        wait_for("the queues", lambda: len(product.get_all("resourceslices")) == len(product.get_all("nodes")), 120)
    screen.command("kubectl get deviceclasses,resourceslices")
    screen.output(product.kubectl("get", "deviceclasses,resourceslices"))


def granted(product: Product) -> bool:
    """Whether a cluster that was up has queues for the namespace already."""
    return product.is_installed() and "/studio.tx-queue" in product.kubectl("get", "deviceclasses", "-o", "name")


def manifest(destination: str) -> str:
    """The shipped example, with the receiver's address in the place of the documentation's."""
    text = EXAMPLE.read_text()
    assert PLACEHOLDER in text, f"{EXAMPLE} has no {PLACEHOLDER} any more"
    return text.replace(PLACEHOLDER, destination)


def send(screen: Screen, product: Product) -> None:
    """One manifest; the rest is the operator's, the scheduler's and the node's."""
    screen.step("One manifest: 640x360, 25 frames a second, by SMPTE ST 2110-20")
    text = manifest(product.cluster.node(2).studio.address)
    screen.output(text[text.index("apiVersion") :])
    screen.command("kubectl apply -f examples/streams/colorbars.yaml")
    product.apply(STUDIO)
    with screen.waiting("claim, pod, ring, first frame"):
        product.kubectl("apply", "-f", "-", stdin=text)
        wait_for("the stream to be ready", lambda: condition(stream(product, text), "Ready").get("status") == "True", 120)
    screen.command("kubectl -n studio get bypassstreams,resourceclaims,pods -o wide")
    screen.output(product.kubectl("-n", "studio", "get", "bypassstreams,resourceclaims,pods", "-o", "wide"))
    screen.command("kubectl -n studio exec bars-source -- sh -c 'id; grep -E Cap.nd /proc/1/status'")
    screen.output(
        product.kubectl("-n", "studio", "exec", "bars-source", "--", "sh", "-c", "id; grep -E 'Cap(Eff|Bnd)' /proc/1/status")
    )


def stream(product: Product, text: str) -> Json:
    name = yaml.safe_load(text)["metadata"]["name"]
    return product.get("bypassstream", name, "-n", "studio")


def pipeline(video: Json, port: int) -> list[str]:
    """What gst-launch-1.0 is told: receive, take the packets apart, write PNG files."""
    caps = (
        f"application/x-rtp,media=video,payload=96,clock-rate=90000,encoding-name=RAW,sampling={video['sampling']},"
        f"depth=(string){video['depthBits']},width=(string){video['widthPixels']},height=(string){video['heightPixels']},"
        "colorimetry=BT709-2"
    )
    source = ["udpsrc", f"port={port}", "buffer-size=33554432", "timeout=5000000000", f"caps={caps}"]
    decode = ["!", "rtpvrawdepay", "!", "videoconvert", "!", "identity", f"eos-after={FRAMES + 2}", "!", "pngenc"]
    return ["gst-launch-1.0", "-q", *source, *decode, "!", "multifilesink", f"location={PICTURES}/frame-%d.png"]


def receive(screen: Screen, product: Product) -> None:
    """GStreamer on the other node. Raises AssertionError if it wrote no pictures."""
    screen.step("On node2 GStreamer receives it, as any ST 2110 receiver would")
    spec = yaml.safe_load(manifest("0.0.0.0"))["spec"]
    argv = pipeline(spec["source"]["video"], spec["flow"]["destinationPort"])
    screen.command(" ".join(argv))
    remove(PICTURES)
    PICTURES.mkdir(parents=True)
    with screen.waiting(f"{FRAMES} pictures"):
        done = product.cluster.node(2).net.run(argv, check=False, timeout=60)
    (PICTURES / CUT).unlink(missing_ok=True)
    pictures = sorted(PICTURES.glob("*.png"))
    assert len(pictures) == FRAMES, f"{len(pictures)} pictures; GStreamer said: {done.stdout}{done.stderr}"
    for each in pictures:
        screen.say(f"  {each.relative_to(REPOSITORY)}  {each.stat().st_size:,} bytes")
    screen.command("spillway streams")
    screen.output(rings(product))


def rings(product: Product) -> str:
    """What the command line says of all rings, asked as the cluster's administrator."""
    environment = {**os.environ, "KUBECONFIG": str(product.cluster.kubeconfig)}
    argv = [sys.executable, "-m", "spillway_dataplane.cli", "streams"]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
