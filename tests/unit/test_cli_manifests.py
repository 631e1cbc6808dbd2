"""Every fault of every file comes out, with file, document, line, field, value and reason; nothing valid is lost."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path

import pytest

from spillway_dataplane.cli.manifests import Loaded, load

HEAD = "apiVersion: spillway.dev/v1alpha1\nkind: FloodFilter\nmetadata: {name: NAME}\n"
BODY = "spec:\n  nodeSelector: {}\n  rules:\n  - {name: r, match: {protocol: UDP}, action: Drop}\n"
EXAMPLES = Path(__file__).parents[2] / "examples"


def manifest(name: str = "a", body: str = BODY) -> str:
    return HEAD.replace("NAME", name) + body


@pytest.fixture
def loading(tmp_path):
    def write_and_load(**files: str) -> Loaded:
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        return load([str(tmp_path)])

    return write_and_load


def test_all_faults_of_all_files_at_once(loading):
    wrong = BODY.replace("UDP", "UPD").replace("nodeSelector: {}", "nodeSelector: {}\n  colour: red")
    found = loading(one=manifest("a", wrong), two=manifest("b") + "---\n" + manifest("c", BODY.replace("Drop", "Destroy")))
    assert [each.name for each in found.filters] == ["b"]
    assert [(each.number, each.line, each.name, each.problem.path) for each in found.faults] == [
        (1, 6, "a", "spec.colour"),
        (1, 8, "a", "spec.rules[0].match.protocol"),
        (2, 15, "c", "spec.rules[0].action"),
    ]
    assert [each.problem.value for each in found.faults] == ["red", "UPD", "Destroy"]


def test_a_fault_is_one_line_with_file_line_field_value_and_reason(loading):
    (fault,) = loading(one=manifest("a", BODY.replace("UDP", "UPD"))).faults
    assert str(fault).startswith(f"{fault.file}:7: document 1: FloodFilter a: spec.rules[0].match.protocol: 'UPD' ")
    assert "\n" not in str(fault)


def test_a_fault_is_one_line_whatever_a_name_holds(loading):
    """Neither a line break nor a terminal's control sequence of a file reaches the screen."""
    (fault,) = loading(one=manifest('"a\\n\\e[2J"')).faults
    assert "FloodFilter a\\n\\x1b[2J: metadata.name" in str(fault) and str(fault).isprintable()


STREAM = """\
apiVersion: spillway.dev/v1alpha1
kind: BypassStream
metadata: {name: cam, namespace: place}
spec:
  interface: eth1
  source: {application: {}}
  flow: {destinationAddress: 10.0.0.9, destinationPort: 5004}
"""


def test_streams_stand_beside_filters(loading):
    """Each by its own law, under its own name; the same name in two namespaces is two streams."""
    found = loading(one=manifest("cam"), two=STREAM.replace("place", "a"), three=STREAM.replace("place", "b"))
    assert found.faults == ()
    assert [each.name for each in found.filters] == ["cam"]
    assert {each.stream.namespace for each in found.streams} == {"a", "b"}


def test_a_fault_of_a_stream_names_the_stream(loading):
    (fault,) = loading(one=STREAM.replace("eth1", "lo")).faults
    assert str(fault).endswith("BypassStream cam: spec.interface: 'lo' lo has no card")
    (twice,) = loading(one=STREAM + "---\n" + STREAM).faults
    assert "is also the name of" in str(twice)


def test_lists_are_opened_and_faults_say_which_item(loading):
    items = [
        json.loads(json.dumps({"apiVersion": "spillway.dev/v1alpha1", "kind": "FloodFilter", "metadata": {"name": n}}))
        for n in "ab"
    ]
    items[0]["spec"] = {"nodeSelector": {}, "rules": [{"name": "r", "match": {"protocol": "UDP"}, "action": "Drop"}]}
    found = loading(one=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1))
    assert [each.name for each in found.filters] == ["a"]
    (fault,) = found.faults
    assert (fault.name, fault.problem.path) == ("b", "items[1].spec")


def test_a_duplicate_key_is_a_fault_although_the_rest_is_valid(loading):
    found = loading(one=manifest("a", BODY.replace("  rules:", "  mode: Monitor\n  mode: Enforce\n  rules:")))
    assert found.filters == ()
    assert [each.problem.path for each in found.faults] == ["spec.mode"]


def test_a_duplicate_key_in_a_list_s_item_belongs_to_that_item(loading):
    item = '{"apiVersion": "spillway.dev/v1alpha1", "kind": "FloodFilter", "kind": "FloodFilter", "metadata": {"name": "a"}}'
    found = loading(one=f'{{"apiVersion": "v1", "kind": "List", "items": [{item}]}}')
    assert "items[0].kind" in [each.problem.path for each in found.faults]


