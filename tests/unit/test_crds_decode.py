"""The decoder holds every constraint of the CRDs, with the API server's words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import crd_cases as cases
from tests import stream_cases

from spillway_crds.decode import decode_filter
from spillway_crds.errors import InvalidIntent, Problem
from spillway_crds.filters import LengthRange, Mode, PortRange, TcpFlag, XdpMode
from spillway_crds.orders_wire import decode_order
from spillway_crds.schema import bypassstream
from spillway_crds.schema.fields import Dictionary, Field, Many, Record, Text, Whole, WholeOr
from spillway_crds.schema.floodfilter import SPEC
from spillway_crds.schema.nodedataplane import ORDER
from spillway_crds.streams_wire import decode_stream

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CONSTRAINTS = (*cases.CONSTRAINTS, *stream_cases.CONSTRAINTS)
KINDS = {
    "FloodFilter": decode_filter,
    "BypassStream": decode_stream,
    "NodeDataplane": lambda manifest: decode_order(manifest["spec"]),
}


def problems_of(manifest: cases.Manifest) -> tuple[Problem, ...]:
    try:
        KINDS[manifest["kind"]](manifest)
    except InvalidIntent as error:
        return error.problems
    return ()


@pytest.mark.parametrize("constraint", [pytest.param(each, id=each.id) for each in CONSTRAINTS])
def test_constraint(constraint: cases.Constraint) -> None:
    """What is just within is let in; what is just beyond is refused at its field, for its reason."""
    assert problems_of(constraint.accepted) == ()
    found = problems_of(constraint.rejected)
    assert any(each.path == constraint.path and constraint.reason in each.reason for each in found), found


def test_ids_differ() -> None:
    """Each constraint can be run by its name."""
    ids = [each.id for each in CONSTRAINTS]
    assert len(ids) == len(set(ids)) >= 40


# What a schema's constraint is called here, and the words it refuses with.
REASONS = {
    "required": r"Required value",
    "choices": r"supported values: ",
    "minimum": r"should be greater than or equal to",
    "maximum": r"should be less than or equal to",
    "longest": r"Too long",
    "pattern": r"should match '",
    "least": r"should have at least",
    "most": r"must have at most",
    "unique": r"Duplicate value",
}


def constraints_of(field: Field, path: str) -> Iterator[tuple[str, str]]:
    """Every constraint at and below a field, as (path, name); laws by their first words."""
    for law in field.laws:
        yield path + law.field_path, law.message
    match field:
        case Text():
            yield from ((path, name) for name, said in _text_constraints(field) if said)
        case Whole():
            yield from ((path, name) for name, said in (("minimum", True), ("maximum", field.maximum is not None)) if said)
        case WholeOr():
            yield from ((path, name) for name in ("minimum", "maximum", "longest"))
        case Many():
            yield from ((path, name) for name, said in (("least", field.least), ("most", field.most < 4096)) if said)
            yield from [(f"{path}[]", "unique")] if field.unique else []
            yield from constraints_of(field.item, f"{path}[]")
        case Dictionary():
            yield from ((path, name) for name, said in (("least", field.least), ("most", True)) if said)
            yield from constraints_of(field.value, f"{path}.*")
        case Record():
            yield from ((f"{path}.{name}", "required") for name in field.required)
            for name, below in field.fields.items():
                yield from constraints_of(below, f"{path}.{name}")


def _text_constraints(field: Text) -> tuple[tuple[str, object], ...]:
    return ("choices", field.choices), ("longest", field.max_length), ("pattern", field.pattern)


def covered() -> set[tuple[str, str]]:
    """(path, reason) of everything that the table's rejected manifests are refused for."""
    found = {(each.path, each.reason) for case in CONSTRAINTS for each in problems_of(case.rejected)}
    return {(re.sub(r"\[\d+\]", "[]", path), reason) for path, reason in found}


def is_refused(path: str, name: str, refused: set[tuple[str, str]]) -> bool:
    labels = re.sub(r"matchLabels\.\*", "matchLabels.edge", path)
    pattern = REASONS.get(name)
    said = (reason for where, reason in refused if where == labels)
    return any(re.search(pattern, each) if pattern else _same_law(name, each) for each in said)


