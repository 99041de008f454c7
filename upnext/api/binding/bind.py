"""From a handler to a view: everything that can be known of it is found out once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from inspect import isasyncgenfunction, isawaitable, iscoroutinefunction
from typing import Any

from anyio import to_thread
from attrs import frozen
from quart.globals import request_ctx
from quart.wrappers import Request

from upnext.api.answers import Answer
from upnext.api.binding.body import BodyReader
from upnext.api.binding.parameters import MISSING, Parameters, Text, parameters_of
from upnext.api.binding.problems import InvalidInput, Problem
from upnext.errors import ConfigurationError

View = Callable[..., Awaitable[Any]]


@frozen
class Bound:
    """A handler that takes its arguments from requests."""

    handler: Callable[..., Any]
    parameters: Parameters
    body: BodyReader | None
    answer: Answer

    @classmethod
    def of(
        cls,
        handler: Callable[..., Any],
        hints: Mapping[str, Any],
        names_in_path: Sequence[str],
        methods: Sequence[str],
        answer: Answer,
    ) -> Bound:
        """Bind a handler.

        Raises:
            ConfigurationError: no request could fill its parameters.
        """
        parameters = parameters_of(handler, hints, names_in_path, methods)
        body = None
        if parameters.body is not None:
            try:
                body = BodyReader.of(parameters.body)
            except Exception as error:  # a type's converter says no in its own way
                raise ConfigurationError(
                    f"handler {getattr(handler, '__name__', handler)!r}: nothing can be read as"
                    f" {parameters.body.hint}: {error}"
                ) from error
        return cls(handler, parameters, body, answer)

    def view(self) -> View:
        """What Quart calls, with the path's parameters as texts."""
        handler, answer, body = self.handler, self.answer.make, self.body
        takes = self.parameters
        call = handler if _is_async(handler) else partial(_in_thread, handler)
        fill = partial(_fill, takes.path, takes.query)
        takes_nothing = not takes.query and body is None and takes.request is None
        simple = takes_nothing and all(text.read is None for text in takes.path)

        async def view(**path: Any) -> Any:
            if simple:
                return answer(await call(**path))
            request = request_ctx.request
            problems: list[Problem] | None = None
            try:
                fill(path, request)
            except (ValueError, TypeError, KeyError):
                problems = _problems(takes, path, request)
            if body is not None:
                try:
                    path[body.parameter.name] = await body.read(request)
                except InvalidInput as error:
                    problems = [*(problems or ()), *error.problems]
            if problems is not None:
                raise InvalidInput(problems)
            if takes.request is not None:
                path[takes.request] = request
            return answer(await call(**path))

        return view


def _is_async(handler: Callable[..., Any]) -> bool:
    call = type(handler).__call__ if not hasattr(handler, "__code__") else None
    return any(
        iscoroutinefunction(each) or isasyncgenfunction(each) for each in (handler, call) if each
    )


async def _in_thread(handler: Callable[..., Any], **arguments: Any) -> Any:
    """Call a sync handler in a thread; cancelled, the thread is left behind.

    Boxed, because Trio takes a thread that returns a bare coroutine for a mistake.
    """
    call = partial(lambda: (handler(**arguments),))
    (value,) = await to_thread.run_sync(call, abandon_on_cancel=True)
    return await value if isawaitable(value) else value


def _fill(
    path_texts: tuple[Text, ...],
    query_texts: tuple[Text, ...],
    given: dict[str, Any],
    request: Request,
) -> None:
    """Put the arguments from the path and the query string among the given ones."""
    for text in path_texts:
        # Of `{id:int}` Quart has made an integer already.
        if text.read is not None and type(value := given[text.name]) in (str, int):
            given[text.name] = text.read(str(value))
    if query_texts:
        query = request.args
        for text in query_texts:
            value = _from_query(text, query)
            if value is not MISSING:
                given[text.name] = value


def _from_query(text: Text, query: Any) -> Any:
    if text.name not in query:
        if text.default is MISSING:
            raise KeyError(text.name)
        return MISSING
    read = text.read
    if text.gather is not None:
        found = query.getlist(text.name)
        return text.gather(found if read is None else [read(each) for each in found])
    value = query[text.name]
    return value if read is None else read(value)


def _problems(takes: Parameters, path: dict[str, Any], request: Request) -> list[Problem]:
    """Everything that is wrong with the path and the query string."""
    found: list[Problem] = []
    for text in takes.path:
        value = path[text.name]
        try:
            if text.read is not None and type(value) in (str, int):
                text.read(str(value))
        except (ValueError, TypeError) as error:
            found.append(Problem(("path", text.name), str(error), text.expected))
    for text in takes.query:
        try:
            _from_query(text, request.args)
        except KeyError:
            found.append(Problem(("query", text.name), "missing", text.expected))
        except (ValueError, TypeError) as error:
            found.append(Problem(("query", text.name), str(error), text.expected))
    return found
