"""What a node has to know of a transmit ring: part of a BypassStream's spec and of its claim's parameters, alike."""

from __future__ import annotations

from collections.abc import Mapping

from spillway_crds.schema.fields import Field, Law, Record, Text, Whole
from spillway_crds.schema.stream_laws import (
    ADDRESS_LAWS,
    FLOW_LAWS,
    RATES,
    RING_LAWS,
    SOURCE_LAWS,
    exactly_one,
    power_of_two,
)
from spillway_crds.streams import BindMode, ClockSource

MAX_ADDRESS_CHARS = 39  # eight groups of four digits, seven colons
MAX_PORT = 65535
MAX_PACKETS_PER_SECOND = 200_000_000  # more than 100 Gbit/s of the smallest frames
MAX_BITS_PER_SECOND = 1_000_000_000_000
MIN_BITS_PER_SECOND = 1_000
MIN_DESCRIPTORS, MAX_DESCRIPTORS = 64, 8192
FRAME_BYTES = (2048, 16384)


def _port(description: str, default: int | None = None) -> Whole:
    return Whole(description=description, minimum=1, maximum=MAX_PORT, default=default)


def _address(description: str, *more: Law) -> Text:
    return Text(description=description, max_length=MAX_ADDRESS_CHARS, laws=(*ADDRESS_LAWS, *more))


VLAN = Record(
    description="The 802.1Q tag that every frame carries. Omitted: none. Example: {id: 100, priority: 5}.",
    fields={
        "id": Whole(description="VLAN id. Example: 100.", minimum=1, maximum=4094),
        "priority": Whole(description="Priority code point. Default 0. Example: 5.", minimum=0, maximum=7, default=0),
    },
    required=("id",),
)

FLOW = Record(
    description="Addresses and ports of the stream's UDP packets: what the header stands prepared with in every frame. The next"
    " hop's MAC address comes from the node's routes and neighbours, and follows them. Example: {destinationAddress: 239.10.0.1,"
    " destinationPort: 5004, ttl: 16, dscp: 46}.",
    fields={
        "sourceAddress": _address(
            "Where the packets say they come from. Omitted: the interface's own address. Example: 10.0.0.7.", *SOURCE_LAWS
        ),
        "sourcePort": _port("Source port of UDP. Default 5004.", 5004),
        "destinationAddress": _address("Where they go, unicast or multicast, IPv4 or IPv6. Example: 239.10.0.1."),
        "destinationPort": _port("Destination port of UDP. Example: 5004."),
        "ttl": Whole(description="Time to live; over IPv6 the hop limit. Default 64.", minimum=1, maximum=255, default=64),
        "dscp": Whole(
            description="Differentiated services code point. Default 0. Example: 46, expedited forwarding.",
            minimum=0,
            maximum=63,
            default=0,
        ),
        "vlan": VLAN,
    },
    required=("destinationAddress", "destinationPort"),
    laws=FLOW_LAWS,
)

PACING = Record(
    description="The rate that the ring's library keeps. Exactly one field. Omitted: as fast as the application sends."
    " Example: {packetsPerSecond: 340000}.",
    fields={
        "packetsPerSecond": Whole(description="Packets a second. Example: 340000.", minimum=1, maximum=MAX_PACKETS_PER_SECOND),
        "bitsPerSecond": Whole(
            description="Bits a second of IP packets, header and payload; without Ethernet. Example: 1000000000.",
            minimum=MIN_BITS_PER_SECOND,
            maximum=MAX_BITS_PER_SECOND,
            wide=True,
        ),
    },
    laws=(exactly_one(*RATES),),
)

RING = Record(
    description="Sizes of the ring. Its memory is 2 x descriptors x frameBytes, of which no more than 4096 counts: 16 MiB for the"
    " defaults. Omitted: the defaults. Example: {frameBytes: 4096, batch: 16}.",
    fields={
        "descriptors": Whole(
            description="Slots of the transmit ring, a power of two. Default 4096.",
            minimum=MIN_DESCRIPTORS,
            maximum=MAX_DESCRIPTORS,
            default=4096,
            laws=(power_of_two(MIN_DESCRIPTORS, MAX_DESCRIPTORS),),
        ),
        "frameBytes": Whole(
            description="Bytes of one frame of shared memory; a packet with its headers must fit. Above 4096 a packet takes a"
            " slot for each 4096 bytes that it begins, and the ring has half or a quarter of the frames; that needs Linux 6.6."
            " Default 2048. Example: 16384, for an MTU of 9000.",
            minimum=FRAME_BYTES[0],
            maximum=FRAME_BYTES[1],
            default=FRAME_BYTES[0],
            laws=(power_of_two(*FRAME_BYTES),),
        ),
        "batch": Whole(
            description="The most packets that one system call hands over, also when a late sender catches up. Default 64.",
            minimum=1,
            maximum=MAX_DESCRIPTORS,
            default=64,
        ),
    },
    laws=RING_LAWS,
)

CLOCK_SOURCE = Text(
    description="PTP: the PTP clock of the interface's card, else the node's if it has exactly one, which the node gives to the"
    " pod for reading; CLOCK_TAI of the node where there is none or its time is none that PTP gives. System (default): CLOCK_TAI"
    " of the node. Example: PTP.",
    choices=tuple(ClockSource),
    default=ClockSource.SYSTEM.value,
)
RING_CLOCK = Record(
    description="Which clock the container needs. Omitted: none but the system's. Example: {source: PTP}.",
    fields={"source": CLOCK_SOURCE},
)

PARAMETER_FIELDS: Mapping[str, Field] = {
    "bindMode": Text(
        description="ZeroCopy: the card reads the frames itself, and the stream fails with NotSupported where it cannot. Prefer"
        " (default): zero copy where it can be had, else a copy. Copy: never asks for zero copy. `status.bindMode` says what the"
        " kernel gave.",
        choices=tuple(BindMode),
        default=BindMode.PREFER.value,
    ),
    "flow": FLOW,
    "pacing": PACING,
    "ring": RING,
}
