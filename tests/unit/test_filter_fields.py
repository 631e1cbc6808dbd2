"""What the fields of a rule match, asked of the plain matcher: docs/semantics.md, section 1."""

from __future__ import annotations

import pytest
from tests.filter_fields import MATCHES, ROWS, SPEC, SWITCHES, UNIT, Row

from spillway_dataplane.filter.matcher import Matcher, Verdict
from spillway_dataplane.filter.packet import NotForRules, Packet, parse_frame


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in ROWS])
def test_rules_that_match(row: Row) -> None:
    """Exactly the rules named match, the frame counts as said, and it passes."""
    matcher = Matcher(SPEC, SWITCHES, ())
    assert matcher.run(row.frame, 0) is Verdict.PASS
    matched = {name for name, slot in zip(MATCHES, UNIT.rule_slots, strict=True) if slot in matcher.counts}
    assert matched == set(row.matched.split())
    assert (matcher.malformed_packets, matcher.unparsed_packets) == (row.counted == "malformed", row.counted == "unparsed")
    assert all(counts.matched_bytes == len(row.frame) for counts in matcher.counts.values())


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in ROWS])
def test_a_frame_cut_anywhere_is_read_without_error(row: Row) -> None:
    """Whatever is missing, reading a frame ends in a packet or in a reason why there is none."""
    for size in range(min(len(row.frame), 150)):
        assert isinstance(parse_frame(row.frame[:size]), Packet | NotForRules)
