"""Unions: which member a value is, said in the JSON where the JSON alone does not tell."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, Literal, cast, get_args, get_origin, is_typeddict
from uuid import UUID

import attrs
from attrs import frozen
from cattrs import Converter

from upnext.contracts.codec.annotations import is_union, says_json

TAG = "_type"
VALUE = "_value"

TEXT = frozenset(("string",))
_EVERY = frozenset(("null", "boolean", "integer", "float", "string", "array", "object"))
_KINDS: tuple[tuple[tuple[type, ...], frozenset[str]], ...] = (
    ((types.NoneType,), frozenset(("null",))),
    ((bool,), frozenset(("boolean",))),
    (
        (str, bytes, bytearray, datetime, date, time, UUID, Decimal, PurePath),
        frozenset(("string",)),
    ),
    ((int,), frozenset(("integer",))),
    ((float, timedelta), frozenset(("float", "integer"))),
    ((list, tuple, set, frozenset), frozenset(("array",))),
    ((Mapping,), frozenset(("object",))),
)


def json_kinds(hint: Any) -> frozenset[str]:
    """What the JSON of a value of this annotation may be."""
    if is_union(hint):
        return frozenset[str]().union(*(json_kinds(member) for member in get_args(hint)))
    if get_origin(hint) is Annotated:
        return json_kinds(get_args(hint)[0])
    if get_origin(hint) is Literal:
        return frozenset[str]().union(*(_kinds_of(type(value)) for value in get_args(hint)))
    return _kinds_of(_class_of(hint))


def _kinds_of(kind: Any) -> frozenset[str]:
    if not isinstance(kind, type):
        return _EVERY
    if issubclass(kind, Enum):
        if not is_written_by_value(kind):
            return TEXT
        return frozenset[str]().union(*(_kinds_of(type(member.value)) for member in kind))
    if _is_record(kind):
        return frozenset(("object",))
    for kinds, names in _KINDS:
        if issubclass(kind, kinds):
            return names
    return _EVERY


def is_written_by_value(kind: type[Enum]) -> bool:
    """An enum whose values JSON keeps is written by value, any other one by name."""
    return all(isinstance(member.value, str | int) for member in kind)


def _class_of(hint: Any) -> Any:
    if hint is None:
        return types.NoneType
    if is_typeddict(hint):
        return dict
    hint = getattr(hint, "__supertype__", hint)  # a NewType
    return get_origin(hint) or hint


def _is_record(kind: Any) -> bool:
    pydantic = sys.modules.get("pydantic")
    return (
        attrs.has(kind)
        or dataclasses.is_dataclass(kind)
        or (pydantic is not None and issubclass(kind, pydantic.BaseModel))
    )


@frozen
class _Member:
    hint: Any
    kind: Any
    """The class of its values; for a Literal, the values."""
    tag: str | None
    """What names it in the JSON; None where the kind of JSON names it."""
    kinds: frozenset[str]

    def is_exactly(self, value: Any) -> bool:
        if get_origin(self.hint) is Literal:
            return any(value == known and type(value) is type(known) for known in self.kind)
        return type(value) is self.kind

    def may_be(self, value: Any) -> bool:
        if self.kind is float and type(value) is int:
            return True  # as type checkers have it
        return self.kind is Any or (isinstance(self.kind, type) and isinstance(value, self.kind))


@frozen
class Union:
    """Writes and reads values of one union.

    A member that shares its kind of JSON with another one (two classes; a string and a date) is
    written with its name, `{"_type": "Circle", "radius": 1}` or `{"_type": "date", "_value": …}`.
    JSON without such a name is read as the first member that takes it, those classes first
    whose fields are the keys.
    """

    members: tuple[_Member, ...]
    converter: Converter

    @classmethod
    def of(cls, hint: Any, converter: Converter) -> Union:
        hints = tuple(_flat(get_args(hint)))
        kinds = [json_kinds(member) for member in hints]
        members: list[_Member] = []
        for position, member in enumerate(hints):
            others = frozenset[str]().union(*kinds[:position], *kinds[position + 1 :])
            native = says_json(member) and get_origin(member) is not list
            # A dict whose keys happen to be a record's fields would be read as that.
            if _class_of(member) is dict and any(map(_is_record, map(_class_of, hints))):
                native = False
            tag = None if native or not kinds[position] & others else _tag(member, hints)
            kind = get_args(member) if get_origin(member) is Literal else _class_of(member)
            members.append(_Member(member, kind, tag, kinds[position]))
        return cls(tuple(members), converter)

    def write(self, value: Any) -> Any:
        """The value in JSON types.

        Raises:
            TypeError: it is none of the members.
        """
        member = self._member_of(value)
        plain: Any = self.converter.unstructure(value, unstructure_as=member.hint)
        fields = cast("dict[str, Any]", plain) if isinstance(plain, dict) else None
        if member.tag is None:
            if fields is not None and TAG in fields and self._tagged:
                raise TypeError(f"the key {TAG!r} is taken: it names the member of a union")
            return cast("Any", plain)
        if fields is not None and _is_record(member.kind):
            return {TAG: member.tag, **fields}
        return {TAG: member.tag, VALUE: cast("Any", plain)}

    def read(self, value: Any, _: Any = None) -> Any:
        """The member of the union that the JSON says, or fits.

        Raises:
            Exception: no member fits; what the likeliest one had to say.
        """
        if isinstance(value, dict) and TAG in value:
            tagged = cast("dict[str, Any]", value)
            for member in self.members:
                if member.tag == tagged[TAG]:
                    return self._read_tagged(member, tagged)
        problem: Exception | None = None
        for member in self._candidates(value):
            try:
                return self.converter.structure(value, member.hint)
            except Exception as error:  # a member's constructor says no in its own way
                problem = problem or error
        raise problem or TypeError(f"{value!r:.80} is none of {self._names()}")

    def _read_tagged(self, member: _Member, value: dict[str, Any]) -> Any:
        if VALUE in value:
            return self.converter.structure(value[VALUE], member.hint)
        rest = {key: item for key, item in value.items() if key != TAG}
        return self.converter.structure(rest, member.hint)

    def _member_of(self, value: Any) -> _Member:
        exactly = [member for member in self.members if member.is_exactly(value)]
        if len(exactly) > 1:  # lists of this or of that
            exactly = [one for one in exactly if self._comes_back(one, value)] or exactly
        if exactly:
            return exactly[0]
        for member in self.members:
            if member.may_be(value):
                return member
        raise TypeError(f"{value!r:.80} is none of {self._names()}")

    def _comes_back(self, member: _Member, value: Any) -> bool:
        try:
            plain = self.converter.unstructure(value, unstructure_as=member.hint)
            return bool(self.converter.structure(plain, member.hint) == value)
        except Exception:  # whatever a wrong member says
            return False

    def _candidates(self, value: Any) -> Iterable[_Member]:
        kinds = _kinds_of(type(value))
        if isinstance(value, float):
            kinds = frozenset(("float",))
        fitting = [member for member in self.members if member.kinds & kinds]
        if not isinstance(value, dict):
            # Whoever wrote a string without a tag meant the string.
            return sorted(fitting, key=lambda member: not member.is_exactly(value))
        keys = set(cast("dict[str, Any]", value))
        return sorted(fitting, key=lambda member: len(keys ^ field_names(member.kind)))

    @property
    def _tagged(self) -> bool:
        return any(member.tag for member in self.members)

    def _names(self) -> str:
        return ", ".join(_name(member.hint) for member in self.members)


def _flat(hints: Iterable[Any]) -> Iterable[Any]:
    for hint in hints:
        if is_union(hint):
            yield from _flat(get_args(hint))
        else:
            yield hint


def field_names(kind: Any) -> set[str]:
    """The fields of a class that has some: attrs, dataclass or pydantic."""
    for table in ("__dataclass_fields__", "model_fields"):
        if isinstance(names := getattr(kind, table, None), dict):
            return set(cast("dict[str, Any]", names))
    if isinstance(kind, type) and attrs.has(kind):
        return {field.name for field in attrs.fields(kind)}
    return set()


def _tag(hint: Any, hints: tuple[Any, ...]) -> str:
    same = [other for other in hints if _name(other) == _name(hint)]
    return _name(hint) if len(same) == 1 else f"{getattr(hint, '__module__', '')}.{hint!r}"


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
