from collections.abc import Callable
from typing import Self

from typing_extensions import Buffer

def translate_with(function: Callable[[tuple[int, int, int, int, int, int, int, str]], BaseException]) -> None: ...
def tai_ns() -> int: ...
def write_packet(
    to: Buffer, table: Buffer, place: int, pixels: Buffer, offset: int, state: tuple[int, int, int, int, int]
) -> int: ...
def send_picture(
    rings: tuple[RawRing, ...],
    table: Buffer,
    pixels: Buffer,
    offset: int,
    state: tuple[int, int, int, int, int],
    schedule: tuple[int, int, float, float, int, int],
    batch: int,
    bucket: tuple[float, int],
) -> tuple[float, int, int, int, int, float, int]: ...
def send_capture(
    ring: RawRing,
    data: Buffer,
    at: Buffer,
    lengths: Buffer,
    due_ns: Buffer | None,
    first: int,
    n: int,
    begin_ns: int,
    batch: int,
) -> None: ...
def clock_steered() -> bool: ...
def explain_lost(memory: Buffer, path: str, text: str, exit_code: int) -> None: ...

class RawRing:
    def __new__(
        cls,
        path: str | None,
        timeout_s: float,
        batch: int,
        own_pace: bool,
        packets_per_second: int,
        bits_per_second: int,
        udp_checksum: bool,
        drop_when_not_ready: bool,
        rtp: tuple[int, int, int, bytes] | None,
        waiting: Callable[[str], object],
    ) -> Self: ...
    def reserve(self, n: int, timeout_s: float = 1.0) -> slice: ...
    def send(
        self,
        n: int | None = None,
        *,
        size: int = 0,
        raw: bool = False,
        timestamp: int = 0,
        marker: bool = False,
        at_tai_ns: int = 0,
    ) -> int: ...
    def pace(self, *, packets_per_second: int = 0, bits_per_second: int = 0) -> None: ...
    def drain(self, timeout_s: float = 1.0) -> int: ...
    def close(self) -> None: ...
    def _memory(self) -> tuple[memoryview, memoryview]: ...
    def _facts(self) -> tuple[int, int, int, int, int, bool, int, int, int, int, str, str, str]: ...
    def _counts(self) -> tuple[tuple[int, ...], tuple[int, ...]]: ...
    def _holes(self) -> list[tuple[int, int, bool]]: ...
    def _note(self, counter: int, value: int) -> None: ...
