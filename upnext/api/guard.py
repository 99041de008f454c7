"""What every request is put through, whichever app answers it: its deadline, its failure."""

from __future__ import annotations

import math
import time

import anyio
from attrs import define

from upnext.api.answers import dump
from upnext.api.ports import ASGIApp, Message, Receive, Scope, Send
from upnext.api.web.app import failure_body, log_failure
from upnext.client.inherited import request_deadline

HEADER = b"x-request-timeout"


@define(eq=False)
class _Answering:
    """Passes an answer on, and knows whether it began."""

    send: Send
    deadline: anyio.CancelScope | None = None
    begun: bool = False

    async def __call__(self, message: Message) -> None:
        if not self.begun:
            self.begun = True
            if self.deadline is not None:  # it is for the handler; a stream may take its time
                self.deadline.deadline = math.inf
        await self.send(message)


def guarded(app: ASGIApp, longest: float | None) -> ASGIApp:
    """An app whose requests have deadlines, and whose failures are answered with an id.

    Args:
        app: What answers.
        longest: Seconds that a handler may take; None: as long as it likes, unless the client
            sends `X-Request-Timeout`.
    """

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        answering = _Answering(send)
        try:
            limit = longest
            for name, value in scope["headers"]:
                if name == HEADER:
                    limit = _shorter(value, longest)
            if limit is None:
                await app(scope, receive, answering)
                return
            token = request_deadline.set(time.monotonic() + limit)
            try:
                with anyio.move_on_after(limit) as answering.deadline:
                    await app(scope, receive, answering)
            finally:
                request_deadline.reset(token)
            if answering.deadline.cancelled_caught:
                await _refuse(send, 504, f"not done within {limit:g} seconds")
        except _BadTimeoutError as error:
            await _refuse(send, 400, str(error))
        except Exception as error:  # whatever the app raised: the client gets an id
            error_id = log_failure(error, scope["method"], scope["path"])
            if answering.begun:
                raise  # the answer is cut short, which the client can see
            await _refuse(send, 500, failure_body(error_id))

    return guard


class _BadTimeoutError(Exception):
    pass


def _shorter(value: bytes, longest: float | None) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise _BadTimeoutError("X-Request-Timeout must be a number of seconds, more than 0")
    return seconds if longest is None else min(seconds, longest)


async def _refuse(send: Send, status: int, body: bytes | str) -> None:
    data = body if isinstance(body, bytes) else dump({"detail": body})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(data)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data, "more_body": False})
