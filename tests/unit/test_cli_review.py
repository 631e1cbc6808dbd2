"""What filters contradict, touch and disturb is known before anything is applied."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spillway_crds.filters import (
    FilterContent,
    FilterSpec,
    FloodFilter,
    Fragments,
    LengthRange,
    Match,
    NodeSelector,
    PortRange,
    Rule,
    RuleAction,
    SelectorExpression,
    XdpMode,
)
from spillway_dataplane.cli.describe import match_text, selector_text
from spillway_dataplane.cli.meeting import Meeting, at_pattern, meeting, patterns_of, satisfying_labels
from spillway_dataplane.cli.review import review

UDP = Match(protocol=17)
DROP_UDP = Rule("udp", UDP, RuleAction.DROP)
EDGE = NodeSelector(match_labels=(("edge", "true"),))
INNER = NodeSelector(match_labels=(("edge", "false"),))
RACK = NodeSelector(match_labels=(("rack", "7"),))
EVERY_NODE = NodeSelector()


def made(name: str, *, selector: NodeSelector = EVERY_NODE, rules: tuple[Rule, ...] = (DROP_UDP,), **content) -> FloodFilter:
    return FloodFilter(name, FilterSpec(selector, FilterContent(rules, **content)))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param({}, {}, Meeting.SURE, id="default routes twice"),
        pytest.param({"interfaces": ("eth0",)}, {"interfaces": ("eth0",)}, Meeting.SURE, id="one name"),
        pytest.param({"interfaces": ("eth0",)}, {"interfaces": ("eth1", "eth2")}, Meeting.NEVER, id="other names"),
        pytest.param({"interfaces": ("eth0",)}, {"interfaces": ("eth*",)}, Meeting.PERHAPS, id="name within a glob"),
        pytest.param({"interfaces": ("ens*",)}, {"interfaces": ("eth*",)}, Meeting.NEVER, id="globs apart"),
        pytest.param({"interfaces": ("e*",)}, {"interfaces": ("eth?",)}, Meeting.PERHAPS, id="globs that overlap"),
        pytest.param({"interfaces": ("eth*",)}, {"interfaces": ("eth*",)}, Meeting.SURE, id="one glob"),
        pytest.param({}, {"interfaces": ("eth0",)}, Meeting.PERHAPS, id="a default route may go out there"),
        pytest.param({"selector": EDGE}, {"selector": EDGE}, Meeting.SURE, id="one selector"),
        pytest.param({"selector": EDGE}, {}, Meeting.SURE, id="every node"),
        pytest.param({"selector": EDGE}, {"selector": INNER}, Meeting.NEVER, id="labels that exclude each other"),
        pytest.param({"selector": EDGE}, {"selector": RACK}, Meeting.PERHAPS, id="labels that do not"),
    ],
)
def test_where_filters_meet(first, second, expected):
    assert meeting(made("a", **first), made("b", **second)) is expected
    assert meeting(made("b", **second), made("a", **first)) is expected


def test_native_and_generic_on_one_interface_contradict():
    native, generic = made("a", interfaces=("eth0",)), made("b", interfaces=("eth0",), xdp_mode=XdpMode.GENERIC)
    (said,) = review((native, generic)).contradictions
    assert said.filters == ("a", "b")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(made("b", interfaces=("eth1",), xdp_mode=XdpMode.GENERIC), id="another interface"),
        pytest.param(made("b", interfaces=("eth0",), xdp_mode=XdpMode.AUTO), id="auto goes with both"),
        pytest.param(made("b", interfaces=("eth*",), xdp_mode=XdpMode.GENERIC), id="only perhaps: a warning"),
    ],
)
def test_what_is_no_contradiction(other):
    seen = review((made("a", interfaces=("eth0",)), other))
    assert seen.contradictions == ()


def test_a_perhaps_is_a_warning():
    seen = review((made("a", interfaces=("eth0",)), made("b", interfaces=("eth*",), xdp_mode=XdpMode.GENERIC)))
    assert any("may share an interface" in each.message for each in seen.warnings)


def test_a_node_has_room_for_24_filters():
    filters = tuple(made(f"f{n:02}") for n in range(26))
    (said,) = review(filters).contradictions
    assert said.filters == ("f24", "f25")
    assert review(filters[:24]).contradictions == ()


def test_filters_of_different_nodes_do_not_add_up():
    filters = tuple(made(f"f{n:02}", selector=EDGE if n % 2 else INNER) for n in range(40))
    assert review(filters).contradictions == ()


def test_failsafe_flows_are_named():
    drop_all_tcp = Rule("tcp", Match(protocol=6), RuleAction.DROP)
    said = [each.message for each in review((made("a", rules=(drop_all_tcp,)),)).warnings]
    assert any("ssh" in text and "api-server" in text for text in said)
    allow_all_tcp = replace(drop_all_tcp, action=RuleAction.ALLOW)
    assert review((made("a", rules=(allow_all_tcp,)),)).warnings == ()


LARGE = Match(protocol=17, source_ports=(PortRange(53, 53),), ip_length_bytes=LengthRange(min=512))


@pytest.mark.parametrize(
    ("rules", "warned"),
    [
        pytest.param((Rule("large", LARGE, RuleAction.DROP),), True, id="ports and large packets alone"),
        pytest.param(
            (Rule("large", LARGE, RuleAction.DROP), Rule("t", Match(protocol=17, fragments=Fragments.LATER), RuleAction.DROP)),
            False,
            id="with a rule for the tails",
        ),
        pytest.param((Rule("small", replace(LARGE, ip_length_bytes=LengthRange(100, 400)), RuleAction.DROP),), False, id="small"),
        pytest.param((DROP_UDP,), False, id="no ports"),
    ],
)
def test_a_rule_that_leaves_fragment_tails_is_said(rules, warned):
    said = [each for each in review((made("a", rules=rules),)).warnings if "later fragments" in each.message]
    assert bool(said) is warned


def test_each_interface_says_what_its_link_will_feel():
    seen = review((made("a", interfaces=("eth0", "eth1")), made("b", interfaces=("eth*",), xdp_mode=XdpMode.GENERIC), made("c")))
    assert [each.filters for each in seen.disturbances] == [("a", "b"), ("a", "b"), ("b",), ("c",)]
    assert "generic" in seen.disturbances[2].message


def test_programs_follow_priority_and_name():
    low, high = made("z", interfaces=("eth0",), priority=10), made("a", interfaces=("eth*",), priority=20)
    assert patterns_of((high, low)) == ("eth*", "eth0")
    assert at_pattern((high, low), "eth0") == (low, high)
    assert at_pattern((high, low), "eth*") == (high,)


def test_satisfying_labels_satisfy():
    selector = NodeSelector((("a", "1"),), (SelectorExpression("b", "In", ("x", "y")), SelectorExpression("c", "DoesNotExist")))
    assert satisfying_labels(selector) == {"a": "1", "b": "x"}
    assert selector_text(selector) == "a=1, b In (x, y), c DoesNotExist"
    assert selector_text(NodeSelector()) == "every node"


@pytest.mark.parametrize(
    ("match", "text"),
    [
        pytest.param(Match(), "every packet", id="nothing"),
        pytest.param(LARGE, "UDP, source port 53, 512.. bytes", id="ports and length"),
        pytest.param(Match(protocol=99, fragments=Fragments.LATER), "protocol 99, later fragments", id="a number"),
        pytest.param(Match(protocol=1, icmp_types=(0, 8)), "ICMP, type 0 8", id="types"),
    ],
)
def test_a_match_in_words(match, text):
    assert match_text(match) == text
