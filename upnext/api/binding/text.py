"""One text of a path or a query string as a value of an annotation."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from upnext.api.binding.integers import fitting
from upnext.contracts.codec.annotations import is_union
from upnext.contracts.codec.unions import is_written_by_value, json_kinds

Reader = Callable[[str], Any]

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_MOST_DIGITS = 400
_BOOLS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


def plain(hint: Any) -> Any:
    """An annotation without `Annotated`, `NewType` and `| None`."""
    while True:
        if get_origin(hint) is Annotated:
            hint = get_args(hint)[0]
        elif hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        elif is_union(hint):
            members = [member for member in get_args(hint) if member is not NoneType]
            if len(members) != 1:
                return hint
            hint = members[0]
        else:
            return hint


def reader_of(hint: Any) -> Reader | None:
    """How to read a text as this annotation says; None: as it stands.

    The reader raises `ValueError` or `TypeError`, whose words say what is wrong with the text.
    """
    hint = plain(hint)
    if hint in (str, Any, object):
        return None
    if hint in _READERS:
        return _READERS[hint]
    if get_origin(hint) is Literal:
        return _one_of({_text_of(value): value for value in get_args(hint)})
    if isinstance(hint, type) and issubclass(hint, Enum):
        by_value = is_written_by_value(hint)
        return _one_of({_text_of(m.value if by_value else m.name): m for m in hint})
    if is_union(hint):
        # A string takes everything, so it comes last.
        members = sorted(
            (member for member in get_args(hint) if member is not NoneType),
            key=lambda member: reader_of(member) is None,
        )
        return _first_of([reader_of(member) for member in members], hint)
    return _through_converter(hint)


def _read_int(text: str) -> int:
    if len(text) > _MOST_DIGITS or not _INTEGER.fullmatch(text):
        raise ValueError(f"{text!r:.80} is not an integer")
    return fitting(int(text))


def _read_float(text: str) -> float:
    if len(text) > _MOST_DIGITS or not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r:.80} is not a number")
    return float(text)


def _read_bool(text: str) -> bool:
    try:
        return _BOOLS[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r:.80} is neither true nor false") from None


_READERS: dict[Any, Reader] = {int: _read_int, float: _read_float, bool: _read_bool}


def _text_of(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _one_of(known: dict[str, Any]) -> Reader:
    def read(text: str) -> Any:
        try:
            return known[text]
        except KeyError:
            raise ValueError(f"{text!r:.80} is none of {', '.join(known)}") from None

    return read


def _first_of(readers: list[Reader | None], hint: Any) -> Reader:
    def read(text: str) -> Any:
        for reader in readers:
            if reader is None:
                return text
            try:
                return reader(text)
            except (ValueError, TypeError):
                continue
        raise ValueError(f"{text!r:.80} is none of {hint}")

    return read


def _through_converter(hint: Any) -> Reader:
    from upnext.contracts.codec.converter import converter  # heavy: only where it is needed

    structure = converter().get_structure_hook(hint)
    if json_kinds(hint) & {"integer", "float"}:
        return lambda text: structure(_read_float(text), hint)
    return lambda text: structure(text, hint)
