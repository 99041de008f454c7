"""Who listens to which event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from upnext.contracts.handlers import decode_handler
from upnext.model.identity import function_tag
from upnext.model.pattern import Pattern
from upnext.worker.log import logger

MOST_NAMES = 10_000
"""Event names whose handlers are remembered."""


@frozen
class Route:
    """One handler."""

    function: str
    tag: str
    pattern: Pattern


class Routes:
    """Owns the roll of handlers, as of the last take.

    Attributes:
        version: Which roll it is.
    """

    def __init__(self) -> None:
        self.version = ""
        self._routes: dict[str, Route] = {}
        self._found: dict[str, list[Route]] = {}

    def replace(self, version: str, handlers: Mapping[str, bytes]) -> None:
        """There is another roll now: function -> what it listens to."""
        self.version, self._routes, self._found = version, {}, {}
        for function, record in handlers.items():
            pattern = decode_handler(record)
            if pattern is None:
                logger.warning("the roll of handlers says of %s what cannot be read", function)
            else:
                self._routes[function] = Route(function, function_tag(function), pattern)

    def lack(self, functions: Iterable[str]) -> bool:
        """Whether any of these handlers is missing."""
        return any(function not in self._routes for function in functions)

    def of(self, event: str) -> list[Route]:
        """The handlers of an event, in the order of their names."""
        found = self._found.get(event)
        if found is None:
            if len(self._found) >= MOST_NAMES:
                self._found.clear()
            every = sorted(self._routes.values(), key=lambda route: route.function)
            found = [route for route in every if route.pattern.matches(event)]
            self._found[event] = found
        return found
