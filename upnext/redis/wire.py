"""RESP3 on the wire, by hiredis: commands to bytes, bytes to replies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any, Final, cast

import hiredis
from redis.exceptions import InvalidResponse

from upnext.redis.faults import reply_error

Command = Sequence[Any]
"""The words of one command: each str, bytes, int or float."""

# hiredis' own annotation says that a command has one word.
_pack = cast("Callable[[tuple[Any, ...]], bytes]", getattr(hiredis, "pack_command"))  # noqa: B009


class _Nothing(Enum):
    YET = 0


_NOTHING_YET: Final = _Nothing.YET  # not None, which is a reply


def pack(commands: Sequence[Command]) -> bytes:
    """The bytes of some commands.

    Raises:
        TypeError: A word is something else than str, bytes, int or float.
    """
    if len(commands) == 1:
        return _pack(tuple(commands[0]))
    return b"".join([_pack(tuple(words)) for words in commands])


class Parser:
    """Owns the bytes of a reply that has not come whole yet."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=reply_error, notEnoughData=_NOTHING_YET
        )

    def replies(self, data: bytes) -> Iterator[Any]:
        """Parse received bytes into whole replies and pushes; error replies are exceptions.

        Raises:
            redis.exceptions.InvalidResponse: This is not RESP.
        """
        self._reader.feed(data)
        gets = self._reader.gets
        while (reply := gets()) is not _NOTHING_YET:
            yield reply
