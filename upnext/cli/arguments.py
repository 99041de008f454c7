"""Read a task's arguments from the command line: `key=value` words and a JSON object."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, cast

from upnext.cli.explain import CommandError


def read_arguments(words: Sequence[str], json_object: str | None) -> dict[str, Any]:
    """Merge both; a word wins over the object.

    Args:
        words: `key=value`; a value that is JSON is that value, any other is a text.
        json_object: All arguments as one JSON object.

    Raises:
        CommandError: A word without `=`, a name given twice, or no JSON object.
    """
    given = _read_object(json_object) if json_object is not None else {}
    named: set[str] = set()
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise CommandError(f"The argument {word!r} is not of the form key=value.")
        if name in named:
            raise CommandError(f"The argument {name!r} is given twice.")
        named.add(name)
        given[name] = _read_value(value)
    return given


def check_fit(name: str, function: Callable[..., Any], given: dict[str, Any]) -> None:
    """See that a function can be called with these names, before it is.

    Raises:
        CommandError: One is missing or not known; the line shows the signature.
    """
    parameters = inspect.signature(function).parameters.values()
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters)
    rest = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    known = {one.name for one in parameters if one.kind not in rest}
    starred = {f"*{one.name}" for one in parameters if one.kind is one.VAR_POSITIONAL}
    starred |= {f"**{one.name}" for one in parameters if one.kind is one.VAR_KEYWORD}
    wrong = [] if takes_any else sorted(given.keys() - known - starred)
    needed = {one.name for one in parameters if one.kind not in rest and one.default is one.empty}
    missing = sorted(needed - given.keys())
    if not wrong and not missing:
        return
    problem = f"has no parameter {', '.join(wrong)}" if wrong else f"needs {', '.join(missing)}"
    signature = ", ".join(str(one) for one in parameters)
    raise CommandError(f"The task {name} {problem}: it is declared as {name}({signature}).")


def _read_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"--json is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise CommandError("""--json must be one object, such as '{"a": 1}'.""")
    return cast("dict[str, Any]", value)


def _read_value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON value")
