"""Calls the functions of a library on the server, and loads it where it is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define, field, frozen
from redis import exceptions as known

from upnext.redis.faults import FunctionMissingError
from upnext.redis.link import Link
from upnext.redis.wire import Command

Word = str | bytes | int | float

LOADS = 3
"""How often a library is loaded for one call: somebody may flush it again in between."""


@frozen
class Library:
    """Functions written in Lua, loaded into the server as one unit.

    Attributes:
        name: Its name on the server; carries its version, so that programs of two versions can
            share a server.
        source: ``#!lua name=<name>``, a newline, and the code, which registers each function
            as ``<name>_<verb>``.
    """

    name: str
    source: str = field(repr=False)

    def command(self, call: Call) -> tuple[Word, ...]:
        """The words of the command that makes a call."""
        keys = call.keys
        return ("FCALL", f"{self.name}_{call.verb}", len(keys), *keys, *call.args)

    def load_command(self) -> tuple[Word, ...]:
        """The words of the command that loads the library."""
        return ("FUNCTION", "LOAD", self.source)


@define  # not frozen: made for every job, and freezing doubles the cost
class Call:
    """One call of a function.

    Attributes:
        verb: The function's name without the library's.
        keys: The keys it touches.
        args: Its other arguments.
    """

    verb: str
    keys: Sequence[Word] = ()
    args: Sequence[Word] = ()


class Caller:
    """Calls a library's functions over a link."""

    def __init__(self, link: Link, library: Library) -> None:
        self._link = link
        self._library = library

    async def call(
        self,
        verb: str,
        keys: Sequence[Word] = (),
        args: Sequence[Word] = (),
        *,
        idempotent: bool = False,
    ) -> Any:
        """Call one function and return its reply; errors and cancellation as ``Link.execute``.

        Args:
            verb: The function's name without the library's.
            keys: The keys it touches.
            args: Its other arguments.
            idempotent: It may be called again when its outcome is unknown.
        """
        (reply,) = await self.call_many((Call(verb, keys, args),), idempotent=idempotent)
        return reply

    async def call_many(
        self,
        calls: Sequence[Call],
        *,
        idempotent: bool = False,
        others_first: bool = False,
        prompt: bool = False,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """Make several calls in one write; not a transaction.

        Args:
            calls: What to call.
            idempotent: All of it may be called again when its outcome is unknown.
            others_first: What is published reaches its subscribers before this is answered; as
                for ``Link.execute_many``.
            prompt: Write at once instead of waiting for others to join; as there.
            return_exceptions: Leave error replies in their place instead of raising the first.
        """
        commands = [self._library.command(call) for call in calls]
        replies = await self._link.execute_many(
            commands, idempotent=idempotent, others_first=others_first, prompt=prompt
        )
        for reply in replies:
            if isinstance(reply, Exception):
                await self._load(commands, replies, idempotent)
                return replies if return_exceptions else raise_first(replies)
        return replies

    async def _load(
        self, commands: Sequence[Command], replies: list[Any], idempotent: bool
    ) -> None:
        """Load the library if it is missing, and put the replies of repeated calls in place."""
        for _ in range(LOADS):
            if not (missing := not_found(replies)):
                return
            # They were not executed, so even what is not idempotent may be called again.
            repeat = [self._library.load_command(), *[commands[i] for i in missing]]
            loaded, *again = await self._link.execute_many(repeat, idempotent=idempotent)
            allow_racing_loader(loaded)
            put(replies, missing, again)


def not_found(replies: Sequence[Any]) -> list[int]:
    """The places of the calls whose function the server did not know."""
    return [i for i, reply in enumerate(replies) if isinstance(reply, FunctionMissingError)]


def put(replies: list[Any], places: Sequence[int], later: Sequence[Any]) -> None:
    """Put the replies of repeated calls where they belong."""
    for place, reply in zip(places, later, strict=True):
        replies[place] = reply


def raise_first(replies: list[Any]) -> list[Any]:
    """The replies, if none of them is an error."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def allow_racing_loader(reply: Any) -> None:
    """Raise what FUNCTION LOAD answered, unless somebody else was faster."""
    if not isinstance(reply, Exception):
        return
    if isinstance(reply, known.ResponseError) and "already exists" in str(reply):
        return
    raise reply
