"""The one cattrs converter: how values that JSON has no word for are written and read."""

from __future__ import annotations

import base64
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints, is_typeddict
from uuid import UUID

import attrs
import orjson
from cattrs import Converter, cols
from cattrs.preconf.orjson import make_converter

from upnext.contracts.codec.annotations import is_union
from upnext.contracts.codec.arrays import array_reader, is_array
from upnext.contracts.codec.unions import TEXT, Union, field_names, is_written_by_value, json_kinds

V = TypeVar("V")


@cache
def converter() -> Converter:
    """The converter, made when the first value needs it."""
    made = make_converter()
    for kind, name in ((bool, "a bool"), (int, "an integer"), (str, "a string")):
        made.register_structure_hook(kind, _exactly(kind, name))
    made.register_structure_hook(float, _read_float)
    made.register_structure_hook(NoneType, _read_none)

    _as_text(made, datetime, datetime.isoformat, datetime.fromisoformat)
    _as_text(made, date, _write_date, date.fromisoformat)
    _as_text(made, time, time.isoformat, time.fromisoformat)
    _as_text(made, UUID, str, UUID)
    _as_text(made, Decimal, str, Decimal)
    for path in (Path, PosixPath, WindowsPath, PurePath, PurePosixPath, PureWindowsPath):
        _as_text(made, path, str, path)
    made.register_unstructure_hook(timedelta, _write_timedelta)
    made.register_structure_hook(timedelta, _read_timedelta)
    for binary in (bytes, bytearray):
        made.register_unstructure_hook(binary, _write_bytes)
        made.register_structure_hook(binary, _read_bytes)

    made.register_unstructure_hook_factory(_is_enum, _enum_writer)
    made.register_structure_hook_factory(_is_enum, _enum_reader)
    made.register_unstructure_hook_factory(_is_mapping, _mapping_writer)
    made.register_structure_hook_factory(_is_mapping, _mapping_reader)
    made.register_unstructure_hook_factory(_is_class_of_fields, _class_writer)
    made.register_structure_hook_factory(_is_class_of_fields, _class_reader)
    made.register_structure_hook_factory(is_array, array_reader)
    made.register_unstructure_hook_factory(cols.is_namedtuple, _named_tuple_writer)
    made.register_structure_hook_factory(cols.is_namedtuple, _named_tuple_reader)
    made.register_unstructure_hook_factory(is_union, _union_writer)
    made.register_structure_hook_factory(is_union, _union_reader)
    made.register_unstructure_hook_factory(_is_pydantic, _pydantic_writer)
    made.register_structure_hook_factory(_is_pydantic, _pydantic_reader)
    return made


def _exactly(kind: type[V], name: str) -> Callable[[Any, Any], V]:
    def read(value: Any, hint: Any) -> V:
        if _is_enum(hint):  # cattrs takes its base class for it
            return cast("V", _enum_reader(hint)(value, hint))
        if isinstance(value, kind) and (kind is not int or not isinstance(value, bool)):
            return value
        raise _wrong(value, name)

    return read


def _wrong(value: Any, expected: str) -> TypeError:
    return TypeError(f"{value!r:.80} is not {expected}")


