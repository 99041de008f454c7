"""The Quart app of an API."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache, partial, wraps
from inspect import CO_COROUTINE, isgenerator
from typing import Any, TypeVar, cast

from anyio import to_thread
from anyio.abc import TaskGroup
from quart import Quart
from quart.ctx import RequestContext, WebsocketContext
from quart.globals import request_ctx, websocket_ctx
from quart.signals import got_request_exception, got_serving_exception
from quart.wrappers import Response
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.routing import RoutingException

from upnext.api.answers import JSON, dump
from upnext.api.binding.problems import InvalidInput
from upnext.api.route_of import note_route
from upnext.api.web.backend import of_backend
from upnext.api.web.http import HTTPConnection
from upnext.api.web.lifespan import Lifespan
from upnext.api.web.websocket import WebsocketConnection

logger = logging.getLogger("upnext.api")

Q = TypeVar("Q", bound=Quart)


class APIQuart(Quart):
    """A Quart app whose requests are scopes of the task that serves them, on either backend.

    An unhandled error is logged with an id, and the id is all that the client gets to know.
    """

    asgi_http_class = cast("Any", HTTPConnection)
    asgi_websocket_class = cast("Any", WebsocketConnection)
    asgi_lifespan_class = cast("Any", Lifespan)

    event_class = of_backend("event_class")
    lock_class = of_backend("lock_class")
    request_class = of_backend("request_class")
    response_class = of_backend("response_class")
    websocket_class = of_backend("websocket_class")
    test_app_class = of_backend("test_app_class")
    test_client_class = of_backend("test_client_class")

    speaks_json = True
    """Whether errors such as 404 are JSON; an app that was made elsewhere keeps its own."""
    background_group: TaskGroup | None = None

    async def dispatch_request(self, request_context: RequestContext | None = None) -> Any:
        """Call the handler, and note its route for whoever stands around the app."""
        asked = (request_context or request_ctx).request
        scope: Any = asked.scope
        if asked.url_rule is not None:
            note_route(scope, asked.url_rule.rule)
        return await super().dispatch_request(request_context)

    async def dispatch_websocket(self, websocket_context: WebsocketContext | None = None) -> Any:
        """Call the handler, and note its route."""
        asked = (websocket_context or websocket_ctx).websocket
        if asked.url_rule is not None:
            note_route(cast("Any", asked.scope), asked.url_rule.rule)
        return await super().dispatch_websocket(websocket_context)

    async def handle_http_exception(self, error: HTTPException) -> Any:
        """Answer an error that was meant, such as 404."""
        answer = await super().handle_http_exception(error)
        plain = answer is error and not isinstance(error, RoutingException | InvalidInput)
        if not plain or not self.speaks_json or error.response is not None:
            return answer
        headers = Headers(pair for pair in error.get_headers() if pair[0] != "Content-Type")
        said = error.description if error.description != type(error).description else None
        body = dump({"detail": said or error.name})
        return Response(body, error.code, headers, content_type=JSON)

    async def handle_exception(self, error: Exception) -> Any:
        """Answer an error that nobody meant."""
        await cast("Any", got_request_exception).send_async(
            self, _sync_wrapper=self.ensure_async, exception=error
        )
        if self.config["PROPAGATE_EXCEPTIONS"] or self.testing:
            raise error
        asked = request_ctx.request
        error_id = log_failure(error, asked.method, asked.path)
        meant = InternalServerError(original_exception=error)
        handler = cast("Any", self._find_error_handler(meant, asked.blueprints))
        if handler is not None:
            answer = await self.ensure_async(handler)(meant)
        else:
            answer = Response(failure_body(error_id), 500, content_type=JSON)
        return await self.finalize_request(answer, from_error_handler=True)

    def ensure_async(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """A function as an async one; asked several times for each request."""
        code: Any = getattr(func, "__code__", None)
        if code is not None and code.co_flags & CO_COROUTINE:
            return func
        return super().ensure_async(func)

    def sync_to_async(self, func: Callable[..., Any]) -> Any:
        """A sync function as an async one, called in a thread."""

        @wraps(func)
        async def call(*args: Any, **kwargs: Any) -> Any:
            result = await to_thread.run_sync(partial(func, *args, **kwargs))
            return _in_threads(result) if isgenerator(result) else result

        return call

    def add_background_task(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Run a function beside the requests, in the group of the app's own tasks.

        Raises:
            RuntimeError: the app is not being served.
        """
        if self.background_group is None:
            raise RuntimeError("background tasks run only while the app is served")

        async def run() -> None:
            try:
                async with self.app_context():
                    await self.ensure_async(func)(*args, **kwargs)
            except Exception as error:  # the user's; the app has a handler for it
                await self.handle_background_exception(error)

        self.background_group.start_soon(run)

    async def shutdown(self) -> None:
        """Run what was registered for the end, in the order opposite to the start's."""
        cast("Any", self.shutdown_event).set()
        try:
            async with self.app_context():
                for generator in reversed(self.while_serving_gens):
                    if await anext(cast("Any", generator), _OVER) is not _OVER:
                        raise RuntimeError("a while_serving generator yielded twice")
                for function in self.after_serving_funcs:
                    await self.ensure_async(function)()
        except Exception as error:
            await cast("Any", got_serving_exception).send_async(
                self, _sync_wrapper=self.ensure_async, exception=error
            )
            self.log_exception(cast("Any", sys.exc_info()))
            raise


_OVER: Any = object()


def adopt(app: Quart) -> None:
    """Let an app that was made elsewhere run as an `APIQuart`, and be itself otherwise.

    It stays the same object, so whatever holds it (`app.route`, `current_app`) is right still.
    """
    if not isinstance(app, APIQuart):
        app.__class__ = _adopted(type(app))


@cache
def _adopted(theirs: type[Quart]) -> type[APIQuart]:
    return cast("type[APIQuart]", type(theirs.__name__, (APIQuart, theirs), {"speaks_json": False}))


def log_failure(error: Exception, method: str, path: str) -> str:
    """Log an error that a client ran into, and return the id that finds it in the log."""
    error_id = os.urandom(8).hex()
    logger.error("error %s: %s %s", error_id, method, path, exc_info=error)
    return error_id


def failure_body(error_id: str) -> bytes:
    """What a client is told of an error that nobody meant."""
    return dump({"detail": "Internal Server Error", "id": error_id})


async def _in_threads(iterator: Iterator[Any]) -> AsyncIterator[Any]:
    while (item := await to_thread.run_sync(next, iterator, _OVER)) is not _OVER:
        yield item
