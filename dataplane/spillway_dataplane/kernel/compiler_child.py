"""The short-lived process in which bcc and LLVM compile one program: C on standard input, bytecode on standard output.

The programs name their maps by number, so bcc creates none and asks the kernel for nothing: this process needs no capability,
and fences itself in (fence.py).
Exit status 1: the source does not compile, and clang has said why on standard error.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from pathlib import Path

from spillway_dataplane.kernel.fence import raise_fence

HEADERS = Path(__file__).resolve().parent.parent / "bpf"
CFLAGS = ["-g0", "-Wno-unused-label", "-Wno-unused-function"]  # a generated program has labels and helpers it does not need
HEAD = struct.Struct("<I")


def compile_programs(source: bytes) -> dict[str, bytes]:
    """Return the bytecode of every function of a C text. Raises whatever bcc raises when it does not compile."""
    os.environ["BCC_KERNEL_SOURCE"] = str(HEADERS)  # bcc changes into it: one more reason for a process of its own
    from bcc import BPF, lib  # noqa: PLC0415  # after the environment is set

    module = BPF(text=source, cflags=CFLAGS)
    names = [lib.bpf_function_name(module.module, index) for index in range(lib.bpf_num_functions(module.module))]
    return {name.decode(): module.dump_func(name) for name in names}


def encode(programs: dict[str, bytes]) -> bytes:
    """Return length and JSON of [name, size] pairs, then the bytecode."""
    head = json.dumps([[name, len(code)] for name, code in programs.items()]).encode()
    return HEAD.pack(len(head)) + head + b"".join(programs.values())


def decode(raw: bytes) -> dict[str, bytes]:
    """Read what `encode` wrote."""
    (head_bytes,) = HEAD.unpack_from(raw)
    programs, offset = {}, HEAD.size + head_bytes
    for name, size in json.loads(raw[HEAD.size : offset]):
        programs[name] = raw[offset : offset + size]
        offset += size
    return programs


def main() -> None:
    """Compile standard input. Leaves without Python's own clean-up: LLVM's 100 MB are quicker given back by the kernel."""
    raise_fence()
    try:
        sys.stdout.buffer.write(encode(compile_programs(sys.stdin.buffer.read())))
        sys.stdout.flush()
    except Exception as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
