"""Replay: make new jobs of dead letters."""

from __future__ import annotations

from collections.abc import Sequence

from upnext.contracts.keys import Keys
from upnext.model.job import Replayed, ReplayVerdict
from upnext.redis.library import Call
from upnext.store.bounds import Bounds

MOST_PER_CALL = 100
"""Letters in one script call: the server serves nobody else while a script runs."""


def replay_calls(
    keys: Keys, bounds: Bounds, function: str, letters: Sequence[tuple[str, str]]
) -> list[Call]:
    """Replay letters of one function; each is its id and the id of the job to make of it.

    Sent again it changes nothing: a letter that was replayed is none any more, and says as what.
    """
    return [
        Call(
            "replay",
            (keys.function(function),),
            (
                bounds.events_kept,
                bounds.record_ttl,
                bounds.most_waiting,
                *(word for pair in letters[i : i + MOST_PER_CALL] for word in pair),
            ),
        )
        for i in range(0, len(letters), MOST_PER_CALL)
    ]


def parse_replayed(reply: list[bytes]) -> list[Replayed]:
    """One answer per letter."""
    return [
        Replayed(ReplayVerdict(verdict.decode()), job_id.decode())
        for verdict, job_id in zip(reply[::2], reply[1::2], strict=True)
    ]
