"""One filter, or as much of it as stands in one program, as C.

A part is left by `goto`, always forwards: what the verifier cannot see to end, it refuses. The labels of filter n are
fn_allow and fn_drop (a rule decided), fn_left (the packet leaves the filter, its parts in later programs too) and fn_end.
"""

from __future__ import annotations

from spillway_crds.filters import RuleAction
from spillway_dataplane.filter.addresses import within_prefixes
from spillway_dataplane.filter.chunks import Part
from spillway_dataplane.filter.conditions import unless
from spillway_dataplane.filter.guard import Guard
from spillway_dataplane.filter.rules import conditions, on_queues


def part_source(part: Part, guard: Guard) -> str:
    """Return C for one part: entry, rules, what becomes of a packet that a rule decided about, exit."""
    rules = "".join(_rule(part, index, guard) for index in range(part.first, part.end))
    decided = f"\tgoto f{part.number}_end;\n{_allow(part)}{_drop(part)}"
    return f"\n\t/* {part.unit.name} */\n{_entry(part)}{rules}{decided}{_exit(part)}"


def has_action(part: Part, action: RuleAction) -> bool:
    """Tell whether one of the part's rules has that action."""
    return any(rule.action is action for rule in part.unit.content.rules[part.first : part.end])


def _entry(part: Part) -> str:
    if not part.is_first:
        return f"\tif (packet->left == {part.number + 1})\n\t\tgoto f{part.number}_end;\n"
    content, out = part.unit.content, f"f{part.number}_left"
    text = f"\tif (switches->modes[{part.unit.mode_slot}] == MODE_OFF)\n\t\tgoto {out};\n"
    if content.rx_queue_ids:
        text += unless([on_queues(content.rx_queue_ids)], out)
    if content.exempt:
        rules = f"f{part.number}_rules"
        text += f"{unless([within_prefixes('source', content.exempt)], rules)}\tgoto {out};\n{rules}:;\n"
    return text


def _rule(part: Part, index: int, guard: Guard) -> str:
    rule, slot = part.unit.content.rules[index], part.unit.rule_slots[index]
    miss = f"f{part.number}_r{index}_no"
    tests = unless(conditions(rule.match), miss)
    answer = f"\tpacket->candidates = {guard.answer(rule.match):#x}ULL;\n" if rule.action is RuleAction.DROP else ""
    return f"{tests}\tpacket->slot = {slot};\n{answer}{_decide(part, rule.action)}" + (f"{miss}:;\n" if tests else "")


def _decide(part: Part, action: RuleAction) -> str:
    if action is RuleAction.COUNT:
        return "\tcount_matched(packet);\n"
    return f"\tgoto f{part.number}_{action.value.lower()};\n"


def _allow(part: Part) -> str:
    if not has_action(part, RuleAction.ALLOW):
        return ""
    return (
        f"f{part.number}_allow:\n\tcount_matched(packet);\n\tif (ENFORCES({part.unit.mode_slot}))\n\t\tgoto settle;\n"
        f"\tgoto f{part.number}_left;\n"
    )


def _drop(part: Part) -> str:
    if not has_action(part, RuleAction.DROP):
        return ""
    return f"f{part.number}_drop:\n\tif (ENFORCES({part.unit.mode_slot}))\n\t\tgoto drop;\n\twatch(packet);\n"


def _exit(part: Part) -> str:
    """A filter that goes on in the next program has to be told there that the packet left it."""
    left = "" if part.is_last else f"\tpacket->left = {part.number + 1};\n"
    return f"f{part.number}_left:;\n{left}f{part.number}_end:;\n"
