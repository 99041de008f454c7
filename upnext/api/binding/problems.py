"""Input that does not fit a handler, as the client is told of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast

import orjson
from attrs import frozen
from werkzeug.exceptions import UnprocessableEntity

from upnext.errors import CodecError

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]|\[['\"](.*?)['\"]\]")


@frozen
class Problem:
    """What is wrong with one field."""

    where: tuple[str | int, ...]
    """`("query", "limit")`, `("body", "items", 2, "price")`."""
    words: str
    expected: str = ""

    def as_json(self) -> dict[str, Any]:
        """As the client sees it."""
        told: dict[str, Any] = {"loc": list(self.where), "msg": self.words}
        return told | ({"expected": self.expected} if self.expected else {})


class InvalidInput(UnprocessableEntity):
    """The answer 422, whose body names each field that is wrong and what was expected of it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.words for problem in self.problems))

    def get_body(self, environ: Any = None, scope: Any = None) -> str:
        """The body of the answer."""
        return orjson.dumps({"detail": [problem.as_json() for problem in self.problems]}).decode()

    def get_headers(self, environ: Any = None, scope: Any = None) -> list[tuple[str, str]]:
        """The headers of the answer."""
        return [("Content-Type", "application/json")]


def body_problems(error: CodecError, expected: str) -> list[Problem]:
    """What is wrong with a JSON body that could not be read."""
    steps = _steps(error.path)
    listing = getattr(_leaf(error), "errors", None)
    if callable(listing):  # pydantic names them all
        found = cast("list[dict[str, Any]]", listing())
        return [Problem(("body", *steps, *each["loc"]), str(each["msg"])) for each in found]
    return [Problem(("body", *steps), error.problem, "" if steps else expected)]


def _leaf(error: BaseException) -> BaseException:
    leaf = error.__cause__ or error
    while isinstance(leaf, BaseExceptionGroup):
        leaf = cast("BaseException", leaf.exceptions[0])
    return leaf


def _steps(path: str) -> tuple[str | int, ...]:
    return tuple(int(step[2]) if step[2] else (step[1] or step[3]) for step in _STEP.finditer(path))
