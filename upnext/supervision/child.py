"""A child process, as its parent has it."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import Process
from attrs import define, field

from upnext.errors import ConfigurationError
from upnext.redis.embedded import EmbeddedServerError
from upnext.supervision import messages
from upnext.supervision.listeners import Listeners

__all__ = ["ChildProcess", "ChildProcesses"]

logger = logging.getLogger("upnext.supervision")

CHUNK = 65536


@define(eq=False)
class ChildProcess:
    """One process and the parent's end of the socket to it."""

    _owner: ChildProcesses
    _process: Process
    _number: int
    _socket: socket.socket
    """Open until the process is gone: its end tells the child that its parent is."""
    _declared: dict[str, Any] = field(factory=dict[str, Any], init=False)
    """What it said that it is going to run."""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    async def attend(self, on_ready: Callable[[], None]) -> int:
        """Answer what it asks and hear when it is ready, until it ends; return its exit code."""
        try:
            async with anyio.create_task_group() as listening:
                listening.start_soon(self._listen, on_ready)
                # Not the end of the socket: whoever the child forked may hold that open.
                await self._process.wait()
                listening.cancel_scope.cancel()
        finally:
            if self.ended:
                self._socket.close()
        return await self.wait()

    async def wait(self) -> int:
        """Wait for its end, while nobody attends it; return its exit code."""
        code = await self._process.wait()
        self._socket.close()
        return code

    def stop(self) -> None:
        """Send SIGTERM: a process that is ready drains, one that is not yet ends at once."""
        self._signal(signal.SIGTERM)

    def stop_now(self) -> None:
        """Tell it to hand back what runs."""
        # Not by a second signal, which could come too soon after the first to count.
        with suppress(OSError):  # it is gone, or takes nothing any more and will be killed
            self._socket.send(messages.encode(messages.NOW))

    def kill(self) -> None:
        """Send SIGKILL."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _listen(self, on_ready: Callable[[], None]) -> None:
        lines = messages.Lines()
        while True:
            await anyio.wait_readable(self._socket)
            try:
                data = self._socket.recv(CHUNK)
                if not data:
                    return
                for message in lines.feed(data):
                    await self._heed(message, on_ready)
            except BlockingIOError:
                continue
            except (OSError, ValueError) as error:
                logger.warning(
                    "process %d (pid %d) talks no more: %s", self._number, self.pid, error
                )
                return

    async def _heed(self, message: dict[str, Any], on_ready: Callable[[], None]) -> None:
        match message:
            case {"kind": messages.LISTEN, "name": str(name), "host": str(host), "port": int(port)}:
                try:
                    lent = self._owner.listeners.lend(name, host, port)
                except ConfigurationError as error:
                    self._answer([], error=str(error))
                else:
                    self._answer([listening.fileno() for listening in lent])
            case {"kind": messages.EMBED}:
                try:
                    await self._owner.embed()
                except EmbeddedServerError as error:
                    self._answer([], error=str(error))
                else:
                    self._answer([])
            case {"kind": messages.DECLARED}:
                self._declared = message["facts"]
                self._owner.on_declared(self._number, self._declared)
            case {"kind": messages.READY}:
                self._owner.on_started(self._number, self._declared)
                on_ready()
            case _:
                raise ValueError(f"unknown message {message}")

    def _answer(self, descriptors: Sequence[int], error: str | None = None) -> None:
        # Small enough for the socket's buffer: the child waits for each answer.
        line = messages.encode("answer", error=error)
        if descriptors:
            socket.send_fds(self._socket, [line], descriptors)
        else:
            self._socket.send(line)


@define(eq=False)
class ChildProcesses:
    """Starts children, and owns what they share.

    Args:
        command: The words that start one.
        listeners: The sockets they accept on.
        embed: Hold the embedded server, once; raises EmbeddedServerError.
        declared: Told what the first one is going to run, as soon as that is known.
        started: Told the same, when the first one runs it.
    """

    command: Sequence[str]
    listeners: Listeners
    embed_now: Callable[[], None]
    declared: Callable[[dict[str, Any]], None]
    started: Callable[[dict[str, Any]], None]
    environment: Mapping[str, str] = field(factory=dict[str, str])
    """What is set for them besides."""
    _embedding: anyio.Lock = field(factory=anyio.Lock, init=False)

    def begin(self) -> None:
        self.listeners.begin()

    def settle(self) -> None:
        self.listeners.drop_unwanted()

    async def start(self, number: int) -> ChildProcess:
        """Start one."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                ours.setblocking(False)
                process = await anyio.open_process(
                    self.command,
                    stdin=None,
                    stdout=None,
                    stderr=None,
                    env={**os.environ, **self.environment, messages.VARIABLE: f"{theirs.fileno()}"},
                    pass_fds=(theirs.fileno(),),
                    # A Ctrl-C of the terminal is for the parent alone, which passes it on.
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        return ChildProcess(self, process, number, ours)

    async def embed(self) -> None:
        """Keep the embedded server up until the service ends."""
        async with self._embedding:
            await anyio.to_thread.run_sync(self.embed_now)

    def on_declared(self, number: int, facts: dict[str, Any]) -> None:
        if number == 1:
            self.declared(facts)

    def on_started(self, number: int, facts: dict[str, Any]) -> None:
        if number == 1:
            self.started(facts)
