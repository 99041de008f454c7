"""The parameters of a handler: which part of a request each of them is."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter
from typing import Any, Literal, get_args, get_origin

from attrs import field, frozen
from quart.wrappers import Request

from upnext.api.binding.text import Reader, plain, reader_of
from upnext.contracts.codec.annotations import is_union
from upnext.contracts.codec.unions import json_kinds
from upnext.errors import ConfigurationError

MISSING: Any = Parameter.empty
_SCALARS = frozenset(("boolean", "integer", "float", "string"))
_MANY: dict[Any, Callable[[list[Any]], Any]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    tuple: tuple,
}
_WORDS = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}


@frozen
class Text:
    """A parameter that is read from the path or the query string."""

    name: str
    hint: Any
    read: Reader | None = field(repr=False)
    default: Any = MISSING
    gather: Callable[[list[Any]], Any] | None = field(default=None, repr=False)
    """What makes one value of all that the query string has of this name; None: it takes one."""

    @property
    def expected(self) -> str:
        """What it should be, in words."""
        return words_of(self.hint)


@frozen
class Body:
    """The parameter that is read from the request's JSON."""

    name: str
    hint: Any
    default: Any = MISSING


@frozen
class Parameters:
    """What a handler takes, sorted by where it comes from."""

    path: tuple[Text, ...]
    query: tuple[Text, ...]
    body: Body | None
    request: str | None
    """The parameter that takes the request itself."""


def parameters_of(
    function: Callable[..., Any],
    hints: Mapping[str, Any],
    names_in_path: Sequence[str],
    methods: Sequence[str],
) -> Parameters:
    """Sort the parameters of a handler.

    Raises:
        ConfigurationError: there is a parameter that no request can fill.
    """
    where = f"handler {getattr(function, '__name__', function)!r}"
    path: list[Text] = []
    query: list[Text] = []
    bodies: list[Body] = []
    request: str | None = None
    signature = inspect.signature(function)
    if missing := [name for name in names_in_path if name not in signature.parameters]:
        raise ConfigurationError(f"{where} has no parameter {missing[0]!r}, which its path names")
    for name, parameter in signature.parameters.items():
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            raise ConfigurationError(f"{where} takes *{name}: name each parameter")
        if parameter.kind is Parameter.POSITIONAL_ONLY:
            raise ConfigurationError(f"{where}: {name!r} must not be positional-only")
        hint = hints.get(name, Any)
        if name in names_in_path:
            path.append(_text(where, name, hint, MISSING))
        elif isinstance(plain(hint), type) and issubclass(plain(hint), Request):
            request = name
        elif _is_text(hint):
            query.append(_text(where, name, hint, parameter.default))
        else:
            bodies.append(Body(name, hint, parameter.default))
    if len(bodies) > 1:
        raise ConfigurationError(
            f"{where}: {bodies[0].name!r} and {bodies[1].name!r} would both be the body of the"
            " request: put them into one class"
        )
    if bodies and not set(methods) - {"GET", "HEAD"}:
        raise ConfigurationError(
            f"{where}: {bodies[0].name!r} would be the body of a GET request, which has none"
        )
    return Parameters(tuple(path), tuple(query), bodies[0] if bodies else None, request)


def _text(where: str, name: str, hint: Any, default: Any) -> Text:
    try:
        gather = gatherer_of(hint)
        if gather is None:
            return Text(name, hint, reader_of(hint), default)
        return Text(name, hint, reader_of(item_of(hint)), default, gather)
    except ConfigurationError:
        raise
    except Exception as error:  # as the type's converter says no
        raise ConfigurationError(
            f"{where}: {name!r} of {hint} cannot be read from text: {error}"
        ) from error


def _is_text(hint: Any) -> bool:
    """Whether values of this annotation stand in a query string, one or several."""
    hint = plain(hint)
    if hint in (Any, object):
        return True
    if gatherer_of(hint) is not None:
        return _is_scalar(item_of(hint))
    return _is_scalar(hint)


def _is_scalar(hint: Any) -> bool:
    hint = plain(hint)
    return hint in (Any, object) or json_kinds(hint) - {"null"} <= _SCALARS


def gatherer_of(hint: Any) -> Callable[[list[Any]], Any] | None:
    """What makes a list, set or tuple of many values; None for an annotation of one."""
    hint = plain(hint)
    origin = get_origin(hint) or hint
    if origin is tuple and len(get_args(hint)) != 2:
        return None
    if origin is tuple and get_args(hint)[1] is not Ellipsis:
        return None
    try:
        return _MANY.get(origin)
    except TypeError:  # some annotations are not hashable
        return None


def item_of(hint: Any) -> Any:
    """What each of many values is."""
    args = get_args(plain(hint))
    return args[0] if args else str


def words_of(hint: Any) -> str:
    """What a value should be, in words."""
    hint = plain(hint)
    if hint in (Any, object):
        return "a value"
    if hint in _WORDS:
        return _WORDS[hint]
    if get_origin(hint) is Literal:
        return f"one of {', '.join(str(value) for value in get_args(hint))}"
    if is_union(hint):
        return " or ".join(words_of(member) for member in get_args(hint))
    if gatherer_of(hint) is not None:
        return f"many of: {words_of(item_of(hint))}"
    if get_origin(hint) in (dict, typing.cast("Any", Mapping)) or hint is dict:
        return "an object"
    name = hint.__name__ if isinstance(hint, type) else str(hint)
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"
