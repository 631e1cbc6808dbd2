"""The generated files are up to date, and the CRDs keep the house's rules for APIs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from spillway_crds.schema.__main__ import main
from spillway_crds.schema.crds import KINDS, crd
from spillway_crds.schema.files import files

ROOT = Path(__file__).resolve().parents[2]
CRDS = {kind.kind: crd(kind) for kind in KINDS}
CAMEL_CASE = re.compile(r"[A-Z][A-Za-z0-9]*")
SMPTE = re.compile(r"ST\d{3,4}-\d\d?(-[A-Z][A-Za-z]+)?|YCbCr-4:[24]:[24]")  # names that media people know
FLAGS = {"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"}


def below(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, each in schema.get("properties", {}).items():
        yield from below(each, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from below(schema[key], f"{path}[]")


def root(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = CRDS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


FIELDS = [
    pytest.param(schema, id=f"{kind}{path}")
    for kind in CRDS
    for part in ("spec", "status")
    for path, schema in below(root(kind)["properties"][part], f".{part}")
]


def test_generated_files_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """Manifests, chart and reference say what the schema says."""
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_the_generator_refuses_other_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt --check must not write."""
    assert main(["--chekc"]) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_the_manifest_is_the_crd(kind: Any) -> None:
    """The YAML reads back to the same object; the chart's copy is kept by uninstall and can be left out."""
    made = files()
    assert yaml.safe_load(made[f"crds/manifests/{kind.plural}.yaml"]) == crd(kind)
    template = made[f"charts/spillway/templates/crds/{kind.plural}.yaml"]
    body = yaml.safe_load("".join(line for line in template.splitlines(keepends=True) if not line.startswith("{{")))
    assert body["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert body == crd(kind)
    assert "{{- if .Values.crds.install }}" in template


@pytest.mark.parametrize("schema", FIELDS)
def test_every_field_is_explained(schema: dict[str, Any]) -> None:
    """`kubectl explain` has a sentence for each."""
    text = schema["description"]
    assert text[0].isupper() or text[0] in "{u" or text.startswith(("true", "uid")), text
    assert text.endswith((".", "]")), text
    assert "  " not in text


@pytest.mark.parametrize("schema", FIELDS)
def test_every_field_is_bounded(schema: dict[str, Any]) -> None:
    """No list, map or text without an end; numbers start somewhere; enums in CamelCase; patterns anchored."""
    bounds = {"array": "maxItems", "integer": "minimum", "number or word": "maximum"}
    kind = "number or word" if schema.get("x-kubernetes-int-or-string") else schema["type"]
    assert bounds.get(kind, "type") in schema
    if kind in ("string", "number or word"):
        assert {"maxLength", "enum", "format"} & schema.keys()
    if "additionalProperties" in schema:
        assert "maxProperties" in schema
    assert all(CAMEL_CASE.fullmatch(each) or SMPTE.fullmatch(each) or each in FLAGS for each in schema.get("enum", ()))
    assert re.fullmatch(r"\^.*\$", schema.get("pattern", "^$"))


@pytest.mark.parametrize("kind", CRDS)
def test_the_shape_of_a_crd(kind: str) -> None:
    """In the category, with a status subresource and columns of paths that exist; only streams are in namespaces."""
    body = CRDS[kind]["spec"]
    version = body["versions"][0]
    scope = "Namespaced" if kind == "BypassStream" else "Cluster"
    assert (body["scope"], body["names"]["categories"]) == (scope, ["spillway"])
    assert version["subresources"] == {"status": {}}
    paths = {path for path, _ in below(root(kind), "")}
    for column in version["additionalPrinterColumns"]:
        plain = re.sub(r"\[[^]]*\]", "[]", column["jsonPath"])
        assert plain.removesuffix("[]") in paths or plain == ".metadata.creationTimestamp", plain


@pytest.mark.parametrize("kind", CRDS)
def test_conditions_are_a_map_by_type(kind: str) -> None:
    """Two writers of conditions do not undo each other."""
    conditions = root(kind)["properties"]["status"]["properties"]["conditions"]
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])


@pytest.mark.parametrize("schema", FIELDS)
def test_a_rule_about_a_text_says_the_text(schema: dict[str, Any]) -> None:
    """The API server tells of it only that it is a string."""
    if schema.get("type") == "string":
        assert all(each.get("messageExpression") for each in schema.get("x-kubernetes-validations", []))


def test_an_order_is_atomic() -> None:
    """Server-side apply replaces it as a whole, with whatever somebody else inserted."""
    assert root("NodeDataplane")["properties"]["spec"]["x-kubernetes-map-type"] == "atomic"
