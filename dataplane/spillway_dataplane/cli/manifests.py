"""FloodFilters, BypassStreams and claims for queues from files: every document decoded, every fault kept.

`check` and `run` see the same.
"""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from spillway_crds import decode, names
from spillway_crds.claims import CLAIM_KIND, TEMPLATE_KIND, WrittenClaim, asks_for_queues, read_written_claim
from spillway_crds.errors import InvalidIntent, Problem
from spillway_crds.filters import FloodFilter
from spillway_crds.streams import BypassStream
from spillway_crds.streams_wire import STREAM_KIND, decode_stream
from spillway_crds.validate import type_name
from spillway_dataplane.cli.documents import Document, Unparsable, join, read_documents

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One valid FloodFilter and where it stands."""

    document: Document
    filter: FloodFilter


@dataclass(frozen=True, slots=True)
class StreamManifest:
    """One valid BypassStream and where it stands. Only a cluster can carry it out."""

    document: Document
    stream: BypassStream


@dataclass(frozen=True, slots=True)
class ClaimManifest:
    """One claim, or template of one, that asks for transmit queues, and where it stands. The rest of it is the API server's."""

    document: Document
    claim: WrittenClaim


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a file. number, line: of document and field, from 1. name: the object's, if it has one."""

    file: str
    number: int
    line: int
    name: str
    problem: Problem
    kind: str = decode.KIND

    def __str__(self) -> str:
        """One line for a person: where, what, why."""
        who = f"{self.kind} {self.name}: " if self.kind and self.name else ""
        what = self.problem if self.problem.path else self.problem.reason
        return printable(f"{self.file}:{self.line}: document {self.number}: {who}{what}")


@dataclass(frozen=True, slots=True)
class Ignored:
    """An object that is not ours to check."""

    file: str
    number: int
    line: int
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that could not be read at all."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """All that some files hold."""

    manifests: tuple[Manifest, ...] = ()
    streams: tuple[StreamManifest, ...] = ()
    claims: tuple[ClaimManifest, ...] = ()
    faults: tuple[Fault, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def filters(self) -> tuple[FloodFilter, ...]:
        """The valid filters, in the order of the files."""
        return tuple(manifest.filter for manifest in self.manifests)


Found = Manifest | StreamManifest | ClaimManifest | Fault | Ignored
KINDS = {kind.casefold(): kind for kind in (decode.KIND, STREAM_KIND)}


def printable(text: str) -> str:
    """One line that a terminal takes as text, whatever a file's names hold."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def load(files: Iterable[str]) -> Loaded:
    """Read files, folders (not deeper) and `-` for standard input. Never raises: what is wrong is in the answer."""
    found: list[Found | Unreadable] = []
    for file in files:
        found += _load_argument(file)
    found += _twice([each for each in found if isinstance(each, Manifest | StreamManifest)])
    return Loaded(
        tuple(each for each in found if isinstance(each, Manifest)),
        tuple(each for each in found if isinstance(each, StreamManifest)),
        tuple(each for each in found if isinstance(each, ClaimManifest)),
        tuple(each for each in found if isinstance(each, Fault)),
        tuple(each for each in found if isinstance(each, Ignored)),
        tuple(each for each in found if isinstance(each, Unreadable)),
    )


def _load_argument(argument: str) -> Iterator[Found | Unreadable]:
    try:
        files = files_of(argument)
    except OSError as error:
        yield Unreadable(argument, _why(error))
        return
    for file in files:
        yield from _load_file(file)


def _load_file(file: str) -> Iterator[Found | Unreadable]:
    try:
        text = _read(file)
    except (OSError, UnicodeDecodeError) as error:
        yield Unreadable(file, _why(error))
        return
    yield from load_text(file, text)


def files_of(argument: str) -> list[str]:
    """The manifests of a folder in name order, without hidden files (an editor's, a half-copied one); any other name as it is."""
    path = Path(argument)
    if argument == STDIN or not path.is_dir():
        return [argument]
    return sorted(str(each) for each in path.iterdir() if is_manifest(each))


def is_manifest(path: Path) -> bool:
    """Whether a folder's entry is taken for a manifest."""
    return path.suffix in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _read(file: str) -> str:
    raw = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # what a redirection in PowerShell writes
    return raw.decode("utf-16" if wide else "utf-8-sig")


