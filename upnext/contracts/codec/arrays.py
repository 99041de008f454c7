"""Lists, sets and tuples from JSON: an array it has to be, where cattrs takes whatever iterates.

To cattrs "abc" is a list of three, and an object the list of its keys.
"""

from __future__ import annotations

import collections
from collections import abc
from collections.abc import Callable
from typing import Any, cast, get_args, get_origin

from cattrs import Converter, cols
from cattrs.errors import IterableValidationError, IterableValidationNote

_MADE: dict[Any, Callable[[list[Any]], Any]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    tuple: tuple,
    collections.deque: collections.deque,
    abc.Sequence: tuple,
    abc.MutableSequence: list,
    abc.Set: frozenset,
    abc.MutableSet: set,
}

_Wrong = cast("Any", IterableValidationError)  # typed as a plain group, it takes a class, too

Read = Callable[[Any, Any], Any]


def is_array(hint: Any) -> bool:
    """Whether it is an annotation of many values of one kind, or of a tuple."""
    try:
        return (get_origin(hint) or hint) in _MADE
    except TypeError:  # some annotations are not hashable
        return False


def array_reader(hint: Any, made: Converter) -> Read:
    """How to read values of such an annotation.

    Args:
        hint: The annotation.
        made: Reads what is in them.
    """
    kind, args = get_origin(hint) or hint, get_args(hint)
    if kind is tuple and args[1:] != (...,) and hint not in (tuple, tuple):
        return _tuple_reader(args, made)
    items = list[args[0] if args else Any]
    factory = cast("Any", cols.list_structure_factory)  # pyright: ignore[reportUnknownMemberType]
    read: Callable[[Any, Any], list[Any]] = factory(items, made)
    make = _MADE[kind]

    def read_array(value: Any, _: Any) -> Any:
        found = read(_array(value), items)
        return found if make is list else make(found)

    return read_array


def _tuple_reader(hints: tuple[Any, ...], made: Converter) -> Read:
    def read_tuple(value: Any, whole: Any) -> tuple[Any, ...]:
        items = _array(value)
        if len(items) != len(hints):
            raise ValueError(f"{value!r:.80} is of length {len(items)}, not {len(hints)}")
        found: list[Any] = []
        for index, (item, hint) in enumerate(zip(items, hints, strict=True)):
            try:
                found.append(made.structure(item, hint))
            except Exception as error:  # a converter of the user's says no in its own way
                error.add_note(IterableValidationNote(f"At index {index}", index, hint))
                raise _Wrong(f"While reading {whole}", [error], whole) from None
        return tuple(found)

    return read_tuple


def _array(value: Any) -> Any:
    if isinstance(value, list | tuple | set | frozenset | collections.deque):
        return cast("Any", value)
    raise TypeError(f"{value!r:.80} is not a list")
