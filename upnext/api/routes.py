"""Declaring routes: `@api.get("/orders/{id}")`, on an API or on a group of it."""

from __future__ import annotations

import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import evolve, field, frozen

from upnext.api.binding.bind import Bound
from upnext.api.paths import Path
from upnext.client.scope import local_names
from upnext.contracts.codec import hints_of
from upnext.errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])
Responses = Mapping[int, Any]
"""Other answers than the usual one, by status: what the body is (a type), or what it means (a
text: an error as `abort` writes it, `{"detail": …}`), or None: there is no more to say."""

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@frozen(kw_only=True)
class RouteOptions:
    """What a route says of itself."""

    response_model: Any = None
    status_code: int = 200
    tags: tuple[str, ...] = ()
    summary: str | None = None
    description: str | None = None
    hidden: bool = False
    """Whether the documentation leaves it out."""
    responses: Responses = field(factory=dict[int, Any])

    def __attrs_post_init__(self) -> None:
        for status in self.responses:
            if not (isinstance(status, int) and 100 <= status <= 599):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigurationError(f"responses: {status!r} is no status (100 to 599)")
            if status == self.status_code:
                raise ConfigurationError(
                    f"responses: {status} is the usual answer, which status_code and"
                    " response_model describe"
                )


@frozen
class Route:
    """One handler at one path."""

    path: Path
    methods: tuple[str, ...]
    name: str
    """What `url_for` knows it by."""
    bound: Bound
    options: RouteOptions
    returns: Any
    """The annotation of what it returns."""

    @property
    def handler(self) -> Callable[..., Any]:
        """The function."""
        return self.bound.handler

    @property
    def summary(self) -> str:
        """One line on it."""
        if self.options.summary is not None:
            return self.options.summary
        doc = inspect.getdoc(self.handler) or ""
        return doc.partition("\n")[0] or self.name.replace("_", " ").capitalize()

    @property
    def description(self) -> str:
        """All there is to say of it."""
        if self.options.description is not None:
            return self.options.description
        return (inspect.getdoc(self.handler) or "").partition("\n")[2].strip()


class Routes(ABC):
    """Where routes are declared.

    A handler takes its arguments from the request by its signature. Parameters that the path
    names come from there; one of a class, a dataclass, a TypedDict, a pydantic model or a dict is
    read from the JSON body; `quart.Request` is the request; all others come from the query
    string, with their defaults. What does not fit is answered with 422. Sync handlers run in
    threads.
    """

    @abstractmethod
    def add_route(
        self,
        path: str,
        handler: Callable[..., Any],
        methods: Sequence[str],
        options: RouteOptions,
        hints: Mapping[str, Any],
    ) -> None:
        """Let a handler answer requests to a path.

        Raises:
            ConfigurationError: it cannot be bound, or the path is taken.
        """

    def route(
        self,
        path: str,
        methods: Sequence[str] = ("GET",),
        *,
        response_model: Any = None,
        status_code: int = 200,
        tags: Sequence[str] | None = None,
        summary: str | None = None,
        description: str | None = None,
        include_in_schema: bool = True,
        responses: Responses | None = None,
    ) -> Callable[[F], F]:
        """Declare a handler for some methods.

        Args:
            path: `/orders/{id}`, or `/orders/<id>`.
            methods: Such as `["GET", "POST"]`.
            response_model: What the result is made to be before it is written; what it does not
                name is left out.
            status_code: Of an answer whose handler names none.
            tags: What the documentation sorts it under.
            summary: One line on it; by default the first of the docstring.
            description: More on it; by default the rest of the docstring.
            include_in_schema: Whether the documentation knows it.
            responses: Other answers, for the documentation, by status: the type of the body; or a
                text that says what it means, for an error as `abort` writes it; or None.

        Raises:
            ConfigurationError: a parameter could not be filled, or the path is taken.
        """
        options = RouteOptions(
            response_model=response_model,
            status_code=status_code,
            tags=tuple(tags or ()),
            summary=summary,
            description=description,
            hidden=not include_in_schema,
            responses=dict(responses or {}),
        )

        def declare(handler: F) -> F:
            hints = hints_of(handler, local_names(sys._getframe(1)))  # pyright: ignore[reportPrivateUsage]
            self.add_route(path, handler, [m.upper() for m in methods], options, hints)
            return handler

        return declare

    def get(self, path: str, **options: Any) -> Callable[[F], F]:
        """Declare a handler for GET; see `route`."""
        return self.route(path, ("GET",), **options)

    def post(self, path: str, **options: Any) -> Callable[[F], F]:
        """Declare a handler for POST; see `route`."""
        return self.route(path, ("POST",), **options)

    def put(self, path: str, **options: Any) -> Callable[[F], F]:
        """Declare a handler for PUT; see `route`."""
        return self.route(path, ("PUT",), **options)

    def patch(self, path: str, **options: Any) -> Callable[[F], F]:
        """Declare a handler for PATCH; see `route`."""
        return self.route(path, ("PATCH",), **options)

    def delete(self, path: str, **options: Any) -> Callable[[F], F]:
        """Declare a handler for DELETE; see `route`."""
        return self.route(path, ("DELETE",), **options)

    def group(
        self,
        prefix: str,
        *,
        tags: Sequence[str] | None = None,
        responses: Responses | None = None,
    ) -> RouteGroup:
        """Routes that share the beginning of their paths.

        Args:
            prefix: Such as `/orders`.
            tags: What the documentation sorts all of them under.
            responses: Other answers of all of them, as of `route`.
        """
        return RouteGroup(self, prefix, tuple(tags or ()), dict(responses or {}))


class RouteGroup(Routes):
    """Routes below one path of an API: `orders = api.group("/orders", tags=["orders"])`."""

    def __init__(
        self, parent: Routes, prefix: str, tags: tuple[str, ...], responses: Responses
    ) -> None:
        Path.parse(prefix)
        self.prefix = prefix.rstrip("/")
        self.tags = tags
        self.responses = responses
        self._parent = parent

    def add_route(
        self,
        path: str,
        handler: Callable[..., Any],
        methods: Sequence[str],
        options: RouteOptions,
        hints: Mapping[str, Any],
    ) -> None:
        """Let a handler answer requests to a path below the group's."""
        Path.parse(path or "/")
        whole = f"{self.prefix}{path}" or "/"
        tags = (*self.tags, *options.tags)
        # What is another route's other answer may be this one's usual one.
        others = {n: what for n, what in self.responses.items() if n != options.status_code}
        options = evolve(options, tags=tags, responses=others | dict(options.responses))
        self._parent.add_route(whole, handler, methods, options, hints)
