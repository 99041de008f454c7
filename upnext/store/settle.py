"""Settle: write down how attempts ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from upnext.contracts.keys import Keys
from upnext.model.outcome import Ending, Outcome, Settled
from upnext.redis.library import Call
from upnext.store.bounds import Bounds

MOST_PER_CALL = 250
"""Outcomes in one script call: the server serves nobody else while a script runs."""


def settle_calls(
    keys: Keys, bounds: Bounds, worker: str, outcomes: Sequence[Outcome]
) -> list[tuple[Call, list[int]]]:
    """Calls of one function each, with the positions of their outcomes in `outcomes`."""
    batches: list[tuple[Call, list[int]]] = []
    unfilled: dict[str, tuple[list[Any], list[int]]] = {}
    for position, outcome in enumerate(outcomes):
        held = outcome.held
        batch = unfilled.get(held.function)
        if batch is None or len(batch[1]) == MOST_PER_CALL:
            batch = unfilled[held.function] = (
                [
                    worker,
                    bounds.events_kept,
                    bounds.record_ttl,
                    bounds.dead_ttl,
                    bounds.dead_most,
                ],
                [],
            )
            batches.append((Call("settle", (keys.function(held.function),), batch[0]), batch[1]))
        arguments = batch[0]
        if outcome.ending is Ending.COMPLETE and not (outcome.error or outcome.reason):
            # Most outcomes, in as few words as they need.
            arguments += (held.id, held.delivery, "done", outcome.duration, outcome.result)
        else:
            arguments += (held.id, held.delivery, outcome.ending, outcome.duration, outcome.result)
            dead = 1 if outcome.dead_letter else 0
            arguments += (outcome.error, outcome.delay, outcome.reason, dead)
        batch[1].append(position)
    return batches


def parse_settled(reply: Sequence[bytes]) -> list[Settled | str]:
    """One answer per outcome; a plain string says what went wrong with that one job."""
    return [_ANSWERS.get(word) or word.decode(errors="replace") for word in reply]


_ANSWERS = {answer.value.encode(): answer for answer in Settled}
