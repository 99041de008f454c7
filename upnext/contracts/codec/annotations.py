"""The annotations of a function, and which of them JSON can say by itself."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

_JSON: frozenset[Any] = frozenset(
    (Any, object, str, int, float, bool, None, type(None), list, dict, inspect.Parameter.empty)
)
_ONE_OF: frozenset[Any] = frozenset((Union, types.UnionType))


def hints_of(
    function: Callable[..., Any], scope: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The resolved annotations of a function, `return` among them.

    One that cannot be resolved counts as `Any`: it may name what only a type checker imports.

    Args:
        function: A function, method, partial or callable object.
        scope: Further names, for annotations in string form that speak of local classes.
    """
    target = _target(function)
    annotations: Mapping[str, Any] = getattr(target, "__annotations__", {})
    module: dict[str, Any] = getattr(target, "__globals__", {})
    names = {**_closure(target), **(scope or {})}
    return {name: _resolve(hint, module, names) for name, hint in annotations.items()}


def says_json(hint: Any) -> bool:
    """Whether values of this annotation are JSON as they stand and come back the same."""
    if _in(hint, _JSON) or isinstance(hint, TypeVar):
        return True
    origin, args = get_origin(hint), get_args(hint)
    if origin is typing.Annotated:
        return says_json(args[0])
    if origin is Literal:
        return all(type(value) in (str, int, bool, type(None)) for value in args)
    if origin is list or origin in _ONE_OF:
        return all(says_json(arg) for arg in args)
    if origin is dict:
        return args[0] is str and says_json(args[1])
    supertype = getattr(hint, "__supertype__", None)  # a NewType
    return supertype is not None and says_json(supertype)


def is_union(hint: Any) -> bool:
    """Whether the annotation is a union, written either way."""
    return get_origin(hint) in _ONE_OF


def _target(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = typing.cast("Any", function).func
    function = inspect.unwrap(function)
    if inspect.ismethod(function):
        return function.__func__
    if not inspect.isfunction(function) and not inspect.isbuiltin(function):
        return inspect.unwrap(type(function).__call__)
    return function


def _closure(target: Any) -> dict[str, Any]:
    code = getattr(target, "__code__", None)
    cells = getattr(target, "__closure__", None)
    if code is None or cells is None:
        return {}
    found: dict[str, Any] = {}
    for name, cell in zip(code.co_freevars, cells, strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def _resolve(hint: Any, module: dict[str, Any], names: dict[str, Any]) -> Any:
    if not isinstance(hint, str) and not get_args(hint):
        return hint
    # One at a time, so that one unknown name spoils no other annotation.
    holder = SimpleNamespace(__annotations__={"it": hint})
    try:
        return typing.get_type_hints(holder, module, names, include_extras=True)["it"]
    except Exception:  # resolving an annotation evaluates it: anything may come out
        return Any


def _in(hint: Any, known: frozenset[Any]) -> bool:
    try:
        return hint in known
    except TypeError:  # some annotations are not hashable
        return False
