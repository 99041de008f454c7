"""Names of events, and patterns over them. Pure.

A name is made of segments with dots between them: `order.item.added`. In a pattern a segment may
be `*`, which stands for exactly one segment, or `**`, which stands for one or more:

    order.paid      that event
    order.*         order.paid, but not order.item.added
    order.**        both, but not order
    *.failed        mail.failed, job.failed
    **              every event
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from attrs import field, frozen

LONGEST_NAME = 200
"""Characters of a name or a pattern."""
_ONE, _MANY = "*", "**"


@frozen
class Pattern:
    """What a handler listens to. Made by `Pattern.parse`."""

    text: str
    segments: tuple[str, ...] = field(eq=False, repr=False)
    is_name: bool = field(eq=False, repr=False)
    """It has no wildcards: the name of one event, which can be sent."""

    @staticmethod
    def parse(text: str) -> Pattern:
        """Read a pattern, without the white space around it.

        Raises:
            ValueError: this is no pattern; one line says why.
        """
        return _parse(_checked(text))

    def matches(self, name: str) -> bool:
        """Whether the event of this name is meant. Takes at most one step per pair of segments."""
        if self.is_name:
            return name == self.text
        return _match(self.segments, name.split("."))


def event_name(text: str) -> str:
    """The name of an event, without the white space around it.

    Raises:
        ValueError: this is no name, or a pattern with wildcards; one line says which.
    """
    pattern = Pattern.parse(text)
    if not pattern.is_name:
        raise ValueError(
            f"{pattern.text!r} is a pattern, which many events match: send one of them by its"
            " name, without a wildcard"
        )
    return pattern.text


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise ValueError(f"an event's name must be a text such as 'order.paid', not {text!r}")
    return text


@lru_cache(maxsize=4096)
def _parse(text: str) -> Pattern:
    stripped = text.strip()
    if problem := _problem(stripped):
        raise ValueError(f"event {text!r:.260} cannot be used: {problem}")
    segments = tuple(stripped.split("."))
    return Pattern(stripped, segments, not any("*" in segment for segment in segments))


def _problem(text: str) -> str:
    if not text:
        return "a name must not be empty"
    if len(text) > LONGEST_NAME:
        return f"a name has at most {LONGEST_NAME} characters"
    if not text.isprintable() or " " in text:
        return "a name has no white space and no control characters"
    for segment in text.split("."):
        if not segment:
            return "there is nothing between two dots, or at an end"
        if "*" in segment and segment not in (_ONE, _MANY):
            return f"a wildcard stands for whole segments, as in 'order.*', not as in {segment!r}"
    return ""


def _match(pattern: Sequence[str], name: Sequence[str]) -> bool:
    """Greedy, with one way back: to the last `**`, which then takes one segment more.

    To take back an earlier one as well would gain nothing: what follows it matched at the first
    place it could, and that leaves the most to all that comes later.
    """
    i = j = 0
    many, taken = -1, 0
    while j < len(name):
        if i < len(pattern) and pattern[i] == _MANY:
            many, taken = i, j + 1  # it takes one segment at least
            i, j = i + 1, j + 1
        elif i < len(pattern) and pattern[i] in (_ONE, name[j]):
            i, j = i + 1, j + 1
        elif many >= 0:
            taken += 1
            i, j = many + 1, taken
        else:
            return False
    return i == len(pattern)