def _read_float(value: Any, _: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise _wrong(value, "a number")


def _read_none(value: Any, _: Any) -> None:
    if value is not None:
        raise _wrong(value, "null")


def _as_text(
    made: Converter, kind: type[V], write: Callable[[V], str], read: Callable[[str], V]
) -> None:
    """Write by `write`; where a caller gave the text itself, or a number, see that it is right."""

    def unstructure(value: Any) -> str:
        return write(value if isinstance(value, kind) else structure(value, kind))

    def structure(value: Any, _: Any) -> V:
        try:
            return read(value)
        except (ValueError, TypeError, ArithmeticError, AttributeError):
            raise _wrong(value, f"a {kind.__name__}") from None

    made.register_unstructure_hook(kind, unstructure)
    made.register_structure_hook(kind, structure)


def _write_date(value: date) -> str:
    if isinstance(value, datetime):
        raise TypeError("a datetime is not a date")
    return value.isoformat()


def _write_timedelta(value: Any) -> float:
    seconds = _read_timedelta(value, timedelta).total_seconds()
    if isinstance(value, timedelta) and timedelta(seconds=seconds) != value:
        raise ValueError("too long to be written to the microsecond")
    return seconds


def _read_timedelta(value: Any, _: Any) -> timedelta:
    """From a number of seconds."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return timedelta(seconds=value)
    raise _wrong(value, "a number of seconds")


def _write_bytes(value: Any) -> str:
    if not isinstance(value, bytes | bytearray):
        raise _wrong(value, "bytes")
    return base64.b64encode(value).decode()


def _read_bytes(value: Any, kind: Any) -> Any:
    try:
        return kind(base64.b64decode(value, validate=True))
    except (ValueError, TypeError):
        raise _wrong(value, "bytes in base64") from None


def _is_enum(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Enum)


def _enum_writer(kind: type[Enum]) -> Callable[[Any], Any]:
    if is_written_by_value(kind):
        return lambda value: (value if isinstance(value, kind) else kind(value)).value
    return lambda value: (value if isinstance(value, kind) else kind[value]).name


def _enum_reader(kind: type[Enum]) -> Callable[[Any, Any], Enum]:
    def read(value: Any, _: Any) -> Enum:
        try:
            return kind(value) if by_value else kind[value]
        except (ValueError, KeyError, TypeError):
            raise _wrong(value, f"a {kind.__name__}") from None

    by_value = is_written_by_value(kind)
    return read


def _is_class_of_fields(hint: Any) -> bool:
    kind: Any = get_origin(hint) or hint
    return isinstance(kind, type) and (attrs.has(kind) or dataclasses.is_dataclass(kind))


def _class_writer(hint: Any, made: Converter) -> Callable[[Any], Any]:
    write = cast("Callable[[Any], Any]", made.gen_unstructure_attrs_fromdict(hint))
    return _unless_more_than(get_origin(hint) or hint, write)


def _unless_more_than(kind: type, write: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A subclass is written as the class of the annotation, if that is all there is to it."""
    known = field_names(kind)

    def checked(value: Any) -> Any:
        if type(value) is not kind and (more := field_names(type(value)) - known):
            raise TypeError(
                f"a {type(value).__name__} has fields that a {kind.__name__} has not: "
                f"{', '.join(sorted(more))}"
            )
        return write(value)

    return checked


def _class_reader(hint: Any, made: Converter) -> Callable[[Any, Any], Any]:
    def read(value: Any, kind: Any) -> Any:
        if type(value) is not dict and not isinstance(value, Mapping):
            raise _wrong(value, f"an object with the fields of {_named_fields(hint)}")
        return structure(value, kind)

    structure = cast("Callable[[Any, Any], Any]", made.gen_structure_attrs_fromdict(hint))
    return read


def _named_fields(hint: Any) -> str:
    kind: Any = get_origin(hint) or hint
    every: Sequence[Any] = attrs.fields(kind) if attrs.has(kind) else dataclasses.fields(kind)
    return f"{kind.__name__} ({', '.join(one.name for one in every if one.init)})"


def _union_writer(hint: Any, made: Converter) -> Callable[[Any], Any]:
    return Union.of(hint, made).write


def _union_reader(hint: Any, made: Converter) -> Callable[[Any, Any], Any]:
    return Union.of(hint, made).read


def _is_mapping(hint: Any) -> bool:
    return cols.is_mapping(hint) and not is_typeddict(hint)


def _mapping_writer(hint: Any, made: Converter) -> Callable[[Any], Any]:
    args = get_args(hint)
    key: Callable[[Any], Any] = _same
    if args and args[0] not in (str, Any):
        is_enum = _is_enum(args[0])
        key = _enum_writer(args[0]) if is_enum else made.get_unstructure_hook(args[0])
        if json_kinds(args[0]) != TEXT:
            key = _text_key(key)
    return made.gen_unstructure_mapping(hint, dict, key_handler=cast("Any", key))


def _same(value: V) -> V:
    return value


def _text_key(write: Callable[[Any], Any]) -> Callable[[Any], str]:
    return lambda key: orjson.dumps(write(key)).decode()


def _mapping_reader(hint: Any, made: Converter) -> Callable[[Any, Any], Any]:
    factory = cast("Any", cols.mapping_structure_factory)  # pyright: ignore[reportUnknownMemberType]
    read: Callable[[Any, Any], Any] = factory(hint, made)
    args = get_args(hint)
    if not args or args[0] is Any or json_kinds(args[0]) == TEXT:
        return read
    return lambda value, hint: read({_key(key): item for key, item in value.items()}, hint)


def _key(text: str) -> Any:
    """A key that is not a string was written as JSON within a string."""
    key = orjson.loads(text)
    return tuple(cast("list[Any]", key)) if isinstance(key, list) else key


def _named_tuple_writer(kind: Any, made: Converter) -> Callable[[Any], Any]:
    hints = _hints_of_named_tuple(kind)

    def write(value: Any) -> list[Any]:
        return [
            made.unstructure(item, unstructure_as=hint)
            for item, hint in zip(value, hints, strict=True)
        ]

    return write


def _named_tuple_reader(kind: Any, made: Converter) -> Callable[[Any, Any], Any]:
    hints = tuple[*_hints_of_named_tuple(kind)]
    return lambda value, _: kind(*made.structure(value, hints))


def _hints_of_named_tuple(kind: Any) -> list[Any]:
    known = get_type_hints(kind, include_extras=True)
    return [known.get(name, Any) for name in kind._fields]


def _is_pydantic(hint: Any) -> bool:
    # Whoever has a model has imported pydantic.
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(hint, type) and issubclass(hint, pydantic.BaseModel)


def _pydantic_writer(hint: Any, _: Converter) -> Callable[[Any], Any]:
    return _unless_more_than(hint, _write_pydantic)


def _pydantic_reader(_: Any) -> Callable[[Any, Any], Any]:
    return _read_pydantic


def _write_pydantic(value: Any) -> Any:
    return value.model_dump(mode="json", by_alias=True, round_trip=True)


def _read_pydantic(value: Any, kind: Any) -> Any:
    # As JSON text, because a strict model takes text for a date from JSON only.
    return kind.model_validate_json(orjson.dumps(value))
