"""The table of a BypassStream's constraints, for the decoder and for a real API server, as crd_cases.py has it for the others."""

from __future__ import annotations

from dataclasses import replace

from tests.crd_cases import REQUIRED, SUPPORTED, UNKNOWN, Constraint, Manifest, manifest

FLOW = {"destinationAddress": "239.10.0.1", "destinationPort": 5004}
NO_ADDRESS = "not an IPv4 or IPv6 address"
NOT_OUTSIDE = "neither the unspecified nor a loopback address"
NO_SENDER = "a source is one host's address"
ONE_FAMILY = "must be of one family"
ONE_RATE = "say exactly one of packetsPerSecond, bitsPerSecond"


def stream(*without: str, **fields: object) -> Manifest:
    """A BypassStream of an application, with fields set and others taken out."""
    whole = {"interface": "eth1", "source": {"application": {}}, "flow": FLOW} | fields
    return manifest("BypassStream", {key: value for key, value in whole.items() if key not in without})


def flow(*without: str, **fields: object) -> Manifest:
    whole = FLOW | fields
    return stream(flow={key: value for key, value in whole.items() if key not in without})


def source_address(text: str) -> Manifest:
    return flow(sourceAddress=text, destinationAddress="2001:db8::1" if ":" in text else "10.0.0.9")


def vlan(**fields: object) -> Manifest:
    return flow(vlan=fields)


def pacing(**fields: object) -> Manifest:
    return stream(pacing=fields)


def ring(**fields: object) -> Manifest:
    return stream(ring=fields)


def _bounds(name: str, path: str, low: tuple[Manifest, Manifest], high: tuple[Manifest, Manifest]) -> tuple[Constraint, ...]:
    return (
        Constraint(f"{name}-low", *low, path, "should be greater than or equal to"),
        Constraint(f"{name}-high", *high, path, "should be less than or equal to"),
    )


FIELDS = (
    Constraint("stream-field", stream(txQueue=4), stream(queue=4), "spec.queue", UNKNOWN),
    Constraint("stream-field-of-flow", flow(ttl=1), flow(tos=1), "spec.flow.tos", UNKNOWN),
    Constraint("stream-field-of-vlan", vlan(id=1), vlan(id=1, dei=1), "spec.flow.vlan.dei", UNKNOWN),
    Constraint("stream-field-of-source", stream(), stream(source={"camera": {}}), "spec.source.camera", UNKNOWN),
    Constraint(
        "stream-field-of-application",
        stream(),
        stream(source={"application": {"image": "x"}}),
        "spec.source.application.image",
        UNKNOWN,
    ),
    Constraint(
        "stream-field-of-pacing", pacing(packetsPerSecond=1), pacing(framesPerSecond=1), "spec.pacing.framesPerSecond", UNKNOWN
    ),
    Constraint("stream-field-of-ring", ring(batch=1), ring(headroom=1), "spec.ring.headroom", UNKNOWN),
    Constraint("interface-required", stream(), stream("interface"), "spec.interface", REQUIRED),
    Constraint("source-required", stream(), stream("source"), "spec.source", REQUIRED),
    Constraint("flow-required", stream(), stream("flow"), "spec.flow", REQUIRED),
    Constraint("destination-required", flow(), flow("destinationAddress"), "spec.flow.destinationAddress", REQUIRED),
    Constraint("destination-port-required", flow(), flow("destinationPort"), "spec.flow.destinationPort", REQUIRED),
    Constraint("vlan-id-required", vlan(id=4094), vlan(priority=1), "spec.flow.vlan.id", REQUIRED),
    Constraint("stream-name-63", stream() | {"metadata": {"name": "s" * 63}}, stream() | {"metadata": {"name": "s" * 64}},
               "metadata.name", "may not be more than 63 bytes"),
)  # fmt: skip

CHOICES = (
    Constraint("bind-mode", stream(bindMode="ZeroCopy"), stream(bindMode="zerocopy"), "spec.bindMode", SUPPORTED),
    Constraint("queue-word", stream(txQueue="Any"), stream(txQueue="any"), "spec.txQueue", "a queue's number or Any"),
    Constraint("queue-word-length", stream(txQueue="Any"), stream(txQueue="None"), "spec.txQueue", "Too long"),
    Constraint("queue-type", stream(txQueue=0), stream(txQueue=[0]), "spec.txQueue", 'must be of type integer,string: "array"'),
    Constraint("one-source", stream(), stream(source={}), "spec.source", "say exactly one of application"),
    Constraint(
        "interface-name", stream(interface="eth1.100"), stream(interface="eth*"), "spec.interface", "not the name of an interface"
    ),
    Constraint("interface-lo", stream(interface="lo1"), stream(interface="lo"), "spec.interface", "lo has no card"),
    Constraint(
        "interface-15", stream(interface="e" * 15), stream(interface="e" * 16), "spec.interface", "may not be more than 15 bytes"
    ),
    Constraint("pacing-none", pacing(bitsPerSecond=1_000_000), stream(pacing={}), "spec.pacing", ONE_RATE),
    Constraint(
        "pacing-both",
        pacing(packetsPerSecond=1),
        pacing(packetsPerSecond=1, bitsPerSecond=1_000_000),
        "spec.pacing",
        ONE_RATE,
    ),
)