def test_the_second_filter_of_a_name_is_a_fault_that_names_the_first(loading):
    found = loading(one=manifest("same"), two=manifest("same"))
    (fault,) = found.faults
    assert fault.file.endswith("two.yaml")
    assert "one.yaml:3" in fault.problem.reason


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        pytest.param("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n", "ConfigMap", id="other kind"),
        pytest.param("apiVersion: apps/v1\nkind: Deployment\n", "Deployment", id="without a name"),
    ],
)
def test_other_kinds_are_ignored_with_a_note(loading, text, kind):
    found = loading(one=text + "---\n" + manifest())
    assert [each.kind for each in found.ignored] == [kind]
    assert len(found.filters) == 1 and not found.faults


@pytest.mark.parametrize(
    ("text", "path"),
    [
        pytest.param(manifest().replace("v1alpha1", "v9"), "apiVersion", id="a version we do not know"),
        pytest.param(manifest().replace("FloodFilter", "FloodFiltre"), "kind", id="a kind that our group does not have"),
        pytest.param(manifest().replace("kind: FloodFilter\n", ""), "kind", id="no kind"),
        pytest.param("- a\n- b\n", "", id="a list is no object"),
        pytest.param("just text\n", "", id="text is no object"),
    ],
)
def test_what_is_nearly_ours_is_a_fault_and_never_silently_ignored(loading, text, path):
    assert path in [each.problem.path for each in loading(one=text).faults]


def test_a_file_that_powershell_wrote_is_read(tmp_path):
    (tmp_path / "a.yaml").write_bytes(manifest().encode("utf-16"))
    assert [each.name for each in load([str(tmp_path)]).filters] == ["a"]


@pytest.mark.parametrize("items", ["null", "{}"])
def test_a_list_without_items_is_a_fault(loading, items):
    (fault,) = loading(one=f"apiVersion: v1\nkind: List\nitems: {items}\n").faults
    assert (fault.line, fault.problem.path) == (3, "items")


def test_a_kind_of_our_group_that_nobody_writes_is_one_fault(loading):
    (fault,) = loading(one=manifest().replace("FloodFilter", "NodeDataplane")).faults
    assert (fault.problem.path, fault.problem.reason) == ("kind", 'supported values: "FloodFilter", "BypassStream"')


def test_a_kind_written_nearly_right_is_held_against_its_own_laws(loading):
    (fault,) = loading(one=STREAM.replace("BypassStream", "bypassStream")).faults
    assert fault.problem.path == "kind"


def test_unreadable_files_are_said_and_the_rest_is_read(tmp_path):
    (tmp_path / "good.yaml").write_text(manifest())
    (tmp_path / "bytes.yaml").write_bytes(b"\xfa\xfe")
    found = load([str(tmp_path / "missing.yaml"), str(tmp_path / "bytes.yaml"), str(tmp_path / "good.yaml")])
    assert [each.reason for each in found.unreadable] == ["no such file or directory", "is not UTF-8 text (byte 0)"]
    assert len(found.filters) == 1


def test_an_unreadable_file_of_a_folder_is_named_and_the_rest_of_the_folder_is_read(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xfa\xfe")
    (tmp_path / "b.yaml").write_text(manifest())
    found = load([str(tmp_path)])
    assert [each.file for each in found.unreadable] == [str(tmp_path / "a.yaml")]
    assert len(found.filters) == 1


def test_a_folder_s_manifests_come_in_name_order_without_hidden_and_other_files(tmp_path):
    for name in ("b.yml", "a.yaml", ".c.yaml", "d.txt"):
        (tmp_path / name).write_text(manifest(name[0] if name[0] != "." else "hidden"))
    (tmp_path / "e.json").write_text(json.dumps({"kind": "Secret", "apiVersion": "v1"}))
    found = load([str(tmp_path)])
    assert [each.name for each in found.filters] == ["a", "b"]
    assert [each.kind for each in found.ignored] == ["Secret"]


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_is_valid_and_uses_documentation_addresses(example):
    """RFC 5737 and RFC 3849: an example that somebody applies unchanged touches nobody's real traffic."""
    documentation = [ip_network(p) for p in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")]
    found = load([str(example)])
    assert not found.faults and not found.unreadable
    for each in found.filters:
        for prefix in (p for rule in each.spec.content.rules for p in rule.match.destinations):
            assert any(prefix.version == known.version and prefix.subnet_of(known) for known in documentation)
