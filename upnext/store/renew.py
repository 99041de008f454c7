"""Renew: keep the leases of held jobs, and learn which are held no longer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from upnext.contracts.keys import Keys
from upnext.model.job import Held, Revoked
from upnext.redis.library import Call

MOST_PER_CALL = 1_000
"""Leases in one script call; Lua cannot pass many more entries to one command."""


def renew_calls(keys: Keys, worker: str, held: Iterable[Held]) -> list[Call]:
    """Calls of one function each."""
    by_function: dict[str, list[Any]] = {}
    for claim in held:
        by_function.setdefault(claim.function, []).extend((claim.id, claim.delivery))
    return [
        Call("renew", (keys.function(function),), (worker, *words[i : i + 2 * MOST_PER_CALL]))
        for function, words in by_function.items()
        for i in range(0, len(words), 2 * MOST_PER_CALL)
    ]


def parse_revoked(reply: list[bytes]) -> list[Revoked]:
    """The jobs that are not to be run on."""
    return [
        Revoked(
            reply[i].decode(),
            int(reply[i + 1]),
            reply[i + 2] == b"lost",
            reply[i + 3].decode(errors="replace"),
        )
        for i in range(0, len(reply), 4)
    ]
