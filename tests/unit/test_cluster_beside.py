"""What runs beside something else ends with it, and what it made or met comes back."""

from __future__ import annotations

import subprocess
import time

import pytest
from tests.cluster.beside import beside
from tests.cluster.errors import CommandFailed
from tests.cluster.shell import run


def test_both_are_done():
    with beside(lambda: run(["echo", "made"]).stdout) as made:
        said = run(["echo", "meanwhile"]).stdout
    assert (said, made.result()) == ("meanwhile\n", "made\n")


def test_what_the_work_met_comes_out_where_its_result_is_asked_for():
    with pytest.raises(CommandFailed), beside(lambda: run(["false"])) as made:
        made.result()


@pytest.mark.parametrize("failure", [KeyboardInterrupt, CommandFailed(argv=["go"], returncode=1, output="")])
def test_programs_of_the_work_are_killed_until_it_gives_up(tmp_path, failure):
    """The first one's failure is no end: whoever only asks goes on to the next program."""
    begun = tmp_path / "begun"

    def work():
        run(["sh", "-c", f"touch {begun}; exec sleep 47.11"], check=False)
        run(["sleep", "47.12"])

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt if failure is KeyboardInterrupt else CommandFailed), beside(work):
        while not begun.exists():
            time.sleep(0.01)
        raise failure
    assert time.monotonic() - start < 20
    assert subprocess.run(["pgrep", "-f", "sleep 47.1[12]"], capture_output=True, check=False).stdout == b""
