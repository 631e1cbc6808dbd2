"""Whether the comparison of kernel and matcher would notice: programs with one mistake each have to differ from the law."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tests import fuzz_lab
from tests.fuzz_policies import Case, cases

from spillway_dataplane.filter.generate import generate
from spillway_dataplane.filter.program import ProgramSpec

MUTANTS = {
    "a ninth extension header": ("MAX_EXTENSION_HEADERS 8", "MAX_EXTENSION_HEADERS 9"),
    "atomic fragments": ("else if (fragment & 1)", "else"),
    "UDP length 0 over IPv4": ("(length == 0 && family == 6)", "length == 0"),
    "IHL below 5": ("header < 20 || total < header", "total < header"),
    "802.1ad": ("ETHERTYPE_QINQ 0x88a8", "ETHERTYPE_QINQ 0x88a9"),
    "length of AH": ("(header[1] + 2) << 2", "(header[1] + 2) << 3"),
    "TCP options beyond the packet": ("length >= 20 && length <= payload", "length >= 20"),
    "a first fragment's cut header": (
        "if (packet->fragment == FRAGMENT_NONE)\n\t\treturn PACKET_MALFORMED;",
        "return PACKET_MALFORMED;",
    ),
    "the gate's arithmetic": ("GATE_FACTOR 0x9e3779b97f4a7c15ULL", "GATE_FACTOR 0x9e3779b97f4a7c17ULL"),
    "link-local is a /10": ("source[0] >> 54 == 0x3fa", "source[0] >> 56 == 0xfe"),
    "prefixes are administrators": ("*peers & PREFIX_PEERS", "*peers"),
    "the kill switch": ("&& switches->enforcement", ""),
    "bytes of a frame": ("packet->frame_bytes = linear", "packet->frame_bytes = linear + (linear > 1500)"),
}


@pytest.mark.long
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Within forty policies; the run of every `make test` has 130."""
    right, wrong = MUTANTS[name]

    def mistaken(spec: ProgramSpec) -> str:
        source = generate(spec)
        assert right in source, "the mutant has to follow the program's text"
        return source.replace(right, wrong)

    monkeypatch.setattr(fuzz_lab, "generate", mistaken)

    @settings(
        max_examples=40,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def compare(case: Case) -> None:
        fuzz_lab.run_case(case, 2400, 0)

    with pytest.raises(fuzz_lab.Disagreement):
        compare()
