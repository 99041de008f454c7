"""Keys made of arguments: `"report:{user.id}:{days[0]}"`. Pure: no clock, no I/O.

A field names a parameter, and may go on into its value: `.name` is an attribute or an item of that
name, `[0]` an item by number, `[name]` one by its text. Braces are doubled to be meant themselves.

Two different sets of values never make one key: in a value, the character that ends its field is
written in percent form, so `{a}:{b}` tells ("x:y", "z") from ("x", "y:z"). For the same reason
two fields may not touch each other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, cast
from uuid import UUID

from attrs import field, frozen

LONGEST_KEY = 256
"""Characters; the middle of a longer one is replaced by a digest."""

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_PATH = re.compile(r"([^\W\d]\w*)((?:\.[^\W\d]\w*|\[[^\[\]]+\])*)")
_STEP = re.compile(r"\.([^\W\d]\w*)|\[([^\[\]]+)\]")
_SCALARS = (str, int, float, UUID, Decimal, date, datetime, time, timedelta)


@frozen
class _Field:
    text: str
    """As it was written, without the braces."""
    name: str
    steps: tuple[str | int, ...]
    end: str
    """The character that comes after it; '' for a field that ends the template."""

    def of(self, arguments: Mapping[str, Any]) -> str:
        value: Any = arguments[self.name]
        for step in self.steps:
            value = _into(value, step)
        text = _text_of(value)
        if self.end:
            text = text.replace("%", "%25")
            if self.end != "%":
                text = text.replace(self.end, f"%{ord(self.end):02X}")
        return text


@frozen
class KeyTemplate:
    """A key with places for arguments in it. Read with `KeyTemplate.parse`.

    Attributes:
        text: The template as it was written.
        what: What users call it: the name of the option, for error messages.
    """

    text: str
    what: str
    _pieces: tuple[str | _Field, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str, what: str) -> KeyTemplate:
        """Read a template.

        Args:
            text: The template; without a field it is the same key for every call.
            what: The name of the option it was given for.

        Raises:
            ValueError: it cannot be read; one line says what is wrong.
        """
        if not isinstance(text, str) or not text.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"{what} must be a text that is not empty, not {text!r}")
        words: list[str | re.Match[str]] = []
        for found in _PIECE.finditer(text):
            whole = found[0]
            if found[1] is not None:
                path = _PATH.fullmatch(found[1])
                if path is None:
                    raise ValueError(
                        f"{what} {text!r}: {whole} must name an argument, such as {{user}},"
                        " {user.id} or {users[0]}"
                    )
                if words and not isinstance(words[-1], str):
                    raise ValueError(
                        f"{what} {text!r}: put something between {{{words[-1][0]}}} and {whole},"
                        " or two different calls could have one key"
                    )
                words.append(path)
                continue
            if whole in ("{", "}"):
                raise ValueError(f"{what} {text!r}: a brace is not closed; write {whole * 2}")
            literal = whole[0] if whole in ("{{", "}}") else whole
            if words and isinstance(words[-1], str):
                words[-1] += literal
            else:
                words.append(literal)
        ends = [word[0] if isinstance(word, str) else "" for word in words[1:]] + [""]
        return cls(
            text,
            what,
            tuple(
                word if isinstance(word, str) else _field(word, end)
                for word, end in zip(words, ends, strict=True)
            ),
        )

    @property
    def names(self) -> set[str]:
        """The parameters that it speaks of."""
        return {piece.name for piece in self._pieces if isinstance(piece, _Field)}

    def check(self, parameters: Iterable[str], function: str) -> KeyTemplate:
        """See that a function has the parameters that it speaks of.

        Args:
            parameters: Those it has.
            function: What it is called.

        Raises:
            ValueError: it lacks one; one line says which, and which there are.
        """
        known = list(parameters)
        if missing := sorted(self.names.difference(known)):
            there = f"has {', '.join(known)}" if known else "takes no arguments"
            raise ValueError(
                f"{self.what} {self.text!r}: {function} has no parameter"
                f" {', '.join(missing)}; it {there}"
            )
        return self

    def render(self, arguments: Mapping[str, Any]) -> str:
        """The key of one call.

        Args:
            arguments: The call's arguments by parameter, defaults included.

        Raises:
            ValueError: an argument has no such part, or is nothing that can be in a key.
        """
        return fit_key(
            "".join(
                piece if isinstance(piece, str) else self._fill(piece, arguments)
                for piece in self._pieces
            )
        )

    def _fill(self, piece: _Field, arguments: Mapping[str, Any]) -> str:
        try:
            return piece.of(arguments)
        except LookupError as error:
            problem = f"there is no {error}"
        except (AttributeError, TypeError, ValueError) as error:
            problem = str(error)
        raise ValueError(f"{self.what} {self.text!r}: {{{piece.text}}}: {problem}")


def fit_key(key: str) -> str:
    """A key short enough to be one: its middle is a digest of all of it where it is too long."""
    if len(key) <= LONGEST_KEY:
        return key
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
    return f"{key[: LONGEST_KEY - len(digest) - 1]}~{digest}"


def _field(path: re.Match[str], end: str) -> _Field:
    steps: list[str | int] = []
    for step in _STEP.finditer(path[2]):
        word = step[1] or step[2]
        steps.append(int(word) if step[2] and re.fullmatch(r"-?\d+", word) else word)
    return _Field(path[0], path[1], tuple(steps), end)


def _into(value: Any, step: str | int) -> Any:
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value)
        return items[step] if step in items else items[str(step)]
    if isinstance(step, int):
        if isinstance(value, Sequence):
            return cast("Sequence[Any]", value)[step]
        raise TypeError(f"{_kind(value)} has no item {step}")
    return getattr(value, step)


def _text_of(value: Any) -> str:
    if isinstance(value, Enum):
        return _text_of(value.value)
    if value is None or isinstance(value, _SCALARS) or _says_itself(value):
        return str(value)
    raise TypeError(f"{_kind(value)} cannot be part of a key: name a field or an item of it")


def _says_itself(value: object) -> bool:
    """Whether its text was meant to be read; that of most objects holds their address."""
    return type(value).__str__ is not object.__str__


def _kind(value: object) -> str:
    return f"a value of type {type(value).__qualname__}"
