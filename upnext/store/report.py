"""Report: write down what running jobs say of themselves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from upnext.contracts.keys import Keys
from upnext.model.report import Reports, Written
from upnext.redis.library import Call
from upnext.store.bounds import Bounds


def report_calls(
    keys: Keys, bounds: Bounds, worker: str, batch: Sequence[Reports]
) -> list[tuple[Call, list[int]]]:
    """Calls of one function each, with the positions of their jobs in `batch`."""
    now = time.monotonic()
    calls: dict[str, tuple[list[Any], list[int]]] = {}
    for position, job in enumerate(batch):
        held = job.held
        if held.function not in calls:
            limits = [worker, bounds.events_kept, bounds.log_bytes, bounds.output_bytes]
            calls[held.function] = (limits, [])
        words, positions = calls[held.function]
        words += (held.id, held.delivery, job.started, len(job.reports))
        for one in job.reports:
            age = max(0, int((now - one.made_at) * 1000))
            words += (one.number, one.kind, age, one.count, one.text, one.payload)
        positions.append(position)
    return [
        (Call("report", (keys.function(function),), words), positions)
        for function, (words, positions) in calls.items()
    ]


def parse_written(reply: Sequence[bytes]) -> list[Written | str]:
    """One answer per job; a plain string says what went wrong with that one job."""
    return [_ANSWERS.get(word) or word.decode(errors="replace") for word in reply]


_ANSWERS = {answer.value.encode(): answer for answer in Written}
