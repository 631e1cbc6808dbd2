"""YAML and JSON text becomes values that know their lines; what plain loading would hide is a problem."""

from __future__ import annotations

import pytest

from spillway_dataplane.cli.documents import Document, Unparsable, parent, read_documents


def read(text: str) -> list[Document]:
    documents = read_documents("f.yaml", text)
    assert all(isinstance(each, Document) for each in documents), documents
    return [each for each in documents if isinstance(each, Document)]


def test_documents_keep_their_number_and_empty_ones_are_no_documents():
    found = read("---\n# nothing\n---\na: 1\n---\n---\nb: 2\n")
    assert [(each.number, each.value) for each in found] == [(2, {"a": 1}), (4, {"b": 2})]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        pytest.param("spec.rules[1].name", 5, id="a field"),
        pytest.param("spec.rules[1].match", 4, id="a missing field: the object that lacks it"),
        pytest.param("spec.labels.a.b/c", 6, id="a key with dots"),
        pytest.param("", 1, id="the document"),
        pytest.param("metadata.name", 1, id="nothing of it is there"),
    ],
)
def test_every_field_knows_its_line(path, line):
    (found,) = read("spec:\n  rules:\n  - name: a\n  - action: Drop\n    name: b\n  labels: {a.b/c: x}\n")
    assert found.line_of(path) == line


def test_a_key_that_stands_twice_is_a_problem_and_the_rest_is_read():
    (found,) = read("spec:\n  mode: Monitor\n  rules: []\n  mode: Enforce\n")
    assert [(each.path, each.reason) for each in found.problems] == [("spec.mode", "stands there twice")]
    assert found.value == {"spec": {"mode": "Enforce", "rules": []}}
    assert found.line_of("spec.mode") == 4


def test_json_is_read_the_same_way():
    (found,) = read('{"a": {"b": [1, true, null, "x"]},\n "c": "2026-12-01T00:00:00Z"}')
    assert found.value == {"a": {"b": [1, True, None, "x"]}, "c": "2026-12-01T00:00:00Z"}


def test_a_date_stays_text_as_for_the_api_server():
    assert read("at: 2026-12-01T00:00:00Z")[0].value == {"at": "2026-12-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("7", 7), ("-7", -7), ("010", 8), ("0o17", 15), ("0x1F", 31), ("0b11", 3), ("1_000", 1000), ("08", 8),
        ("1e2", 100), ("1.0", 1), ("1.5", 1.5), (".5", 0.5), ("1e21", 1e21), ("1:30", "1:30"), ("1900-1910", "1900-1910"),
        ("yes", True), ("Off", False), ("y", True), ("N", False), ("~", None), ("'53'", "53"),
    ],
)  # fmt: skip
def test_scalars_are_what_kubectl_makes_of_them(written, value):
    (found,) = read(f"a: {written}\n")
    assert isinstance(found.value, dict)
    assert (type(found.value["a"]), found.value["a"]) == (type(value), value)


def test_keys_are_text_as_kubectl_makes_them():
    (found,) = read("on: 1\n010: 2\n~: 3\n")
    assert found.value == {"true": 1, "8": 2, "~": 3}


def test_merged_keys_are_no_duplicates():
    (found,) = read("base: &b {mode: Monitor, x: 1}\nmine:\n  <<: *b\n  mode: Enforce\n")
    assert found.problems == ()
    assert isinstance(found.value, dict) and found.value["mine"] == {"mode": "Enforce", "x": 1}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("a: 1\nb: [1, 2\nc: 3\n", 3, id="unclosed list"),
        pytest.param("a: 1\n\tb: 2\n", 2, id="tab"),
        pytest.param("a: !!python/object:os.system x\n", 1, id="foreign tag"),
        pytest.param("? [1, 2]\n: x\n", 1, id="a key that is a list"),
        pytest.param("a:\n  b: !!int abc\n", 2, id="no integer"),
        pytest.param("a: !!int ''\n", 1, id="an empty integer"),
        pytest.param("a: !!float abc\n", 1, id="no float"),
        pytest.param("a: !!bool maybe\n", 1, id="no boolean"),
        pytest.param(f"a: {'9' * 5000}\n", 1, id="an integer without end"),
        pytest.param("a: &a [*a]\n", 1, id="an alias of itself"),
    ],
)
def test_what_is_no_yaml_ends_the_file_with_its_line(text, line):
    *_, last = read_documents("f.yaml", text)
    assert isinstance(last, Unparsable)
    assert last.line == line


def test_documents_before_a_broken_one_are_kept():
    good, bad = read_documents("f.yaml", "a: 1\n---\nb: [\n")
    assert isinstance(good, Document) and isinstance(bad, Unparsable)
    assert bad.number == 2


def test_an_alias_bomb_is_refused():
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9)]
    (found,) = read_documents("f.yaml", "\n".join(["l0: &l0 [x]", *levels]))
    assert isinstance(found, Unparsable)
    assert "more than" in found.reason


@pytest.mark.parametrize(("path", "above"), [("a.b[3]", "a.b"), ("a.b", "a"), ("a", ""), ("a[0][1]", "a[0]")])
def test_parent(path, above):
    assert parent(path) == above
