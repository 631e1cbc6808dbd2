"""`spillway on`: the end of `spillway off`, and leave to attach again what somebody detached by hand."""

from __future__ import annotations

import argparse

from spillway_dataplane.cli.console import Say
from spillway_dataplane.cli.exits import Exit
from spillway_dataplane.cli.switching import switch_on
from spillway_dataplane.kept.store import Store
from spillway_dataplane.kernel.datapath import Datapath
from spillway_dataplane.settings import PINS


def run(arguments: argparse.Namespace, say: Say) -> Exit:
    """Switch on."""
    enforcing = switch_on(Datapath(arguments.bpffs / PINS), Store(arguments.state))
    if say.is_json:
        say.value({"enforcement": "On" if enforcing else "Off"})
    elif enforcing:
        say.line("Enforcing filters drop again at this node.")
    else:
        say.line("Taken back here, but the cluster's kill switch (ConfigMap spillway-switch) still holds: nothing is dropped.")
    return Exit.OK
