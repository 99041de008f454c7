"""HTTP/1.1: from a client's bytes to requests, answered one after the other."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol
from urllib.parse import unquote

import anyio
import httptools
from anyio.abc import TaskGroup
from attrs import Factory, define, field
from hypercorn.config import Config

from upnext.api.leaving import LEAVING
from upnext.api.ports import ASGIApp, Scope
from upnext.api.server.exchange import Exchange, Send

_VERSIONS = frozenset(("1.0", "1.1"))
_FOREIGN = frozenset(
    b"ANNOUNCE DESCRIBE FLUSH GET_PARAMETER PAUSE PLAY RECORD REDIRECT SETUP SET_PARAMETER SOURCE"
    b" TEARDOWN".split()
)
"""Methods of protocols that llhttp takes for HTTP."""
_NOTED = frozenset((b"host", b"transfer-encoding", b"expect"))


class Wire(Protocol):
    """The connection's socket, and its patience."""

    async def send(self, data: bytes, *, at_once: bool) -> None:
        """Send bytes to the client."""
        ...

    async def close(self, *, linger: bool) -> None:
        """Send no more, and read no more; `linger`: only after hearing the client out."""
        ...

    def busy(self) -> None:
        """A request is under way."""
        ...

    def rest(self) -> None:
        """None is under way any more."""
        ...


class _RefusedError(Exception):
    """A request that the parser takes, and this server does not."""


def _wires_send(http: Any) -> Send:
    return http._wire.send


