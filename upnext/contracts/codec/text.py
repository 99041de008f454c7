"""Values to JSON text and back, refusing whatever would not come back the same."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import Enum
from typing import Any, cast

import attrs
import orjson

from upnext.errors import CodecError

MOST_BYTES = 1 << 20
"""Longest JSON text of a job's arguments or of its result. A script that moves more holds up
everybody else on the server."""

DEEPEST = 200
"""Containers within containers; orjson itself stops at 254."""

_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS
_LONGEST_PATH = 120


def dumps(value: Any, root: str) -> bytes:
    """Write a value as JSON.

    Args:
        value: JSON types, or anything the converter knows how to write by its type.
        root: What the value is called in the path of an error.

    Raises:
        CodecError: it cannot be written, or would not come back the same.
    """
    try:
        data = orjson.dumps(value, _by_type, _OPTIONS)
    except Exception as error:  # `_by_type` asks users' objects
        explain(value, root)
        raise CodecError(root, _words(error)) from error
    # orjson writes NaN and Infinity as null.
    if b"null" in data:
        refuse_nonfinite(value, root)
    if len(data) > MOST_BYTES:
        raise CodecError(
            root,
            f"{len(data):,} bytes of JSON are more than {MOST_BYTES:,}:"
            " store the data elsewhere and pass its address",
        )
    return data


def sorted_json(value: Any, root: str) -> str:
    """Write a value as JSON with the keys of its objects in order; errors as `dumps`."""
    return orjson.dumps(orjson.loads(dumps(value, root)), option=orjson.OPT_SORT_KEYS).decode()


def loads(data: bytes, root: str) -> Any:
    """Read JSON.

    Raises:
        CodecError: this is not JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise CodecError(root, f"not valid JSON: {error}") from None


def _by_type(value: Any) -> Any:
    from upnext.contracts.codec.converter import converter  # heavy: only where it is needed

    plain = converter().unstructure(value)
    if plain is value:
        raise TypeError(f"{_kind(value)} cannot be written as JSON")
    return plain


def explain(value: Any, path: str, depth: int = 0) -> None:
    """Find the field that cannot be written, once it is known that there is one.

    Raises:
        CodecError: naming the field. Returns when none is to blame.
    """
    if problem := _problem(value, depth):
        raise CodecError(_short(path), problem)
    for step, child in _children(value):
        explain(child, path + step, depth + 1)


def refuse_nonfinite(value: Any, path: str, depth: int = 0) -> None:
    """Look for NaN and Infinity in a value that was written.

    Raises:
        CodecError: naming the field.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise CodecError(_short(path), f"JSON has no {value}")
    elif depth <= DEEPEST:
        for step, child in _children(value):
            refuse_nonfinite(child, path + step, depth + 1)


def _problem(value: Any, depth: int) -> str | None:
    if depth > DEEPEST:
        return f"nested more than {DEEPEST} deep, or contains itself"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"JSON has no {value}"
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        fits = -(1 << 63) <= value < 1 << 64
        return None if fits else "an integer of more than 64 bits; pass it as a string"
    if isinstance(value, str):
        return None if _is_unicode(value) else "lone surrogates, which are not valid Unicode"
    if isinstance(value, dict):
        return _key_problem(cast("dict[Any, Any]", value))
    if value is None or any(True for _ in _children(value)):
        return None
    try:
        orjson.dumps(value, _by_type, _OPTIONS)
    except Exception as error:  # as above
        return _words(error)
    return None


def _key_problem(value: dict[Any, Any]) -> str | None:
    for key in value:
        if type(key) is not str:
            return f"the key {key!r} is not a string; annotate the dict, as in dict[int, str]"
        if not _is_unicode(key):
            return "a key has lone surrogates, which are not valid Unicode"
    return None


def _children(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, str | bytes | bytearray | Enum) or value is None:
        return
    if isinstance(value, dict):
        for key, child in cast("dict[Any, Any]", value).items():
            yield f"[{key!r}]" if not isinstance(key, str) else f".{key}", child
    elif isinstance(value, list | tuple | set | frozenset):
        for index, child in enumerate(cast("Iterable[Any]", value)):
            yield f"[{index}]", child
    else:
        for name in _fields(value):
            yield f".{name}", getattr(value, name, None)


def _fields(value: Any) -> Iterable[str]:
    kind = cast("Any", type(value))
    if attrs.has(kind):
        return [field.name for field in attrs.fields(kind)]
    for table in ("__dataclass_fields__", "model_fields"):
        if isinstance(names := getattr(kind, table, None), dict):
            return list(cast("dict[str, Any]", names))
    return ()


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: Any) -> str:
    kind = cast("type[Any]", type(value))
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    name = module + kind.__qualname__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _words(error: BaseException) -> str:
    # orjson wraps what the converter raised.
    cause = error.__cause__ or error
    return str(cause) or type(cause).__name__


def _short(path: str) -> str:
    return path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}…"
