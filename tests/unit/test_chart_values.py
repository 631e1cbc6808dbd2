"""The chart's own files hold together, and with the packages: no Helm and no cluster needed."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.chart_values import CHART, Value, defaults, documented, table

from spillway_crds import failsafe, names
from spillway_operator.streams import source_pod

REPOSITORY = CHART.parents[1]
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())


def objects(schema: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every subschema that describes an object. What if, then and else say is of an object that stands around them."""
    if isinstance(schema, dict):
        if schema.get("type") == "object" or "properties" in schema:
            yield place, schema
        for key in schema.keys() - {"if", "then", "else"}:
            yield from objects(schema[key], f"{place}/{key}")
    elif isinstance(schema, list):
        for index, inner in enumerate(schema):
            yield from objects(inner, f"{place}/{index}")


def known(schema: dict[str, Any], path: list[str]) -> bool:
    for key in path:
        schema = resolve(schema).get("properties", {}).get(key)
        if schema is None:
            return False
    return True


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref", "")
    return SCHEMA["$defs"][reference.rpartition("/")[2]] if reference else schema


def leaves(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Paths of what the schema lets a user set, as far as the chart itself names the keys."""
    inner = resolve(schema).get("properties")
    if not inner or (path and path[-1] in {"resources", "affinity", "nodeSelector", "seccompProfile", "appArmorProfile"}):
        yield ".".join(path)
        return
    for key, value in inner.items():
        yield from leaves(value, (*path, key))


@pytest.mark.parametrize("value", list(documented()), ids=lambda value: value.path)
def test_every_documented_value_is_in_the_schema(value: Value) -> None:
    assert known(SCHEMA, value.path.split("."))


def test_every_value_of_the_schema_has_a_default_and_a_comment() -> None:
    assert {value.path for value in documented()} == set(leaves(SCHEMA)) - {"global"}


def test_the_schema_is_strict() -> None:
    """An unknown key is refused, but where the keys are Kubernetes' own or the user's."""
    lax = {place for place, schema in objects(SCHEMA) if schema.get("additionalProperties", True) is True}
    affinities = {f"/$defs/affinity/properties/{kind}" for kind in ("nodeAffinity", "podAffinity", "podAntiAffinity")}
    assert lax == {"/properties/global", "/properties/dataplane/properties/appArmorProfile/anyOf/0", *affinities}


def test_install_page_holds_the_table_of_values() -> None:
    """Regenerate with `python -m tests.chart_values`."""
    assert table() in (REPOSITORY / "docs" / "install.md").read_text()


def test_the_table_has_every_line_of_a_comment() -> None:
    lines = (CHART / "values.yaml").read_text().partition("\n\n")[2].splitlines()
    said = [line.strip(" #").removeprefix("-- ") for line in lines if line.lstrip().startswith("#")]
    assert [each for each in said if each not in table()] == []


def test_failsafe_flows_are_the_kernels() -> None:
    """Neighbour discovery is always in force and no value; all others are the default, and what the schema allows."""
    flows = [flow.name for flow in failsafe.flows() if flow is not failsafe.NEIGHBOUR_DISCOVERY]
    assert defaults()["failsafe"]["flows"] == flows
    assert SCHEMA["properties"]["failsafe"]["properties"]["flows"]["items"]["enum"] == flows


def test_failsafe_ceiling_is_the_packages() -> None:
    assert defaults()["failsafe"]["ceilingPacketsPerSecond"] == failsafe.DEFAULT_CEILING_PPS


def test_node_label_is_the_packages() -> None:
    helpers = (CHART / "templates" / "_helpers.tpl").read_text()
    assert names.NODE_LABEL in helpers
    assert not [file for file in (CHART / "templates").rglob("*.yaml") if names.NODE_LABEL in file.read_text()]


def test_the_policy_on_source_pods_lets_the_operators_own_in() -> None:
    policy = (CHART / "templates" / "operator" / "policy.yaml").read_text()
    for given in (f"== {list(source_pod.COMMAND)}", "e.name == 'SPILLWAY_SOURCE'", f"m.mountPath == '/{source_pod.MEDIA}'"):
        assert given in policy


@pytest.mark.parametrize("page", ["purge.yaml", "install.md"])
def test_node_label_in_the_pages(page: str) -> None:
    assert names.NODE_LABEL in (REPOSITORY / "docs" / page).read_text()


def test_versions_are_the_projects() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == project["version"]
    assert chart["kubeVersion"] == ">=1.31.0-0"


def test_templates_name_no_object_twice() -> None:
    """Fixed names, so that a second release collides: none of the templates' names is the release's."""
    for file in (CHART / "templates").rglob("*.yaml"):
        assert not re.search(r"name: .*\.Release\.Name\b(?!space)", file.read_text()), file