def _same_law(message: str, reason: str) -> bool:
    """A law's general message and the reason that it gives for one value begin alike."""
    return LAW_WORDS.get(message, message.partition(",")[0]) in reason


LAW_WORDS = {
    "two rules have the same name": "two rules are named",
    "a flag cannot be both set and unset": "cannot be both set and unset",
}
# Lists of one kind share their items' laws and limits: one of them stands for all.
SAME_ITEMS = {"destinations[]": "sources[]", "exempt[]": "rules[].match.sources[]", "destinationPorts[]": "sourcePorts[]"}
# Texts that only the operator writes, all bounded the same way as `name`.
MACHINE_TEXTS = {("spec.filters[].uid", "longest"), ("spec.filters[].revision", "longest"), ("spec.filters[].created", "longest")}
# A list of the eight flags without duplicates cannot be longer than eight: the two limits are one.
IMPLIED = {("spec.rules[].match.tcpFlags.set", "most"), ("spec.rules[].match.tcpFlags.unset", "most")}


LEGS = "spec.source.video.legs[]."  # a leg's fields are the stream's own


def stand_in(path: str) -> str:
    if path.startswith(LEGS):
        return f"spec.{path.removeprefix(LEGS)}"
    alike = (path.removesuffix(items) + other for items, other in SAME_ITEMS.items() if path.endswith(items))
    return next(alike, path)


SCHEMAS = {"FloodFilter": SPEC, "BypassStream": bypassstream.SPEC, "NodeDataplane": ORDER}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
def test_every_constraint_has_a_case(schema: Record) -> None:
    """No constraint enters a schema without a manifest that it refuses."""
    refused = covered()
    wanted = set(constraints_of(schema, "spec")) - MACHINE_TEXTS - IMPLIED
    assert {(path, name) for path, name in wanted if not is_refused(stand_in(path), name, refused)} == set()


def test_all_problems_are_reported_at_once() -> None:
    """Who corrects a manifest sees everything that is wrong with it the first time."""
    broken = cases.spec(
        "nodeSelector",
        mode="Off",
        priority=0,
        prio=1,
        rules=[cases.rule(name="A", match={"sources": ["10.0.0.1/8", "x"], "ports": []}), cases.rule(action="No")],
    )
    assert [each.path for each in problems_of(broken)] == [
        "spec.nodeSelector",
        "spec.mode",
        "spec.priority",
        "spec.rules[0].name",
        "spec.rules[0].match.sources[0]",
        "spec.rules[0].match.sources[1]",
        "spec.rules[0].match.ports",
        "spec.rules[1].action",
        "spec.prio",
    ]


@pytest.mark.parametrize(
    ("manifest", "path", "reason"),
    [
        pytest.param([], "", 'must be of type object: "array"', id="a list"),
        pytest.param({}, "apiVersion", "Required value", id="nothing"),
        pytest.param(
            cases.spec() | {"apiVersion": "v1"}, "apiVersion", 'supported values: "spillway.dev/v1alpha1"', id="version"
        ),
        pytest.param(cases.spec() | {"kind": "Pod"}, "kind", 'supported values: "FloodFilter"', id="kind"),
        pytest.param(cases.spec() | {"metadata": None}, "metadata.name", "Required value", id="no metadata"),
        pytest.param(cases.spec() | {"metadata": {}}, "metadata.name", "Required value", id="no name"),
        pytest.param(cases.named("-a"), "metadata.name", "a lowercase RFC 1123 subdomain", id="name"),
        pytest.param(cases.spec() | {"spec": None}, "spec", "Required value", id="no spec"),
        pytest.param(cases.spec(nodeSelector=None), "spec.nodeSelector", "Required value", id="no selector"),
        pytest.param(cases.spec(rules=[None]), "spec.rules[0]", 'must be of type object: "null"', id="no rule"),
        pytest.param(cases.spec(priority=True), "spec.priority", 'must be of type integer: "boolean"', id="true is no number"),
        pytest.param(cases.spec(priority=1.5), "spec.priority", 'must be of type integer: "number"', id="half a number"),
        pytest.param(cases.spec(**{"7": 7}), "spec.7", "unknown field", id="a number for a field"),
        pytest.param(
            cases.selector(matchLabels={7: "a"}),
            "spec.nodeSelector.matchLabels.7",
            'must be of type string: "integer"',
            id="label",
        ),
    ],
)
def test_odd_manifests(manifest: object, path: str, reason: str) -> None:
    """What YAML can say and nobody should: refused like the rest, never a crash."""
    with pytest.raises(InvalidIntent) as caught:
        decode_filter(manifest)  # type: ignore[arg-type]
    assert any(each.path == path and reason in each.reason for each in caught.value.problems), caught.value


