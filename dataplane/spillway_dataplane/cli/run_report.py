"""What `spillway run` says while it runs: one line for each thing that changed, or one JSON document a line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spillway_crds.orders import FilterStatus, InterfaceStatus, NodeStatus
from spillway_crds.orders_wire import encode_status
from spillway_crds.resolve import Resolution
from spillway_dataplane.cli.console import Say
from spillway_dataplane.cli.manifests import Loaded
from spillway_dataplane.cli.review import review
from spillway_dataplane.node.findings import HARMLESS_REASONS


class RunReport:
    """Called by the folder's thread and by the agent's: each call prints whole lines and nothing else."""

    def __init__(self, say: Say, folder: Path, labels: Mapping[str, str]) -> None:
        self._say, self._folder, self._labels = say, folder, labels
        self._said: dict[str, str] = {}

    def begins(self) -> None:
        """Say what is being followed."""
        labels = ", ".join(f"{key}={value}" for key, value in self._labels.items())
        self._line(
            "begins", f"following {self._folder}; this machine is {labels}", folder=self._folder, labels=dict(self._labels)
        )

    def ends(self) -> None:
        """Say what is left."""
        self._line("ends", "ends; what is attached stays (`spillway status`, `spillway off --purge`)")

    def loaded(self, loaded: Loaded, resolution: Resolution) -> None:
        """Say what a look at the folder found."""
        for unreadable in loaded.unreadable:
            self._error(f"{unreadable.file}: {unreadable.reason}", asdict(unreadable))
        for fault in loaded.faults:
            self._error(
                str(fault), {"file": fault.file, "line": fault.line, "field": fault.problem.path, "reason": fault.problem.reason}
            )
        if loaded.unreadable or loaded.faults:
            self._line("kept", "the folder is not valid as a whole: what ran before goes on running")
            return
        names = [order.name for order in resolution.orders]
        others = sorted({each.name for each in loaded.filters} - set(names))
        text = f"wanted: {', '.join(names) or 'no filter'}" + (f" (not for this machine: {', '.join(others)})" if others else "")
        self._line("wanted", text, filters=names, others=others)
        for remark in review(loaded.filters).contradictions:
            self._line("contradiction", f"{', '.join(remark.filters)}: {remark.message}", filters=list(remark.filters))

    def status(self, status: NodeStatus) -> None:
        """Say what changed since the last report. Counts alone are no news: `spillway status` has them."""
        if self._say.is_json:
            self._json("status", encode_status(status))
            return
        news = {f"filter {each.name}": filter_text(each) for each in status.filters}
        for interface in status.interfaces:
            news[f"interface {interface.name}"] = interface_text(interface)
        news["enforcement"] = f"off: {status.enforcement_off}" if status.enforcement_off else "on"
        for subject, text in news.items():
            if self._said.get(subject) != text:
                self._line(subject, f"{subject}: {text}")
        self._said = news

    def _line(self, event: str, text: str, **fields: Any) -> None:
        if self._say.is_json:
            self._json(event, fields)
        else:
            print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    def _error(self, text: str, fields: Mapping[str, Any]) -> None:
        if self._say.is_json:
            self._json("error", fields)
        else:
            print(text, file=sys.stderr, flush=True)

    def _json(self, event: str, fields: Mapping[str, Any]) -> None:
        print(json.dumps({"event": event, "time": time.time(), **fields}, default=str), flush=True)


def interface_text(each: InterfaceStatus) -> str:
    """What runs on an interface, and what no filter's state tells of it, as a link that is down."""
    hooked = f"program {each.program_id}, {each.xdp_mode}" if each.link_id else "no program of ours"
    return "; ".join([hooked, *(known.message for known in each.conditions if known.type in HARMLESS_REASONS)])


def filter_text(each: FilterStatus) -> str:
    """A filter's state in one line."""
    why = ": ".join(part for part in (each.reason, each.message) if part)
    return f"{each.state.value} ({why})" if why else each.state.value