@define(eq=False)
class Http1:
    """The requests of a client, parsed by llhttp; each is answered in a task of the group.

    A request whose framing is in doubt is refused, and all that follows it is ignored. One that
    asks for another protocol is left to whoever speaks it: `switching`.
    """

    app: ASGIApp
    config: Config
    state: dict[str, Any]
    client: tuple[str, int] | None
    server: tuple[str, int] | None
    _wire: Wire
    _group: TaskGroup
    send: Send = field(default=Factory(_wires_send, takes_self=True), init=False)
    current: Exchange | None = field(default=None, init=False)
    """The request that is being answered."""
    stuck: bool = field(default=False, init=False)
    """Whether to read no more until `room` returns."""
    stopping: bool = field(default=False, init=False)
    """Whether the connection ends behind the request under way."""
    refusal: int | None = field(default=None, init=False)
    """The status for what cannot be answered otherwise."""
    switching: bytes | None = field(default=None, init=False)
    """What a protocol that is not spoken here is to begin with."""
    _waiting: deque[tuple[Exchange, Scope]] = field(factory=deque[Any], init=False)
    _room: anyio.Event | None = field(default=None, init=False)
    _deaf: bool = field(default=False, init=False)
    _begun: int = field(default=0, init=False)
    _target: bytes = field(default=b"", init=False)
    _headers: list[tuple[bytes, bytes]] = field(factory=list[Any], init=False)
    _hosts: int = field(default=0, init=False)
    _coding: bytes | None = field(default=None, init=False)
    _expects: bool = field(default=False, init=False)
    incoming: Exchange | None = field(default=None, init=False)
    """The request whose body is being read."""
    _pieces: list[bytes] = field(factory=list[bytes], init=False)
    _upgrade: bytes | None = field(default=None, init=False)
    _progress: bool = field(default=False, init=False)
    _unfinished: int = field(default=0, init=False)
    """Bytes read since the last that meant something."""
    _parser: Any = field(init=False)

    @_parser.default
    def _llhttp(self) -> Any:
        return httptools.HttpRequestParser(self)

    def take(self, data: bytes) -> None:
        """Take in what the client sent; begin to answer its request if none is under way."""
        if self._deaf:
            return
        self._progress = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._deaf = True
            self.switching = (self._upgrade or b"") + data[upgrade.args[0] :]
        except httptools.HttpParserError:
            self._refuse(400)
        else:
            if self._progress or self._pieces:
                self._unfinished = 0
            else:
                self._unfinished += len(data)
                if self._unfinished > self.config.h11_max_incomplete_size:
                    self._refuse(431)
        incoming = self.incoming
        if incoming is not None:
            if self._pieces:
                self._deliver(incoming)
            if incoming is self.current and incoming.full:
                self.stuck = True
        if self.current is None and self._waiting:
            self._begin(*self._waiting.popleft())
        if self._waiting or self.refusal is not None or self.switching is not None:
            self.stuck = True

    async def room(self) -> None:
        """Wait until all that was read is under way, and there is room for more.

        Where nothing more is read, until all of it is answered. What waits is begun from here,
        and not by the request before it, whose context would be its own.
        """
        last = self.refusal is not None or self.switching is not None
        while True:
            if self.current is None:
                if not self._waiting:
                    break
                self._begin(*self._waiting.popleft())
            elif last or self._waiting or self.current.full:
                if self._room is None:
                    self._room = anyio.Event()
                await self._room.wait()
            else:
                break
        self.stuck = False

    def taken(self) -> None:
        """Let the client go on: an app took a part of a body."""
        if self._room is not None:
            self._room.set()
            self._room = None

    async def answered(self, exchange: Exchange) -> None:
        """Go on to the next request; or close, behind the last one or one that is not all here."""
        if exchange is not self.current:
            return
        self.current = None
        if exchange.last or not exchange.complete or self.stopping:
            self._deaf = True
            self._waiting.clear()
            self.refusal = self.switching = None
            await self._wire.close(linger=not exchange.complete)
        elif not self._waiting:
            self._wire.rest()
        if self._room is not None:
            self.taken()

    def leave(self) -> None:
        """Note that the client is gone."""
        self._deaf = True
        self._parser = None  # which refers to this
        self._waiting.clear()
        if self.current is not None:
            self.current.last = True
            self.current.leave()

    # What the parser calls.

    def on_url(self, url: bytes) -> None:
        """Take in a part of the request's target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in a header; those behind a body are dropped."""
        if self.incoming is not None:
            return
        name = name.lower()
        if name in _NOTED:
            if name == b"host":
                self._hosts += 1
            elif name == b"expect":
                self._expects = b"100-continue" in value.lower()
            else:  # a second one makes it no coding that is known
                self._coding = value = (self._coding or b"") + value.lower()
        self._headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Begin a request."""
        if self._deaf:
            raise _RefusedError  # it follows the last one
        self._progress = True
        parser = self._parser
        version, method, target = parser.get_http_version(), parser.get_method(), self._target
        if version not in _VERSIONS or method in _FOREIGN:
            raise _RefusedError
        http11 = version == "1.1"
        if self._hosts != 1 and (http11 or self._hosts):
            raise _RefusedError
        if self._coding is not None and not (http11 and self._coding.strip() == b"chunked"):
            raise _RefusedError
        if parser.should_upgrade():
            lines = [b"%b %b HTTP/%b\r\n" % (method, target, version.encode())]
            lines += [b"%b: %b\r\n" % header for header in self._headers]
            self._upgrade = b"".join(lines) + b"\r\n"
            return
        raw_path, _, query = target.partition(b"?")
        path = raw_path.decode("ascii")
        extensions: dict[str, Any] = {}
        scope = {
            "type": "http",
            "http_version": version,
            "asgi": {"spec_version": "2.1", "version": "3.0"},
            "method": method.decode(),
            "scheme": "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": self._headers,
            "client": self.client,
            "server": self.server,
            "state": self.state.copy(),
            "extensions": extensions,
        }
        self._begun += 1
        last = (
            not (http11 and parser.should_keep_alive())
            or self._begun >= self.config.keep_alive_max_requests
        )
        exchange = Exchange(self, last, http11, http11 and self._expects, method == b"HEAD")
        extensions[LEAVING] = self.incoming = exchange
        self._waiting.append((exchange, scope))
        self._target, self._headers, self._hosts = b"", [], 0
        self._coding, self._expects = None, False

    def on_body(self, data: bytes) -> None:
        """Take in a part of the body."""
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        """End a request."""
        exchange, self.incoming = self.incoming, None
        if exchange is None:
            return
        self._progress = exchange.complete = True
        self._deaf = exchange.last
        self._deliver(exchange)

    # What they need.

    def _deliver(self, exchange: Exchange) -> None:
        pieces = self._pieces
        exchange.put(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        pieces.clear()

    def _begin(self, exchange: Exchange, scope: Scope) -> None:
        self.current = exchange
        self._wire.busy()
        if self.stopping:
            exchange.last = True
        self._group.start_soon(exchange.run, self.app, scope)

    def _refuse(self, status: int) -> None:
        """Answer with a status, unless the request that came last ended the connection anyway."""
        incoming, self.incoming = self.incoming, None
        self._pieces.clear()
        if self._deaf:
            return
        self._deaf = True
        if incoming is None:
            self.refusal = status
        elif incoming is not self.current:  # nobody heard of it yet
            self._waiting.pop()
            self.refusal = status
        else:
            self.current = None
            self.refusal = 0 if incoming.begun else status
            incoming.forsake()