@pytest.mark.parametrize(
    ("metadata", "path", "reason"),
    [
        pytest.param("a", "metadata", 'must be of type object: "string"', id="text"),
        pytest.param(None, "metadata.name", "Required value", id="null"),
        pytest.param({"name": 5}, "metadata.name", 'must be of type string: "integer"', id="name"),
        pytest.param({"uid": 5}, "metadata.uid", 'must be of type string: "integer"', id="uid"),
        pytest.param({"generation": "5"}, "metadata.generation", 'must be of type integer: "string"', id="generation"),
        pytest.param({"namespace": []}, "metadata.namespace", 'must be of type string: "array"', id="namespace"),
        pytest.param({"creationTimestamp": "today"}, "metadata.creationTimestamp", "not a time", id="time"),
        pytest.param({"labels": ["x"]}, "metadata.labels", 'must be of type object: "array"', id="labels"),
        pytest.param({"labels": {"x": 1}}, "metadata.labels.x", 'must be of type string: "integer"', id="label"),
        pytest.param({"labels": {"x": "a b"}}, "metadata.labels.x", "should match", id="label's shape"),
        pytest.param({"labels": {"a b": "x"}}, "metadata.labels", "'a b' is not a label key", id="label's key"),
        pytest.param(
            {"annotations": {"x": True}}, "metadata.annotations.x", 'must be of type string: "boolean"', id="annotation"
        ),
        pytest.param({"annotations": {"a b": "x"}}, "metadata.annotations", "not a label key", id="annotation's key"),
        pytest.param({"finalizers": "x"}, "metadata.finalizers", 'must be of type array: "string"', id="finalizers"),
        pytest.param({"ownerReferences": {}}, "metadata.ownerReferences", 'must be of type array: "object"', id="owners"),
        pytest.param(
            {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n"}]},
            "metadata.ownerReferences[0].uid",
            "Required value",
            id="owner",
        ),
        pytest.param({"managedFields": 5}, "metadata.managedFields", 'must be of type array: "integer"', id="managers"),
        pytest.param({"annotations": {"x": "y" * 262144}}, "metadata.annotations", "Too long", id="annotations' size"),
    ],
)
def test_metadata_is_held_like_the_spec(metadata: object, path: str, reason: str) -> None:
    """What the API server refuses there is refused before, and never met where it is used."""
    given = {"name": "a", **metadata} if isinstance(metadata, dict) else metadata
    found = problems_of(cases.spec() | {"metadata": given})
    assert [(each.path, reason in each.reason) for each in found] == [(path, True)], found


def test_metadata_as_people_and_machines_write_it() -> None:
    """Null is not given. Annotations hold any text."""
    given: dict[str, Any] = {"name": "a", "labels": {"example.com/Team": "noc"}, "creationTimestamp": None}
    given["annotations"] = {"Why": "a b\n"}
    given["annotations"]["empty"] = None
    found = decode_filter(cases.spec() | {"metadata": given | {"uid": None, "generation": None, "finalizers": []}})
    assert (found.uid, found.generation, found.created) == ("", 0, "")


def test_every_rule_name_that_stands_twice_is_named() -> None:
    """The reason says which; the rules themselves, which may be long, are not repeated."""
    (problem,) = problems_of(cases.rules(*(cases.rule(name=name) for name in "abcabd")))
    assert str(problem) == "spec.rules: two rules are named a; two rules are named b"


def test_a_long_value_is_cut_short() -> None:
    """One fault stays one line that can be read."""
    (problem,) = problems_of(cases.spec(mode="x" * 5000))
    assert len(str(problem)) < 250 and str(problem).endswith('... supported values: "Monitor", "Enforce"')


def test_ports_without_a_protocol_are_one_fault() -> None:
    """A match that names ports is not empty: only what is missing is said."""
    assert [each.path for each in problems_of(cases.match(sourcePorts=["53"]))] == ["spec.rules[0].match.sourcePorts"]


def test_a_filter_that_holds_itself_is_refused() -> None:
    """A YAML alias inside its own anchor makes a value without an end."""
    rules: list[object] = []
    rules.append(rules)
    assert problems_of(cases.spec(rules=rules)) == (Problem("spec", None, "holds itself"),)


def test_a_filter_that_is_too_large_is_refused_with_its_size() -> None:
    """Its problems are not listed: that list could be as long as the filter."""
    (problem,) = problems_of(cases.match(sources=["x" * 600_000]))
    assert problem.path == "spec"
    assert re.fullmatch(r"600\d\d\d bytes of JSON, at most 524288", problem.reason)


def test_a_problem_names_field_value_and_reason() -> None:
    """One line says all that is needed to correct it."""
    (problem,) = problems_of(cases.refused_prefix("10.0.0.1/24"))
    assert str(problem) == "spec.rules[0].match.sources[0]: '10.0.0.1/24' host bits set: use 10.0.0.0/24"


def test_defaults() -> None:
    """What is not said is Monitor, priority 100, Native, not suspended, every interface and queue, any fragment."""
    spec = decode_filter(cases.spec()).spec
    assert (spec.mode, spec.suspend, spec.content.priority) == (Mode.MONITOR, False, 100)
    assert (spec.content.xdp_mode, spec.content.interfaces, spec.content.rx_queue_ids) == (XdpMode.NATIVE, (), ())
    assert spec.content.rules[0].match.fragments == "Any"


def test_null_where_a_default_is_means_not_given() -> None:
    """The API server drops such a null before it fills in defaults."""
    assert decode_filter(cases.spec(mode=None, priority=None)) == decode_filter(cases.spec())


def test_what_the_api_server_adds_is_read() -> None:
    """uid, generation and creation time come along; status and other metadata are nobody's business here."""
    read = cases.spec() | {"status": {"revision": "x"}}
    read["metadata"] = {
        "name": "a",
        "uid": "u",
        "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [],
    }
    found = decode_filter(read)
    assert (found.name, found.uid, found.generation, found.created) == ("a", "u", 3, "2026-01-01T00:00:00Z")


def test_a_match_becomes_values() -> None:
    """Names become numbers, texts become ranges."""
    match = decode_filter(
        cases.match(
            protocol="TCP",
            destinationPorts=["80", "1900-1910"],
            ipLengthBytes={"max": 60},
            tcpFlags={"set": ["SYN"], "unset": ["ACK", "RST"]},
        )
    ).spec.content.rules[0].match  # fmt: skip
    assert match.protocol == 6
    assert match.destination_ports == (PortRange(80, 80), PortRange(1900, 1910))
    assert match.ip_length_bytes == LengthRange(None, 60)
    assert match.tcp_flags is not None
    assert (match.tcp_flags.set, match.tcp_flags.unset) == (TcpFlag.SYN, TcpFlag.ACK | TcpFlag.RST)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_examples_are_valid(path: Path) -> None:
    """What people copy is let in, and drops nothing until they say so."""
    for manifest in yaml.safe_load_all(path.read_text()):
        assert decode_filter(manifest).spec.mode is Mode.MONITOR


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("streams/*.yaml")), ids=lambda path: path.stem)
def test_examples_of_streams_are_valid(path: Path) -> None:
    """What people copy is let in."""
    manifests = [each for each in yaml.safe_load_all(path.read_text()) if each["kind"] == "BypassStream"]
    assert [problems_of(each) for each in manifests] == [()] * len(manifests)
    assert manifests


def test_the_largest_filter_is_let_in() -> None:
    """Every list at its limit at once."""
    assert len(decode_filter(cases.largest()).spec.content.rules) == 64
