"""Limit keys: whose share of a limit a job counts against, told by its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any, cast

import orjson
from attrs import frozen


@frozen
class KeyTemplate:
    """A text with arguments in braces, such as "{tenant_id}" or "{order.customer}"."""

    what: str
    """The option that it was given as, for messages."""
    text: str
    _parts: tuple[tuple[str, tuple[str, ...]], ...]
    """Literal text, and the path of what follows it; an empty path for nothing."""
    _defaults: Mapping[str, Any]

    @classmethod
    def parse(cls, what: str, text: str, function: Callable[..., Any]) -> KeyTemplate:
        """Read a template for the arguments of a function.

        Raises:
            ValueError: it names no argument, or one that the function does not have.
        """
        try:
            parsed = list(Formatter().parse(text))
        except ValueError as error:
            raise ValueError(f"{what} {text!r}: {error}") from None
        parameters = inspect.signature(function).parameters
        plain = {
            name: parameter
            for name, parameter in parameters.items()
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        }
        parts: list[tuple[str, tuple[str, ...]]] = []
        for literal, field, spec, conversion in parsed:
            if field is None:
                parts.append((literal, ()))
                continue
            path = tuple(field.split("."))
            if spec or conversion or not all(part.isidentifier() for part in path):
                raise ValueError(
                    f"{what} {text!r}: {{{field}}} must be the name of an argument, or a path"
                    " such as {order.customer}"
                )
            if path[0] not in plain:
                there = ", ".join(plain) or "none"
                raise ValueError(
                    f"{what} {text!r} names {path[0]!r}, which is no argument of the function;"
                    f" there are: {there}"
                )
            parts.append((literal, path))
        if not any(path for _, path in parts):
            raise ValueError(
                f"{what} {text!r} must name an argument in braces, as in '{{user_id}}'"
            )
        defaults = {
            name: parameter.default
            for name, parameter in plain.items()
            if parameter.default is not parameter.empty
        }
        return cls(what, text, tuple(parts), defaults)

    def render(self, arguments: Mapping[str, Any]) -> str:
        """The key of one job.

        Args:
            arguments: As the queue has them: JSON, without those that were left to their default.

        Raises:
            ValueError: what it names is not there.
        """
        return "".join(
            literal + (_said(self._find(arguments, path)) if path else "")
            for literal, path in self._parts
        )

    def _find(self, arguments: Mapping[str, Any], path: tuple[str, ...]) -> Any:
        name, *rest = path
        value = arguments[name] if name in arguments else self._defaults.get(name)
        for step in rest:
            if isinstance(value, Mapping) and step in value:
                value = cast("Mapping[str, Any]", value)[step]
            elif not isinstance(value, Mapping) and hasattr(value, step):  # in a default
                value = getattr(value, step)
            else:
                raise ValueError(
                    f"{self.what} {self.text!r}: there is no {step!r} in the argument {name!r}"
                )
        return value


def _said(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # a default that is no JSON
        return str(value)
