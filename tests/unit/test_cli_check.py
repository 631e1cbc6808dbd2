"""`spillway check` as somebody at a terminal, or a program, sees it; and what all commands share."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from spillway_dataplane.cli import check, programs
from spillway_dataplane.cli import main as entry
from spillway_dataplane.cli.exits import MEANINGS, Exit
from spillway_dataplane.cli.main import COMMANDS, main
from spillway_dataplane.filter.generate import generate

EXAMPLES = Path(__file__).parents[2] / "examples"
GOOD = (EXAMPLES / "dns-amplification.yaml").read_text()
DOCS = Path(__file__).parents[2] / "docs" / "cli.md"


@pytest.fixture
def file(tmp_path):
    def write(text: str, name: str = "filter.yaml") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def answer(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def test_valid_manifests_say_what_they_would_do(capsys):
    assert main(["check", str(EXAMPLES / "dns-amplification.yaml")]) == Exit.OK
    out = capsys.readouterr().out
    for said in (
        "Monitor, priority 100",
        "edge=true",
        "amplified-answers-tails",
        "dns-replies",
        "may take the link down",
        "1 valid",
    ):
        assert said in out


def test_invalid_manifests_end_with_1_and_one_line_each_on_standard_error(capsys, file):
    wrong = GOOD.replace("203.0.113.0/24", "203.0.113.7/24").replace("Monitor  ", "Watch  ")
    assert main(["check", path := file(wrong)]) == Exit.INVALID
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"{path}:") for line in lines)
    assert "3 problems" in said.out


def test_unreadable_wins_over_invalid(capsys, file):
    assert main(["check", file(GOOD.replace("UDP", "UPD")), "/nowhere/at/all.yaml"]) == Exit.UNREADABLE
    assert "/nowhere/at/all.yaml: no such file or directory" in capsys.readouterr().err


def test_contradictions_end_with_1(capsys, file):
    other = GOOD.replace("name: dns-amplification", "name: other").replace("priority: 100", "xdpMode: Generic")
    assert main(["check", file(GOOD), file(other, "other.yaml"), "-o", "json"]) == Exit.INVALID
    found = answer(capsys)
    assert found["errors"] == [] and not found["valid"]
    assert [each["filters"] for each in found["contradictions"]] == [["dns-amplification", "other"]]


def test_json_holds_every_fault_with_its_fields(capsys, file):
    path = file("# a comment\n" + GOOD.replace("{min: 512}", "{min: 512, max: 12}"))
    assert main(["check", path, "--output", "json"]) == Exit.INVALID
    (error,) = answer(capsys)["errors"]
    assert error["file"] == path and error["filter"] == "dns-amplification" and error["document"] == 1
    assert error["field"].startswith("spec.rules[0].match.ipLengthBytes")
    assert error["line"] == 1 + next(n for n, line in enumerate(GOOD.splitlines(), 1) if "ipLengthBytes" in line)
    assert error["reason"]


def test_json_of_a_valid_filter_says_flows_and_program(capsys):
    assert main(["check", str(EXAMPLES / "dns-amplification.yaml"), "-o", "json"]) == Exit.OK
    found = answer(capsys)
    assert found["valid"]
    (filter_,) = found["filters"]
    assert filter_["rules"][1]["failsafeFlows"] == ["node-fragments"]
    (program,) = found["programs"]
    assert program["interface"] == "default routes" and program["rules"] == 2 and len(program["digest"]) == 11
    assert "instructions" not in program


def test_interfaces_with_the_same_filters_have_one_program_generated_once(capsys, file, monkeypatch):
    """Sixteen interfaces of a large policy are no sixteen times the wait."""
    made: list[object] = []
    monkeypatch.setattr(programs, "generate", lambda spec: made.append(spec) or generate(spec))
    text = GOOD.replace("  nodeSelector:", "  interfaces: [eth0, eth1, eth2]\n  nodeSelector:")
    assert main(["check", file(text), "-o", "json"]) == Exit.OK
    found = answer(capsys)["programs"]
    assert [each["interface"] for each in found] == ["eth0", "eth1", "eth2"]
    assert len({each["digest"] for each in found}) == len(made) == 1


def test_standard_input(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD.encode())))
    assert main(["check", "-", "-o", "json"]) == Exit.OK
    assert answer(capsys)["filters"][0]["file"] == "-"


def test_names_from_files_are_never_markup(capsys, file):
    text = "apiVersion: v1\nkind: '[bold]x[/nothing]'\nmetadata: {name: '[red]'}\n"
    assert main(["check", file(text)]) == Exit.OK
    assert "[bold]x[/nothing] [red]" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["chekc"], ["check"], ["check", "--colour", "x"], ["run", "d", "--node-label", "x"]])
def test_wrong_usage_ends_with_2_and_one_line(capsys, words):
    assert main(words) == Exit.USAGE
    err = capsys.readouterr().err
    assert err.startswith("spillway: ") and err.count("\n") == 1 and "--help" in err


def test_wrong_usage_is_json_where_json_was_asked_for(capsys):
    assert main(["chekc", "--output=json"]) == Exit.USAGE
    assert json.loads(capsys.readouterr().err)["error"]["exitCode"] == Exit.USAGE


def test_a_defect_is_one_line_and_70(capsys, monkeypatch):
    monkeypatch.setattr(entry, "_run", lambda words: {}[words[0]])
    assert main(["version"]) == Exit.INTERNAL
    assert capsys.readouterr().err == "spillway: internal error: KeyError: 'version'\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_the_exit_codes(capsys, command):
    assert main([command, "--help"]) == Exit.OK
    out = capsys.readouterr().out
    assert "--output" in out and all(meaning in out for meaning in MEANINGS.values())


def test_the_documentation_has_every_command_and_exit_code():
    text = DOCS.read_text()
    assert all(f"`spillway {command}" in text for command in COMMANDS)
    assert all(f"| {code} | {meaning} |" in text for code, meaning in MEANINGS.items())


def test_version_is_machine_readable(capsys):
    assert main(["version", "-o", "json"]) == Exit.OK
    assert set(answer(capsys)) == {"version", "api", "kernel", "python"}


def test_check_imports_neither_bcc_nor_netlink_nor_kubernetes_nor_libbpf():
    heavy = ("bcc", "pyroute2", "kubernetes", "spillway_dataplane.kernel.libbpf")
    program = (
        "import sys; from spillway_dataplane.cli.main import main; "
        f"main(['check', {str(EXAMPLES)!r}]); print([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_compiling_without_bcc_says_what_is_missing(capsys, monkeypatch):
    monkeypatch.setattr(check, "find_spec", lambda name: None)
    assert main(["check", "--compile", str(EXAMPLES)]) == Exit.REFUSED
    assert capsys.readouterr().err == "spillway: check --compile: needs bcc (Debian: python3-bpfcc)\n"


def test_streams_are_said_in_a_line_and_as_values(capsys):
    """Whether their queues are granted and free only a cluster knows."""
    files = str(EXAMPLES / "streams" / "application.yaml")
    assert main(["check", files]) == 0
    assert "BypassStream studio/camera-1: transmit queue 2 of eth1, to 239.10.0.1:5004" in capsys.readouterr().out
    assert main(["check", "--output", "json", files]) == 0
    (found,) = json.loads(capsys.readouterr().out)["streams"]
    assert (found["namespace"], found["name"], found["txQueue"], found["bindMode"]) == ("studio", "camera-1", 2, "Prefer")


def test_claims_for_queues_are_checked_and_said(tmp_path, capsys):
    """With file, line and kind; what is valid is said in a line, as a stream is."""
    head = "apiVersion: resource.k8s.io/v1\nkind: ResourceClaim\nmetadata: {name: own, namespace: studio}\nspec:\n  devices:\n"
    asked = "    requests: [{name: tx, exactly: {deviceClassName: studio.tx-queue.spillway.dev}}]\n    config:\n"
    flow = "{destinationAddress: 10.0.0.7, destinationPort: 5004}"
    parameters = f"{{apiVersion: spillway.dev/v1alpha1, kind: RingParameters, flow: {flow}}}"
    file = tmp_path / "own.yaml"
    file.write_text(f"{head}{asked}    - opaque: {{driver: tx-queue.spillway.dev, parameters: {parameters}}}\n")
    assert main(["check", str(file)]) == 0
    assert "ResourceClaim studio/own: request tx: a transmit queue, to 10.0.0.7:5004" in capsys.readouterr().out
    assert main(["check", str(file), "-o", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["claims"]
    assert (found["kind"], found["rings"][0]["request"], found["rings"][0]["bindMode"]) == ("ResourceClaim", "tx", "Prefer")
    file.write_text(file.read_text().replace("5004", "0"))
    assert main(["check", str(file)]) == 1
    said = capsys.readouterr().err
    assert ":8: document 1: ResourceClaim own: spec.devices.config[0].opaque.parameters.flow.destinationPort: 0" in said
