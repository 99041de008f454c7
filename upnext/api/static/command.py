"""A command line as programs to start one after the other. No shell reads it."""

from __future__ import annotations

import re
import shlex

from attrs import frozen

__all__ = ["Step", "steps_of"]

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_OPERATORS = frozenset("();<>|&")


@frozen
class Step:
    """One program to start."""

    words: tuple[str, ...]
    """The program and its arguments."""
    variables: tuple[tuple[str, str], ...] = ()
    """What is set in its environment alone."""

    def __str__(self) -> str:
        return shlex.join(self.words)


def steps_of(command: str) -> tuple[Step, ...]:
    """Read `NAME=value program words && program words`: the next starts if the one before exits 0.

    Quotes and backslashes are read as a POSIX shell reads them. All else that a shell would do
    (pipes, redirections, variables, substitution) is refused rather than passed on literally.

    Raises:
        ValueError: One line that says what cannot be read.
    """
    if found := re.search(r"[\x00-\x08\x0a-\x1f\x7f]", command):
        raise ValueError(f"{command!r} has the control character {found[0]!r}")
    if found := re.search(r"[$`]", command):
        raise ValueError(_needs_a_shell(command, found[0]))
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError as error:  # a quote or a backslash without its end
        raise ValueError(f"{command!r} cannot be read: {str(error).lower()}") from None
    steps: list[Step] = []
    for part in _between_ands(command, words):
        count = 0
        while count < len(part) and _ASSIGNMENT.match(part[count]):
            count += 1
        if count == len(part):
            raise ValueError(f"{command!r} names no program to start")
        pairs = [word.partition("=") for word in part[:count]]
        variables = tuple((name, value) for name, _, value in pairs)
        steps.append(Step(tuple(part[count:]), variables))
    return tuple(steps)


def _between_ands(command: str, words: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "&&":
            parts.append([])
        elif word and set(word) <= _OPERATORS:
            raise ValueError(_needs_a_shell(command, word))
        else:
            parts[-1].append(word)
    return parts


def _needs_a_shell(command: str, what: str) -> str:
    return (
        f"{command!r} is run without a shell, which {what!r} needs:"
        " put the command into a script of package.json and run that"
    )
