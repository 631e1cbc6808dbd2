"""What in a receiver's SDP text differs from what a stream sends: why its screen is black, torn, or shows nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

DEFAULTS = {"RANGE": "NARROW", "PAR": "1:1", "TCS": "SDR"}  # ST 2110-20, 7.3: what is meant where it is not said
OF_THE_SENDER = {"SSN", "MAXUDP", "TROFF", "CMAX"}  # parameters that change nothing in what a receiver decodes
FLAG = "yes"


@dataclass(slots=True)
class Section:
    """One m= section. parameters: of its fmtp line, flags as FLAG. source: whose packets alone it takes, "" for anybody's."""

    kind: str
    port: str
    payload_type: str
    address: str = ""
    encoding: str = ""
    source: str = ""
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where its packets go."""
        return f"{self.address} port {self.port}"


def differences(sent: str, told: str) -> tuple[str, ...]:
    """One line for each difference. sent: the stream's own SDP text. told: the receiver's, in which only what is there is judged.

    A receiver may take one of two paths: each of its sections is compared with the one that goes to the same place.
    """
    ours, theirs = _sections(sent), _sections(told)
    if not theirs:
        return ("it describes no video",)
    return tuple(line for place, one in enumerate(theirs) for line in _between(_meant(ours, one, place), one))


def _meant(ours: list[Section], one: Section, place: int) -> Section:
    same = [each for each in ours if each.place == one.place]
    return same[0] if same else ours[min(place, len(ours) - 1)]


def _between(ours: Section, theirs: Section) -> Iterator[str]:
    if ours.place != theirs.place:
        yield f"it listens at {theirs.place}, the stream goes to {ours.place}"
    if theirs.source and ours.source and theirs.source != ours.source:
        yield f"it takes packets from {theirs.source} only, they come from {ours.source}"
    if ours.payload_type != theirs.payload_type:
        yield f"its payload type is {theirs.payload_type}, the stream has {ours.payload_type}"
    if ours.encoding.lower() != theirs.encoding.lower():
        yield f"its encoding is {theirs.encoding or 'not said'}, the stream has {ours.encoding}"
    names = dict.fromkeys([*ours.parameters, *theirs.parameters])
    for name in (each for each in names if each not in OF_THE_SENDER):
        yield from _of_parameter(name, ours.parameters, theirs.parameters)


def _of_parameter(name: str, ours: dict[str, str], theirs: dict[str, str]) -> Iterator[str]:
    sent, told = (each.get(name, DEFAULTS.get(name, "")) for each in (ours, theirs))
    if _value(sent) == _value(told):
        return
    if FLAG in (sent, told):
        yield f"{name} is {'said' if told else 'not said'}, the stream is {'' if sent else 'not '}so"
    else:
        yield f"{name} is {told or 'not said'}, the stream has {sent or 'none'}"


def _value(text: str) -> str | Fraction:
    """50 and 100/2 are one rate; words are compared without regard to case."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return text.casefold()


def _sections(text: str) -> list[Section]:
    """Sections of video. What stands before the first is meant for each that says nothing itself."""
    found, address = list[Section](), ""
    for line in map(str.strip, text.splitlines()):
        kind, _, value = line.partition("=")
        if kind == "m":
            words = [*value.split(), "", "", "", ""]
            found.append(Section(words[0], words[1].partition("/")[0], words[3], address))
        elif kind == "c" and not found:
            address = _address(value)
        elif found:
            _take(found[-1], kind, value)
    return [each for each in found if each.kind == "video"]


def _take(section: Section, kind: str, value: str) -> None:
    name, _, rest = value.partition(":")
    if kind == "c":
        section.address = _address(value)
    elif kind == "a" and name == "rtpmap":
        section.encoding = rest.partition(" ")[2].strip()
    elif kind == "a" and name == "source-filter":
        section.source = rest.split()[-1] if rest.split() else ""
    elif kind == "a" and name == "fmtp":
        section.parameters |= dict(_parameters(rest.partition(" ")[2]))


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    for each in filter(None, map(str.strip, text.split(";"))):
        name, sign, value = each.partition("=")
        yield name.strip(), value.strip() if sign else FLAG


def _address(value: str) -> str:
    """Without the TTL."""
    return (value.split() or [""])[-1].partition("/")[0]
