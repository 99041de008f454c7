"""Counts the requests that pass, whatever ASGI application answers them."""

from __future__ import annotations

from collections.abc import Callable

from upnext.api.leaving import LEAVING
from upnext.api.tracking.book import Book
from upnext.api.tracking.ports import ASGIApp, Message, Receive, Scope, Send
from upnext.api.tracking.route import template_of
from upnext.model.traffic import GONE, UNMATCHED

OWN = "/runtime/"
"""What lies below it is asked for by machines, and not counted."""
OTHER_METHOD = "OTHER"

_METHODS = {
    method: method
    for method in (
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    )
}  # fmt: skip


class _Exchange:
    """Watches the messages of one request."""

    __slots__ = ("_clock", "_receive", "_send", "ended", "gone", "status")

    def __init__(self, receive: Receive, send: Send, clock: Callable[[], float]) -> None:
        self._receive = receive
        self._send = send
        self._clock = clock
        self.status = 0
        """0: no answer has begun."""
        self.ended = 0.0
        """When the last message was sent."""
        self.gone = False
        """The client went away, or has its answer."""

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.gone = True
        return message

    async def send(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:  # what ASGI servers raise when nobody is there to be sent to
            self.gone = True
            raise
        if message["type"] == "http.response.start":
            self.status = message["status"]
        self.ended = self._clock()

    def final_status(self, error: BaseException | None) -> int:
        """What to count, once the application is done."""
        if error is None or self.gone or not isinstance(error, Exception):
            # An answer that is broken off from outside, by its client or a server that stops, is
            # counted as what it began as: so end streams that have no end.
            return self.status or (GONE if self.gone else 500)
        return 500


class Middleware:
    """An ASGI application around another one; only what is HTTP is looked at.

    Args:
        app: The application.
        book: Where requests are counted.
        clock: Seconds, from wherever.
        normalize: Count by templates; False: by paths, of those requests that a route served.
    """

    def __init__(
        self, app: ASGIApp, book: Book, clock: Callable[[], float], *, normalize: bool = True
    ) -> None:
        self._app = app
        self._book = book
        self._clock = clock
        self._normalize = normalize

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(OWN):
            await self._app(scope, receive, send)
            return
        began, root_path = self._clock(), scope.get("root_path", "")
        exchange = _Exchange(receive, send, self._clock)
        failure: BaseException | None = None
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except BaseException as error:  # passed on; it decides what is counted
            failure = error
            raise
        finally:
            self._note(scope, root_path, began, exchange, failure)

    def _note(
        self,
        scope: Scope,
        root_path: str,
        began: float,
        exchange: _Exchange,
        failure: BaseException | None,
    ) -> None:
        leaving = scope.get("extensions", {}).get(LEAVING)
        if leaving is not None and leaving.gone:  # the handler was cancelled, and heard no message
            exchange.gone = True
        status = exchange.final_status(failure)
        ended = self._clock() if failure is not None or not exchange.ended else exchange.ended
        template, path = template_of(scope, root_path), scope["path"]
        if template is None:
            counted, shown = UNMATCHED, path
        else:
            counted = shown = template if self._normalize else path
        method = _METHODS.get(scope["method"], OTHER_METHOD)
        self._book.count(ended, method, counted, shown, status, ended - began)
