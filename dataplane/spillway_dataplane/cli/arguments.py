"""The words that `spillway` understands. Nothing is imported here that a command needs: --help has to be there at once."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import NoReturn

from spillway_dataplane.cli.console import JSON, TEXT
from spillway_dataplane.cli.exits import MEANINGS, CommandError, Exit

EXIT_CODES = "exit codes:\n" + "\n".join(f"  {code:<4}{meaning}" for code, meaning in MEANINGS.items())
OUTPUTS = (TEXT, JSON)


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is an error like any other: one line, or JSON where a program asked for it."""

    def error(self, message: str) -> NoReturn:
        """Raise CommandError(USAGE)."""
        raise CommandError(Exit.USAGE, "", f"{message}; see `{self.prog} --help`")


def parser() -> Parser:
    """Build the parser of all commands."""
    top = Parser(
        prog="spillway",
        description="Filters floods at single receive queues of a node's network cards.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    _add_check(commands)
    _add_run(commands)
    _add_status(commands)
    _add_streams(commands)
    _add_sdp(commands)
    _add_off(commands)
    _command(commands, "on", "let enforcing filters drop again at this node, and attach again what somebody detached", node=True)
    _add_restore(commands)
    _command(commands, "version", "say which version this is")
    return top


def _command(commands: argparse._SubParsersAction[Parser], name: str, law: str, *, node: bool = False) -> Parser:
    made = commands.add_parser(
        name, help=law, description=law[0].upper() + law[1:] + ".", epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    made.add_argument("-o", "--output", choices=OUTPUTS, default=TEXT, help="for a person (default) or for a program")
    if node:
        made.add_argument("--state", type=Path, default=default_state(), metavar="DIR", help="default: %(default)s")
        made.add_argument("--bpffs", type=Path, default=default_bpffs(), metavar="DIR", help="default: %(default)s")
    return made


def default_state() -> Path:
    """Where the agent keeps this node's state."""
    return Path(os.environ.get("SPILLWAY_STATE", "/var/lib/spillway"))


def default_bpffs() -> Path:
    """Where the node's bpffs is: outside /sys in our own container, where a distribution mounts it everywhere else."""
    inside_pod = Path("/bpf")
    return Path(os.environ.get("SPILLWAY_BPFFS", inside_pod if inside_pod.is_dir() else "/sys/fs/bpf"))


def _add_check(commands: argparse._SubParsersAction[Parser]) -> None:
    check = _command(commands, "check", "say everything that is wrong with manifests, and what valid ones would do")
    check.add_argument("files", nargs="+", metavar="FILE", help="YAML or JSON; a folder; - for standard input")
    check.add_argument(
        "--compile",
        action="store_true",
        help="also compile, and let the verifier look, without attaching (root)",
    )


def _add_run(commands: argparse._SubParsersAction[Parser]) -> None:
    run = _command(commands, "run", "filter on this machine, without Kubernetes, what the manifests of a folder say", node=True)
    run.add_argument("folder", type=Path, metavar="DIR", help="folder of FloodFilter manifests; its changes are followed")
    run.add_argument(
        "--node-label", action="append", default=[], type=label, metavar="KEY=VALUE",
        help="a label of this machine, for nodeSelector; may be repeated",
    )  # fmt: skip


def label(text: str) -> tuple[str, str]:
    """A label as `key=value`."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _add_status(commands: argparse._SubParsersAction[Parser]) -> None:
    status = _command(
        commands, "status", "say what filters on this node, read from the kernel, with or without the agent", node=True
    )
    status.add_argument("--all-interfaces", action="store_true", help="list interfaces without a program too")


def _add_streams(commands: argparse._SubParsersAction[Parser]) -> None:
    streams = _command(commands, "streams", "list the transmit rings of a cluster: node, queue, mode, rate, who has them")
    streams.add_argument("-n", "--namespace", default="", metavar="NAME", help="of this namespace only")
    actions = streams.add_subparsers(dest="action", metavar="ACTION", parser_class=Parser)
    evict = _command(actions, "evict", "end the pods that hold a stream's ring, by the API's eviction: budgets are kept to")
    evict.add_argument("name", metavar="NAME", help="of the stream, or of the claim")
    evict.add_argument("-n", "--namespace", required=True, metavar="NAME", help="the stream's")


def _add_sdp(commands: argparse._SubParsersAction[Parser]) -> None:
    sdp = _command(commands, "sdp", "print the SDP text of a video stream, which its receivers need")
    sdp.add_argument("name", metavar="NAME", help="of the stream")
    sdp.add_argument("-n", "--namespace", required=True, metavar="NAME", help="the stream's")
    sdp.add_argument("--compare", type=Path, metavar="FILE", help="say instead what differs in the SDP file that a receiver has")


def _add_off(commands: argparse._SubParsersAction[Parser]) -> None:
    off = _command(commands, "off", "drop nothing at this node, at once and over reboots, until `spillway on`", node=True)
    off.add_argument("--purge", action="store_true", help="also remove every link, program, map and file of ours from this node")
    for name, default, law in (
        ("kubelet", "/var/lib/kubelet", "where kubelet keeps its plugins; for --purge"),
        ("cdi", "/var/run/cdi", "where containerd looks for CDI files; for --purge"),
    ):
        place = Path(os.environ.get(f"SPILLWAY_{name.upper()}_DIR", default))
        off.add_argument(f"--{name}-dir", type=Path, default=place, metavar="DIR", help=f"{law} (default: %(default)s)")


def _add_restore(commands: argparse._SubParsersAction[Parser]) -> None:
    restore = _command(commands, "restore", "put in force what this node ran last, without any API server", node=True)
    restore.add_argument("--hold", action="store_true", help="then stay, as a static pod has to, until told to end")
