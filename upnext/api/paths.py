"""Paths of routes, written `/orders/{id}` or, as Quart has it, `/orders/<id>`."""

from __future__ import annotations

import re
from functools import lru_cache

from attrs import frozen

from upnext.errors import ConfigurationError

_HOLE = re.compile(
    r"\{(?P<name>\w+)(?::(?P<kind>[a-z]+))?\}"
    r"|<(?:(?P<converter>\w+(?:\([^)]*\))?):)?(?P<variable>\w+)>"
)
_LEFT_OVER = re.compile(r"[{}<>]")
_KINDS = {None: "", "str": "", "int": "int:", "float": "float:", "path": "path:", "uuid": "uuid:"}


@frozen
class Path:
    """The path of a route, both ways of writing it."""

    template: str
    """`/orders/{id}`: what the documentation and the dashboard show."""
    rule: str
    """`/orders/<id>`: what Quart matches."""
    names: tuple[str, ...]
    """Its parameters, in order."""

    @classmethod
    def parse(cls, text: str) -> Path:
        """Read a path.

        Raises:
            ConfigurationError: it cannot be a path.
        """
        if not text.startswith("/"):
            raise ConfigurationError(f"the path {text!r} must begin with '/'")
        if _LEFT_OVER.search(_HOLE.sub("", text)):
            raise ConfigurationError(
                f"the path {text!r} has a bracket that is no parameter:"
                " write {name}, {name:path} or <int:name>"
            )
        names = tuple(hole["name"] or hole["variable"] for hole in _HOLE.finditer(text))
        if len(set(names)) < len(names):
            raise ConfigurationError(f"the path {text!r} names a parameter twice")
        return cls(template_of(text), _HOLE.sub(lambda hole: _rule_of(hole, text), text), names)


def _rule_of(hole: re.Match[str], text: str) -> str:
    if hole["variable"]:
        return hole[0]
    if hole["kind"] not in _KINDS:
        known = ", ".join(kind for kind in _KINDS if kind)
        raise ConfigurationError(f"the path {text!r}: {hole['kind']!r} is none of {known}")
    return f"<{_KINDS[hole['kind']]}{hole['name']}>"


@lru_cache(maxsize=4096)
def template_of(rule: str) -> str:
    """A rule of Quart as a template: `/orders/<int:id>` is `/orders/{id}`."""
    return _HOLE.sub(lambda hole: f"{{{hole['name'] or hole['variable']}}}", rule)
