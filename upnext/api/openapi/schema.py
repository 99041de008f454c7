"""The JSON schema of an annotation, as the codec writes and reads its values."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import NoneType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)
from uuid import UUID

import attrs
from attrs import define, field

from upnext.api.binding.integers import LEAST, MOST
from upnext.contracts.codec.annotations import is_union
from upnext.contracts.codec.unions import is_written_by_value

Schema = dict[str, Any]

_REF = "#/components/schemas/"
_PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer", "format": "int64", "minimum": LEAST, "maximum": MOST},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
    None: {"type": "null"},
    dict: {"type": "object"},
    list: {"type": "array"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    time: {"type": "string", "format": "time"},
    timedelta: {"type": "number", "description": "seconds"},
    UUID: {"type": "string", "format": "uuid"},
    Decimal: {"type": "string", "format": "decimal"},
    bytes: {"type": "string", "contentEncoding": "base64"},
    bytearray: {"type": "string", "contentEncoding": "base64"},
}


@define(eq=False)
class Schemas:
    """The schemas of one document; classes are described once and referred to by name."""

    components: dict[str, Schema] = field(factory=dict[str, Schema], init=False)
    _names: dict[Any, str] = field(factory=dict[Any, str], init=False)

    def of(self, hint: Any) -> Schema:
        """The schema of an annotation; of one that nothing is known of, that of any value."""
        if _hashable(hint) and hint in _PLAIN:
            return dict(_PLAIN[hint])
        origin, args = get_origin(hint), get_args(hint)
        if origin in (Annotated, Required, NotRequired):
            return self.of(args[0])
        if hasattr(hint, "__supertype__"):
            return self.of(hint.__supertype__)
        if origin is Literal:
            return {"enum": list(args)}
        if is_union(hint):
            return {"anyOf": [self.of(member) for member in args]}
        kind: Any = origin or hint
        if hint is Any or isinstance(hint, TypeVar) or not inspect.isclass(kind):
            return {}
        if issubclass(kind, Enum):
            return self._named(kind, _enum)
        if issubclass(kind, tuple):
            return self._tuple(kind, args)
        if issubclass(kind, list | set | frozenset):
            unique = {} if issubclass(kind, list) else {"uniqueItems": True}
            return {"type": "array", "items": self.of(args[0]) if args else {}} | unique
        if is_typeddict(cast("Any", kind)) or _is_record(kind):
            return self._named(kind, self._object, hint)
        if issubclass(kind, Mapping):
            values = {"additionalProperties": self.of(args[1])} if len(args) == 2 else {}
            return {"type": "object"} | values
        if issubclass(kind, PurePath):
            return {"type": "string", "format": "path"}
        for known, schema in _PLAIN.items():
            if isinstance(known, type) and issubclass(kind, known):
                return dict(schema)
        return {}

    def ours(self, name: str, schema: Schema) -> Schema:
        """A reference to a schema of our own, be there a class of that name or not."""
        if name not in self._names:
            self._names[name] = free = self._free(name)
            self.components[free] = schema
        return {"$ref": f"{_REF}{self._names[name]}"}

    def _named(self, kind: Any, describe: Any, hint: Any = None) -> Schema:
        key = kind if hint is None or not _hashable(hint) else hint
        if key not in self._names:
            self._names[key] = name = self._free(kind.__name__)
            self.components[name] = {}  # it may refer to itself
            self.components[name] = describe(kind)
        return {"$ref": f"{_REF}{self._names[key]}"}

    def _free(self, name: str) -> str:
        free, number = name, 2
        while free in self.components:
            free, number = f"{name}{number}", number + 1
        return free

    def _tuple(self, kind: Any, args: tuple[Any, ...]) -> Schema:
        if hasattr(kind, "_fields"):
            hints = get_type_hints(kind, include_extras=True)
            args = tuple(hints.get(name, Any) for name in kind._fields)
        if len(args) == 2 and args[1] is Ellipsis:
            return {"type": "array", "items": self.of(args[0])}
        if not args:
            return {"type": "array"}
        items = [self.of(arg) for arg in args]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}

    def _object(self, kind: Any) -> Schema:
        if _is_pydantic(kind):
            return self._pydantic(kind)
        try:
            hints = get_type_hints(kind, include_extras=True)
        except Exception:  # a name that only a type checker knows
            hints = {}
        names, required = _fields(kind, hints)
        schema: Schema = {
            "type": "object",
            "title": kind.__name__,
            "properties": {name: self.of(hints.get(name, Any)) for name in names},
        }
        if required:
            schema["required"] = required
        doc = kind.__doc__
        if doc and not doc.startswith((f"{kind.__name__}(", "Method generated by attrs")):
            schema["description"] = inspect.cleandoc(doc)
        return schema

    def _pydantic(self, kind: Any) -> Schema:
        schema = cast("Schema", kind.model_json_schema(ref_template=_REF + "{model}"))
        self.components.update(schema.pop("$defs", {}))
        return schema


def _enum(kind: type[Enum]) -> Schema:
    by_value = is_written_by_value(kind)
    return {
        "title": kind.__name__,
        "enum": [member.value if by_value else member.name for member in kind],
    }


def _fields(kind: Any, hints: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The names of a record's fields, and of those that have no default."""
    if is_typeddict(kind):
        return list(hints), [name for name in hints if _is_required(kind, name, hints[name])]
    if attrs.has(kind):
        theirs = [each for each in attrs.fields(kind) if each.init]
        return [each.name for each in theirs], [
            each.name for each in theirs if each.default is attrs.NOTHING
        ]
    fields = [each for each in dataclasses.fields(kind) if each.init]
    return [each.name for each in fields], [
        each.name
        for each in fields
        if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
    ]


def _is_required(kind: Any, name: str, hint: Any) -> bool:
    # What a TypedDict knows itself is wrong where its annotations are strings.
    if get_origin(hint) in (Required, NotRequired):
        return get_origin(hint) is Required
    return name in kind.__required_keys__


def _is_record(kind: Any) -> bool:
    return attrs.has(kind) or dataclasses.is_dataclass(kind) or _is_pydantic(kind)


def _is_pydantic(kind: Any) -> bool:
    pydantic = sys.modules.get("pydantic")  # whoever has a model has imported it
    return pydantic is not None and issubclass(kind, pydantic.BaseModel)


def _hashable(hint: Any) -> bool:
    try:
        hash(hint)
    except TypeError:
        return False
    return True