def _why(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"is not {error.encoding.upper()} text (byte {error.start})"
    return (error.strerror or str(error)).lower()


def load_text(file: str, text: str) -> Iterator[Found]:
    """Decode every document of one file's text."""
    for read in read_documents(file, text):
        if isinstance(read, Unparsable):
            yield Fault(file, read.number, read.line, "", Problem("", None, read.reason))
        else:
            for document in _objects(read):
                yield from _decode(document)


def _objects(document: Document) -> Iterator[Document]:
    """A List's items, each as a document of its own; any other object as it is."""
    value = document.value
    if not isinstance(value, Mapping) or not str(value.get("kind", "")).endswith("List") or "items" not in value:
        yield document
        return
    items = value["items"]
    if not isinstance(items, list):
        problem = Problem("items", items, f'must be of type array: "{type_name(items)}"')
        yield replace(document, value=None, problems=(*document.problems, problem))
        return
    for index, item in enumerate(items):
        prefix = f"items[{index}]"
        mine = tuple(each for each in document.problems if each.path.startswith(f"{prefix}."))
        yield replace(document, value=item, prefix=prefix, problems=tuple(_below(prefix, each) for each in mine))


def _below(prefix: str, problem: Problem) -> Problem:
    return replace(problem, path=problem.path.removeprefix(f"{prefix}."))


def _decode(document: Document) -> Iterator[Found]:
    raw = document.value
    if raw is None and document.problems:
        yield from (_fault(document, problem) for problem in document.problems)
    elif not isinstance(raw, Mapping):
        yield _fault(document, Problem("", None, "is no object: a manifest has apiVersion, kind, metadata and spec"))
    elif asks_for_queues(raw):
        yield from _decode_claim(document, raw)
    elif not _is_ours(raw):
        line = document.line_of("kind")
        yield Ignored(document.file, document.number, line, str(raw.get("kind", "without a kind")), _name(raw))
    elif not _kind_meant(raw):
        yield _fault(
            document, Problem("kind", raw.get("kind"), f"supported values: {', '.join(map(json.dumps, KINDS.values()))}")
        )
    else:
        yield from _decode_ours(document, raw)


def _is_ours(raw: Mapping[str, object]) -> bool:
    """A kind of ours, of whatever version: a wrong version of ours is a fault, not somebody else's object."""
    by_group = str(raw.get("apiVersion", "")).startswith(f"{names.GROUP}/")
    return by_group or raw.get("kind") in (decode.KIND, STREAM_KIND, None)


def _kind_meant(raw: Mapping[str, object]) -> str:
    """The kind whose laws a manifest is held against: nearly written right, or a FloodFilter that does not say it; else none."""
    return decode.KIND if raw.get("kind") is None else KINDS.get(str(raw["kind"]).casefold(), "")


def _decode_ours(document: Document, raw: Mapping[str, object]) -> Iterator[Manifest | StreamManifest | Fault]:
    problems = document.problems
    made: Manifest | StreamManifest | None = None
    try:
        if _kind_meant(raw) == STREAM_KIND:
            made = StreamManifest(document, decode_stream(raw))
        else:
            made = Manifest(document, decode.decode_filter(raw))
    except InvalidIntent as error:
        problems += error.problems
    for problem in problems:
        yield _fault(document, problem)
    if made is not None and not problems:
        yield made


def _decode_claim(document: Document, raw: Mapping[str, object]) -> Iterator[ClaimManifest | Fault]:
    problems = document.problems
    try:
        made = ClaimManifest(document, read_written_claim(raw))
    except InvalidIntent as error:
        problems += error.problems
    for problem in problems:
        yield _fault(document, problem)
    if not problems:
        yield made


def _fault(document: Document, problem: Problem) -> Fault:
    shown = replace(problem, path=join(document.prefix, problem.path)) if document.prefix else problem
    said = document.value.get("kind") if isinstance(document.value, Mapping) else None
    meant = _kind_meant(document.value) if isinstance(document.value, Mapping) else ""
    kind = str(said) if said in (CLAIM_KIND, TEMPLATE_KIND) else meant
    return Fault(document.file, document.number, document.line_of(problem.path), _name(document.value), shown, kind)


def _name(raw: object) -> str:
    metadata = raw.get("metadata") if isinstance(raw, Mapping) else None
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return name if isinstance(name, str) else ""


def _twice(manifests: list[Manifest | StreamManifest]) -> Iterator[Fault]:
    """A second object of the same kind and name would silently take the first one's place."""
    first: dict[tuple[str, str], Document] = {}
    for manifest in manifests:
        name = _name(manifest.document.value)
        place = manifest.stream.namespace if isinstance(manifest, StreamManifest) else ""
        earlier = first.setdefault((place, name), manifest.document)
        if earlier is not manifest.document:
            where = f"{earlier.file}:{earlier.line_of('metadata.name')}"
            yield _fault(manifest.document, Problem("metadata.name", name, f"is also the name of {where}"))
