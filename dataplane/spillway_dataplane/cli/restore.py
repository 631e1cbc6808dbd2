"""`spillway restore`: what this node ran last is in force again, from its own disk; with `--hold` it also stays so."""

from __future__ import annotations

import argparse
import signal
from types import FrameType

from spillway_crds.orders import FilterState, FilterStatus
from spillway_crds.orders_wire import encode_status
from spillway_dataplane.cli.console import Say
from spillway_dataplane.cli.exits import Exit
from spillway_dataplane.cli.run_report import filter_text
from spillway_dataplane.cli.this_machine import log_warnings, settings_here, watch_links
from spillway_dataplane.kernel.compiler import compile_source
from spillway_dataplane.kernel.datapath import Datapath
from spillway_dataplane.restore import Restored, restore
from spillway_dataplane.settings import Settings
from spillway_dataplane.source import Inbox, Stop

IN_FORCE = frozenset({FilterState.ENFORCING, FilterState.MONITORING, FilterState.SUSPENDED, FilterState.OFF})
AGAIN_S = 10.0  # for an interface that has just come back; the next change of any is another occasion


def run(arguments: argparse.Namespace, say: Say) -> Exit:
    """Restore once; with --hold stay, and do it again when an interface changes while no agent is there."""
    log_warnings()
    settings = settings_here(arguments)
    if not arguments.hold:
        return tell(say, restore(settings, kernel=Datapath(settings.pins), compile_source=compile_source))
    inbox = Inbox()
    stop_on_signals(inbox)
    with watch_links(inbox):
        hold(settings, inbox, say)
    return Exit.OK


def hold(settings: Settings, inbox: Inbox, say: Say) -> None:
    """Keep what is restored until told to stop. An agent that comes takes the node; this then only stands by."""
    kernel = Datapath(settings.pins)
    done = restore(settings, kernel=kernel, compile_source=compile_source)
    tell(say, done)
    while not isinstance(inbox.get(), Stop):
        before, done = done, restore(settings, kernel=kernel, compile_source=compile_source, timeout_s=AGAIN_S)
        if news(done) != news(before):
            tell(say, done)


def news(restored: Restored) -> tuple[bool, tuple[str, ...]]:
    """What is worth a line: not times, not counts."""
    filters = restored.status.filters if restored.status else ()
    return restored.acting, tuple(f"{each.name}: {filter_text(each)}" for each in filters)


def stop_on_signals(inbox: Inbox) -> None:
    """SIGTERM ends us also as process 1 of a container, for which the kernel has no default."""

    def stop(number: int, frame: FrameType | None) -> None:
        inbox.put(Stop())

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def tell(say: Say, restored: Restored) -> Exit:
    """Say what came of it; REFUSED if a filter of the last order is not in force."""
    filters = restored.status.filters if restored.status else ()
    if say.is_json:
        status = encode_status(restored.status) if restored.status else None
        say.value({"agentActs": restored.acting, "status": status})
    elif restored.acting:
        say.line("An agent acts on this node: nothing to restore.")
    elif restored.status is None:
        say.line("This node never had an order: nothing to restore.")
    else:
        count = sum(map(is_in_force, filters))
        say.line(f"The last order: {count} of {len(filters)} filters are in force.", "" if count == len(filters) else "bold red")
        for each in filters:
            say.line(f"  {each.name}: {filter_text(each)}")
    return Exit.OK if all(map(is_in_force, filters)) else Exit.REFUSED


def is_in_force(each: FilterStatus) -> bool:
    """Whether a filter runs as ordered; Off and Suspended are orders too."""
    return each.state in IN_FORCE
