"""UDP payloads that carry a number and tell whether they are whole: every octet behind the number follows from it."""

from __future__ import annotations

from collections.abc import Iterable

BODY_BYTES = 1358  # a frame of 1,400
PAYLOAD_AT = 42  # behind Ethernet, IPv4 and UDP


_REST = bytes(range(256)) * 8


def body(number: int, size: int = BODY_BYTES) -> bytes:
    """size: up to 1,796 bytes."""
    return number.to_bytes(4, "big") + _REST[number & 0xFF :][: size - 4]


def numbers_of(frames: Iterable[bytes]) -> list[int]:
    """Numbers of the whole ones among received frames, in their order."""
    payloads = (frame[PAYLOAD_AT:] for frame in frames if frame[12:14] == b"\x08\x00")
    return sorted(
        int.from_bytes(each[:4], "big") for each in payloads if len(each) > 4 and each == body(_number(each), len(each))
    )


def _number(payload: bytes) -> int:
    return int.from_bytes(payload[:4], "big")
