"""A real API server holds the table of constraints that the decoder holds, and says what is wrong where."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from spillway_crds import names
from spillway_crds.schema.crds import KINDS, crd
from tests import crd_cases as cases
from tests import stream_cases
from tests.cluster.errors import CommandFailed
from tests.pages import REPOSITORY, fences, pages

CONSTRAINTS = (*cases.CONSTRAINTS, *stream_cases.CONSTRAINTS)
INVALID = re.compile(r'"(case-\d+)" is invalid: (.*)')
EXAMPLES = sorted((REPOSITORY / "examples").rglob("*.yaml"))
DRY_RUN = ("apply", "--dry-run=server", "-f", "-")


def refusal(installed: Any, manifest: cases.Manifest) -> str:
    """What the API server says against a manifest."""
    with pytest.raises(CommandFailed) as caught:
        installed.kubectl(*DRY_RUN, stdin=json.dumps(manifest))
    return caught.value.output


def listed(manifests: list[cases.Manifest]) -> str:
    """Manifests under names of their own, as one List."""
    items = [each | {"metadata": {"name": f"case-{index}", **_own_name(each)}} for index, each in enumerate(manifests)]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _own_name(manifest: cases.Manifest) -> dict[str, Any]:
    return {} if manifest["metadata"] == {"name": "case"} else manifest["metadata"]


def test_every_accepted_manifest_is_let_in(installed: Any) -> None:
    """All that is just within the constraints; kubectl names the ones that are not."""
    manifests = [each.accepted for each in CONSTRAINTS]
    said = installed.kubectl(*DRY_RUN, stdin=listed(manifests))
    assert said.count("(server dry run)") == len(manifests)


# kubectl itself says what is unknown, and a name decides whose refusal it is: these are asked one by one.
ALONE = [each for each in CONSTRAINTS if each.reason == cases.UNKNOWN or each.rejected["metadata"] != {"name": "case"}]
TOGETHER = [each for each in CONSTRAINTS if each not in ALONE]


@pytest.fixture(scope="module")
def refusals(installed: Any) -> dict[str, str]:
    """What the API server says against each manifest, by its name: one call for all takes a second, one for each a minute."""
    with pytest.raises(CommandFailed) as caught:
        installed.kubectl(*DRY_RUN, "--validate=false", stdin=listed([each.rejected for each in TOGETHER]))
    return dict(INVALID.findall(caught.value.output))


@pytest.mark.parametrize("number", [pytest.param(number, id=each.id) for number, each in enumerate(TOGETHER)])
def test_refused_with_field_and_reason(refusals: dict[str, str], number: int) -> None:
    """What is just beyond a constraint is refused at `kubectl apply`, with the decoder's words."""
    said = refusals[f"case-{number}"]
    assert TOGETHER[number].path in said, said
    assert TOGETHER[number].reason in said, said


@pytest.mark.parametrize("constraint", [pytest.param(each, id=each.id) for each in ALONE])
def test_refused_by_name(installed: Any, constraint: cases.Constraint) -> None:
    """The same for unknown fields and for names."""
    said = refusal(installed, constraint.rejected)
    assert constraint.path in said, said
    assert constraint.reason in said, said


def test_a_text_that_is_refused_stands_in_the_message(installed: Any) -> None:
    """Field, value and reason, as the decoder has them: of a rule's value the API server itself names only the type."""
    said = refusal(installed, stream_cases.flow(destinationAddress="239.10.0"))
    assert "spec.flow.destinationAddress" in said
    assert "'239.10.0' not an IPv4 or IPv6 address" in said


def test_the_largest_filter_is_let_in(installed: Any) -> None:
    """The CEL rules' cost holds with every list at its limit. Server-side: kubectl's own annotation would end at 256 KiB."""
    said = installed.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=json.dumps(cases.largest()))
    assert "serverside-applied" in said


def test_defaults_are_filled_in(installed: Any) -> None:
    """What is not said reads back as what it means."""
    found = json.loads(installed.kubectl(*DRY_RUN, "-o", "json", stdin=json.dumps(cases.spec(mode=None))))
    spec = found["spec"]
    assert {key: spec[key] for key in ("mode", "priority", "suspend", "xdpMode")} == {
        "mode": "Monitor",
        "priority": 100,
        "suspend": False,
        "xdpMode": "Native",
    }
    assert spec["rules"][0]["match"]["fragments"] == "Any"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_the_api_server_keeps_the_whole_crd(installed: Any, kind: Any) -> None:
    """Nothing of the schema was pruned or defaulted away, and the API server has no doubts about it."""
    found = yaml.safe_load(installed.kubectl("get", "crd", kind.name, "-o", "yaml"))
    wanted = crd(kind)["spec"]["versions"][0]
    assert found["spec"]["versions"][0]["schema"] == wanted["schema"]
    conditions = {each["type"]: each["status"] for each in found["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize(
    ("field", "words"),
    [
        pytest.param("ff.spec.rules.match.ipLengthBytes.min", "Shortest packet that matches, in bytes", id="ff"),
        pytest.param("bs.spec.flow.dscp", "expedited forwarding", id="bs"),
        pytest.param("nd.spec.state", "never expressed by absence", id="nd"),
    ],
)
def test_explain(installed: Any, field: str, words: str) -> None:
    """kubectl explain answers for a field, by the short name."""
    assert words in " ".join(installed.kubectl("explain", field).split())


def test_every_kind_is_in_the_category(installed: Any) -> None:
    """`kubectl get spillway` shows everything of the product."""
    listed_kinds = installed.kubectl("api-resources", "--categories=spillway", "-o", "name").split()
    assert sorted(listed_kinds) == sorted(kind.name for kind in KINDS)


def test_examples_and_manifests_in_pages_are_let_in(installed: Any) -> None:
    """What people copy. Each under a name of its own, in a namespace that is there."""
    texts = [*(each.read_text() for each in EXAMPLES), *(text for page in pages() for _, text in fences(page, "yaml"))]
    found = [each for text in texts for each in yaml.safe_load_all(text) if each and each.get("apiVersion") == names.API_VERSION]
    manifests = [each | {"metadata": {"name": f"copied-{number}"}} for number, each in enumerate(found)]
    said = installed.kubectl(*DRY_RUN, stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))
    assert said.count("(server dry run)") == len(manifests) > len(EXAMPLES)
