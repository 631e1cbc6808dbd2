"""`spillway sdp`: what a video stream's receivers have to be told, from the API."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from spillway_crds import names
from spillway_crds.sdp import session_description, session_facts
from spillway_crds.sdp_compare import differences
from spillway_crds.streams_wire import decode_stream
from spillway_dataplane import __version__
from spillway_dataplane.api.calls import NOT_FOUND, ApiCalls, ApiRefused, Raw, load_configuration
from spillway_dataplane.cli.console import Say
from spillway_dataplane.cli.exits import CommandError, Exit
from spillway_dataplane.dra.names import claim_path


def run(arguments: argparse.Namespace, say: Say) -> Exit:
    """Print it, or compare it. Raises CommandError for a stream that has none, Transient while the API cannot be asked."""
    api = ApiCalls(load_configuration(), f"spillway-cli/{__version__}")
    try:
        text = sdp_of(api, arguments.namespace, arguments.name)
    finally:
        api.close()
    if arguments.compare:
        return _compare(say, f"{arguments.namespace}/{arguments.name}", text, arguments.compare)
    if say.is_json:
        say.value({"sdp": text})
    else:
        sys.stdout.write(text)
    return Exit.OK


def _compare(say: Say, stream: str, sent: str, path: Path) -> Exit:
    """Say what a receiver was told wrongly. Raises CommandError for a file that cannot be read."""
    try:
        told = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise CommandError(Exit.UNREADABLE, str(path), str(error)) from error
    found = differences(sent, told)
    if say.is_json:
        say.value({"differences": found})
    for line in found:
        say.line(f"{path}: {line}")
    if not found:
        say.line(f"{path} says what {stream} sends")
    return Exit.INVALID if found else Exit.OK


def sdp_of(api: ApiCalls, namespace: str, name: str) -> str:
    """The text in the stream's status; without one, made from the stream and from what its claim says of the node."""
    stream = _get(api, stream_path(namespace, name), f"{namespace}/{name}", "there is no such stream")
    if text := (stream.get("status") or {}).get("sdp"):
        return str(text)
    return _made(api, stream, namespace, name)


def _made(api: ApiCalls, stream: Raw, namespace: str, name: str) -> str:
    subject = f"{namespace}/{name}"
    claim = _get(api, claim_path(namespace, name), subject, "it has no claim yet, so nobody knows its source address")
    facts = session_facts(claim)
    if facts is None:
        raise CommandError(Exit.INVALID, subject, "no node has opened its ring yet, so nobody knows its source address")
    try:
        return session_description(decode_stream(stream), facts)
    except ValueError as error:
        raise CommandError(Exit.INVALID, subject, "only a video stream has an SDP text") from error


def stream_path(namespace: str, name: str) -> str:
    """Return where the API has a stream."""
    return f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.STREAMS_PLURAL}/{name}"


def _get(api: ApiCalls, path: str, subject: str, missing: str) -> Any:
    try:
        return api.get(path)
    except ApiRefused as error:
        if error.status == NOT_FOUND:
            raise CommandError(Exit.INVALID, subject, missing) from error
        raise
