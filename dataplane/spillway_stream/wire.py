"""The ring protocol's messages as bytes; pages.py has the two shared pages. docs/ring-protocol.md says it in words.

Pure: bytes in, values out. All integers little-endian; sizes are asserted at import. Whoever changes a layout raises its number.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag

VERSION = 1
MAGIC = int.from_bytes(b"SPWR", "little")
MESSAGE_BYTES = 4096  # no message is longer; SOCK_SEQPACKET keeps them apart
HEAD = struct.Struct("<IHH")  # magic, version, type
TEXT_BYTES = 1024  # of a WAIT or REFUSED, UTF-8
FRAME_BYTES = (2048, 4096, 8192, 16384)
CHUNK_BYTES = 4096  # the most that one descriptor holds: a longer frame is several chunks in a row


class WireError(ValueError):
    """Bytes that are no message or page of this protocol. what: the part. got: the value that is wrong."""

    def __init__(self, what: str, got: object) -> None:
        super().__init__(f"{what}: {got!r}")
        self.what, self.got = what, got


class MessageType(IntEnum):
    """HELLO comes from the client, all others from the server. Descriptors come with HELLO when resuming, and with RING."""

    HELLO = 1
    WAIT = 2
    RING = 3
    REFUSED = 4


class HelloFlag(IntFlag):
    """RESUMING: the client holds the ring already (the server was restarted); the descriptors [xsk, umem] come along."""

    RESUMING = 1


class Bind(IntEnum):
    """What the kernel gave: getsockopt XDP_OPTIONS says it."""

    COPY = 1
    ZERO_COPY = 2


# ---- messages -------------------------------------------------------------------------------------------------------------


HELLO = struct.Struct("<I")  # flags
REFUSED = struct.Struct("<I")  # errno; the text follows
RING = struct.Struct("<10I3Q16s128s")
RING_FDS = ("xsk", "umem", "page", "report")  # the order of RING's descriptors; page is read-only
assert (HEAD.size, RING.size) == (8, 208)


@dataclass(frozen=True, slots=True)
class RingOffer:
    """RING: one ring and its memory. The fields stand on the wire in this order.

    frame_bytes: one of FRAME_BYTES.
    frames: the holder's, all of umem; addresses behind them are the node's (fill ring): never send from there.
    flags: 0. batch: the most packets that one kick hands over. Rates: 0 is unpaced; at most one of the two is given;
    bits_per_second counts IP packets, header and payload. stream: "namespace/name" of the claim or stream, for messages.
    """

    ifindex: int
    queue: int
    frame_bytes: int
    frames: int
    tx_descriptors: int
    completion_descriptors: int
    fill_descriptors: int
    bind: Bind
    batch: int
    flags: int
    umem_bytes: int
    packets_per_second: int
    bits_per_second: int
    interface: str
    stream: str


def encode_hello(*, resuming: bool = False) -> bytes:
    """The client's first and only message."""
    return head(MessageType.HELLO) + HELLO.pack(HelloFlag.RESUMING if resuming else 0)


def encode_wait(holder: str) -> bytes:
    """holder: who has the ring now, for a person. May be sent again when that changes; RING or REFUSED follows."""
    return head(MessageType.WAIT) + clipped(holder, TEXT_BYTES)


def encode_refused(errno: int, text: str) -> bytes:
    """The server closes the connection after it. EAGAIN: try again later; ESTALE: a resumed ring is not this claim's."""
    return head(MessageType.REFUSED) + REFUSED.pack(errno) + clipped(text, TEXT_BYTES)


def encode_ring(offer: RingOffer) -> bytes:
    """The descriptors of RING_FDS go with it in one SCM_RIGHTS message, also to a client that resumes."""
    *numbers, interface, stream = (getattr(offer, each.name) for each in fields(offer))
    return head(MessageType.RING) + RING.pack(*numbers, clipped(interface, 15), clipped(stream, 127))


def head(kind: MessageType) -> bytes:
    """Every message's first 8 bytes."""
    return HEAD.pack(MAGIC, VERSION, kind)


def open_message(raw: bytes) -> tuple[MessageType, bytes]:
    """Split a message into its type and the rest. Raises WireError if it is not of this protocol and version."""
    if len(raw) < HEAD.size:
        raise WireError("message length", len(raw))
    magic, version, kind = HEAD.unpack_from(raw)
    if (magic, version) != (MAGIC, VERSION):
        raise WireError("magic and version", (magic, version))
    if kind not in set(MessageType):
        raise WireError("message type", kind)
    return MessageType(kind), raw[HEAD.size :]


def decode_hello(body: bytes) -> HelloFlag:
    """Raises WireError on another length or an unknown flag."""
    if len(body) != HELLO.size or (flags := HELLO.unpack(body)[0]) & ~int(HelloFlag.RESUMING):
        raise WireError("hello", body)
    return HelloFlag(flags)


def decode_refused(body: bytes) -> tuple[int, str]:
    """Returns (errno, text)."""
    if len(body) < REFUSED.size:
        raise WireError("refusal", body)
    return REFUSED.unpack_from(body)[0], body[REFUSED.size :].decode(errors="replace")


def decode_ring(body: bytes) -> RingOffer:
    """Raises WireError on another length or bind mode. Whether the numbers fit the descriptors is the receiver's to check."""
    if len(body) != RING.size:
        raise WireError("ring length", len(body))
    *numbers, interface, stream = RING.unpack(body)
    bind_at = [each.name for each in fields(RingOffer)].index("bind")
    if numbers[bind_at] not in set(Bind):
        raise WireError("bind", numbers[bind_at])
    numbers[bind_at] = Bind(numbers[bind_at])
    return RingOffer(*[*numbers, text(interface), text(stream)])


def clipped(words: str, size_bytes: int) -> bytes:
    """UTF-8, never cut inside a character."""
    return words.encode()[:size_bytes].decode(errors="ignore").encode()


def text(raw: bytes) -> str:
    """A zero-padded field."""
    return raw.partition(b"\0")[0].decode(errors="replace")
