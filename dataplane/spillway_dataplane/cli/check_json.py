"""The answer of `spillway check` for a program. docs/cli.md has its fields. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from spillway_crds.encode import encode_content
from spillway_crds.filters import RuleAction
from spillway_crds.streams_wire import encode_ring_fields
from spillway_dataplane.cli.manifests import ClaimManifest, Fault, Loaded, Manifest, StreamManifest
from spillway_dataplane.cli.programs import ProgramPreview
from spillway_dataplane.cli.review import Remark, Review, touched_flows

Json = dict[str, Any]


def check_value(loaded: Loaded, seen: Review, programs: tuple[ProgramPreview, ...], *, valid: bool) -> Json:
    """Everything that the text says too."""
    return {
        "valid": valid,
        "unreadable": [asdict(each) for each in loaded.unreadable],
        "errors": [_fault(each) for each in loaded.faults],
        "contradictions": list(map(_remark, seen.contradictions)),
        "warnings": list(map(_remark, seen.warnings)),
        "disturbances": list(map(_remark, seen.disturbances)),
        "ignored": [
            {"file": each.file, "document": each.number, "line": each.line, "kind": each.kind, "name": each.name}
            for each in loaded.ignored
        ],
        "filters": list(map(_filter, loaded.manifests)),
        "streams": list(map(_stream, loaded.streams)),
        "claims": list(map(_claim, loaded.claims)),
        "programs": list(map(_program, programs)),
    }


def _fault(fault: Fault) -> Json:
    problem = fault.problem
    return {
        "file": fault.file,
        "document": fault.number,
        "line": fault.line,
        "kind": fault.kind,
        "filter": fault.name,
        "field": problem.path,
        "value": problem.value,
        "reason": problem.reason,
    }


def _remark(remark: Remark) -> Json:
    return {"filters": list(remark.filters), "message": remark.message}


def _filter(manifest: Manifest) -> Json:
    spec = manifest.filter.spec
    content = encode_content(spec.content)
    for encoded, rule in zip(content["rules"], spec.content.rules, strict=True):
        if rule.action is RuleAction.DROP:
            encoded["failsafeFlows"] = list(touched_flows(rule))
    return {
        "file": manifest.document.file,
        "document": manifest.document.number,
        "name": manifest.filter.name,
        "mode": spec.mode.value,
        "suspend": spec.suspend,
        **content,
    }


def _stream(manifest: StreamManifest) -> Json:
    stream = manifest.stream
    return {
        "file": manifest.document.file,
        "document": manifest.document.number,
        "namespace": stream.namespace,
        "name": stream.name,
        "interface": stream.spec.interface,
        "txQueue": "Any" if stream.spec.tx_queue is None else stream.spec.tx_queue,
        **encode_ring_fields(stream.spec.parameters),
    }


def _claim(manifest: ClaimManifest) -> Json:
    claim = manifest.claim
    return {
        "file": manifest.document.file,
        "document": manifest.document.number,
        "kind": claim.kind,
        "namespace": claim.namespace,
        "name": claim.name,
        "rings": [{"request": request, **encode_ring_fields(parameters)} for request, parameters in claim.rings],
    }


def _program(made: ProgramPreview) -> Json:
    found: Json = {
        "interface": made.interface,
        "filters": list(made.filters),
        "rules": made.rules,
        "rxQueueIds": list(made.queue_ids),
        "chainedPrograms": made.chained,
        "sourceLines": made.source_lines,
        "digest": made.digest,
    }
    if made.instructions:
        found["instructions"] = made.instructions
    if made.refusal:
        found["refusal"] = made.refusal
    return found
