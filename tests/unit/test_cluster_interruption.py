"""What was begun is undone, whoever stops it and whether anybody still listens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import sys, time
from tests.cluster.interruption import signals, stop, undone_on_failure
from tests.cluster.shell import step, say

def undo():
    say("undoing")
    time.sleep(0.3)
    open(sys.argv[1], "w").write("undone")

with signals(stop), undone_on_failure(undo), step("making"):
    print("made", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
def test_what_was_made_is_undone_with_nobody_listening(tmp_path, number, again):
    """The terminal is gone, so that a word of progress is an error; a second signal does not disturb the undoing."""
    done = tmp_path / "done"
    argv = [sys.executable, "-c", PROGRAM, str(done)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"made\n"
        os.read(process.stderr.fileno(), 100)
        process.stderr.close()
        process.send_signal(number)
        if again:
            time.sleep(0.1)
            process.send_signal(number)
        assert process.wait(30) != 0
    finally:
        process.kill()
        process.communicate()
    assert done.read_text() == "undone"
