"""The compiler's child: what it returns, how it fails, and what it may not do."""

from __future__ import annotations

import errno
import subprocess
import sys
import time

import pytest
from tests.filter_scenes import GUARD, policy
from tests.unit.test_filter_generate import largest

from spillway_crds.errors import KernelError
from spillway_dataplane.filter.generate import digest, generate
from spillway_dataplane.kernel.artifact import MAPS, Artifact
from spillway_dataplane.kernel.compiler import compile_source

FENCED = """
import ctypes, os
from spillway_dataplane.kernel.fence import raise_fence
assert raise_fence()
libc = ctypes.CDLL(None, use_errno=True)
print(os.geteuid() == 0, libc.syscall({bpf}, 0, 0, 0), ctypes.get_errno())
"""
BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}


def test_an_artifact_is_what_was_compiled() -> None:
    source = generate(policy(GUARD))
    artifact = compile_source(source)
    assert (artifact.digest, artifact.main, artifact.chunks, artifact.maps) == (digest(source), "spillway", (), MAPS)
    assert Artifact.from_bytes(artifact.to_bytes()) == artifact
    assert compile_source(source) == artifact, "the same source gives the same bytecode"


def test_chunks_come_in_order() -> None:
    """The order of programs is that of the tail calls, not that of names: chunk_10 after chunk_9."""
    source = "\n".join(f"int chunk_{n}(struct xdp_md *context)\n{{\n\treturn {n};\n}}" for n in range(12, 0, -1))
    artifact = compile_source(source + "\nint spillway(struct xdp_md *context)\n{\n\treturn 2;\n}\n")
    assert artifact.chunks == tuple(f"chunk_{n}" for n in range(1, 13))


def test_what_does_not_compile_says_why() -> None:
    with pytest.raises(KernelError, match="unknown_thing") as raised:
        compile_source("int spillway(struct xdp_md *context)\n{\n\treturn unknown_thing;\n}\n")
    assert (raised.value.errno, raised.value.operation) == (errno.ENOEXEC, "compile")


def test_a_compiler_that_takes_too_long_is_ended() -> None:
    with pytest.raises(KernelError) as raised:
        compile_source(generate(largest(1)), timeout_s=0.1)
    assert raised.value.errno == errno.ETIME


def test_a_change_is_compiled_in_time() -> None:
    """Ten times what is promised (300 ms): the bench holds it to the promise."""
    source, started = generate(policy(GUARD)), time.monotonic()
    compile_source(source)
    assert time.monotonic() - started < 3


def test_the_child_cannot_reach_the_kernel() -> None:
    """geteuid() and bpf() fail behind the fence."""
    machine = subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()
    program = FENCED.format(bpf=BPF_SYSCALL[machine])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "-1", str(errno.EPERM)]