NUMBERS = (
    *_bounds("queue", "spec.txQueue", (stream(txQueue=0), stream(txQueue=-1)), (stream(txQueue=1023), stream(txQueue=1024))),
    *_bounds("source-port", "spec.flow.sourcePort", (flow(sourcePort=1), flow(sourcePort=0)),
             (flow(sourcePort=65535), flow(sourcePort=65536))),
    *_bounds("destination-port", "spec.flow.destinationPort", (flow(destinationPort=1), flow(destinationPort=0)),
             (flow(destinationPort=65535), flow(destinationPort=65536))),
    *_bounds("ttl", "spec.flow.ttl", (flow(ttl=1), flow(ttl=0)), (flow(ttl=255), flow(ttl=256))),
    *_bounds("dscp", "spec.flow.dscp", (flow(dscp=0), flow(dscp=-1)), (flow(dscp=63), flow(dscp=64))),
    *_bounds("vlan-id", "spec.flow.vlan.id", (vlan(id=1), vlan(id=0)), (vlan(id=4094), vlan(id=4095))),
    *_bounds("vlan-priority", "spec.flow.vlan.priority", (vlan(id=1, priority=0), vlan(id=1, priority=-1)),
             (vlan(id=1, priority=7), vlan(id=1, priority=8))),
    *_bounds("packets", "spec.pacing.packetsPerSecond", (pacing(packetsPerSecond=1), pacing(packetsPerSecond=0)),
             (pacing(packetsPerSecond=200_000_000), pacing(packetsPerSecond=200_000_001))),
    *_bounds("bits", "spec.pacing.bitsPerSecond", (pacing(bitsPerSecond=1000), pacing(bitsPerSecond=999)),
             (pacing(bitsPerSecond=10**12), pacing(bitsPerSecond=10**12 + 1))),
    *_bounds("descriptors", "spec.ring.descriptors", (ring(descriptors=64), ring(descriptors=63)),
             (ring(descriptors=8192), ring(descriptors=8193))),
    *_bounds("frame-bytes", "spec.ring.frameBytes", (ring(frameBytes=2048), ring(frameBytes=2047)),
             (ring(frameBytes=4096), ring(frameBytes=4097))),
    *_bounds("batch", "spec.ring.batch", (ring(batch=1), ring(batch=0)),
             (ring(descriptors=8192, batch=8192), ring(descriptors=8192, batch=8193))),
    Constraint("descriptors-power", ring(descriptors=128), ring(descriptors=100), "spec.ring.descriptors", "one of 64, 128, 256"),
    Constraint("frame-bytes-power", ring(frameBytes=4096), ring(frameBytes=3000), "spec.ring.frameBytes", "one of 2048, 4096"),
    Constraint(
        "batch-in-ring",
        ring(descriptors=64, batch=64),
        ring(descriptors=64, batch=65),
        "spec.ring.batch",
        "batch must not be above descriptors",
    ),
)  # fmt: skip

ADDRESSES = (
    Constraint(
        "destination-address",
        flow(destinationAddress="ff05::1"),
        flow(destinationAddress="239.10.0"),
        "spec.flow.destinationAddress",
        NO_ADDRESS,
    ),
    Constraint(
        "destination-no-prefix",
        flow(destinationAddress="10.0.0.1"),
        flow(destinationAddress="10.0.0.1/32"),
        "spec.flow.destinationAddress",
        NO_ADDRESS,
    ),
    Constraint(
        "destination-mapped",
        flow(destinationAddress="64:ff9b::a00:1"),
        flow(destinationAddress="::ffff:10.0.0.1"),
        "spec.flow.destinationAddress",
        NO_ADDRESS,
    ),
    Constraint(
        "destination-unspecified",
        flow(destinationAddress="255.255.255.255"),
        flow(destinationAddress="0.0.0.0"),
        "spec.flow.destinationAddress",
        NOT_OUTSIDE,
    ),
    Constraint(
        "destination-loopback",
        flow(destinationAddress="::2"),
        flow(destinationAddress="::1"),
        "spec.flow.destinationAddress",
        NOT_OUTSIDE,
    ),
    Constraint(
        "destination-39",
        flow(destinationAddress="2001:0db8:1111:2222:3333:4444:5555:6666"),
        flow(destinationAddress="2001:0db8:1111:2222:3333:4444:5555:66666"),
        "spec.flow.destinationAddress",
        "Too long",
    ),
    Constraint("source-address", source_address("10.0.0.7"), source_address("10.0.0.256"), "spec.flow.sourceAddress", NO_ADDRESS),
    Constraint(
        "source-loopback", source_address("10.0.0.7"), source_address("127.0.0.1"), "spec.flow.sourceAddress", NOT_OUTSIDE
    ),
    Constraint(
        "source-multicast", source_address("223.255.255.1"), source_address("224.0.0.1"), "spec.flow.sourceAddress", NO_SENDER
    ),
    Constraint("source-multicast-6", source_address("fe80::1"), source_address("ff02::1"), "spec.flow.sourceAddress", NO_SENDER),
    Constraint(
        "source-broadcast",
        source_address("255.255.255.254"),
        source_address("255.255.255.255"),
        "spec.flow.sourceAddress",
        NO_SENDER,
    ),
    Constraint(
        "source-39",
        source_address("2001:0db8:1111:2222:3333:4444:5555:6666"),
        source_address("2001:0db8:1111:2222:3333:4444:5555:66666"),
        "spec.flow.sourceAddress",
        "Too long",
    ),
    Constraint(
        "one-family",
        flow(sourceAddress="2001:db8::7", destinationAddress="ff05::1"),
        flow(sourceAddress="2001:db8::7", destinationAddress="239.10.0.1"),
        "spec.flow.sourceAddress",
        ONE_FAMILY,
    ),
)

CONSTRAINTS = tuple(
    replace(each, id=f"stream-{each.id.removeprefix('stream-')}") for each in (*FIELDS, *CHOICES, *NUMBERS, *ADDRESSES)
)
