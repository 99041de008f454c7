"""Replay: make new jobs of dead letters; the twin of `replay.lua`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from upnext.model.dedupe import DedupeKind
from upnext.model.job import Replayed, ReplayVerdict
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.record import Record
from upnext.testing.memory_store.submitting import accept
from upnext.testing.memory_store.taking import hand_over


def replay(queue: Queue, now: int, letters: Sequence[tuple[str, str]]) -> list[Replayed]:
    """Replay letters, each given as its id and the new job's id; one answer each."""
    news: list[str] = []
    answers = [_replay_one(queue, now, old, new, news) for old, new in letters]
    if len(news) == 1:
        hand_over(queue, now)
    elif news:
        queue.wake()
    return answers


def _replay_one(queue: Queue, now: int, old_id: str, new_id: str, news: list[str]) -> Replayed:
    old = queue.jobs.get(old_id)
    if old is not None and old.replayed_as:
        return Replayed(ReplayVerdict.REPEATED, old.replayed_as)
    if old is None or old_id not in queue.dead:
        return Replayed(ReplayVerdict.MISSING, old_id)
    rerun = old.dedupe if old.dedupe and old.dedupe.kind is DedupeKind.RERUN else None
    holder = queue.holders.get(old.key) if old.key else None
    if holder is None and rerun is not None:
        holder = queue.marks.holders.get(rerun.mark)
    if holder is not None:
        return Replayed(ReplayVerdict.HELD, holder)
    if queue.room() < 1:
        return Replayed(ReplayVerdict.FULL, old_id)
    source = {"type": "replay", "job_id": old_id, "failed_at": queue.dead.pop(old_id)}
    job = Record(
        id=new_id,
        function=old.function,
        arguments=old.arguments,
        priority=old.priority,
        created=now,
        due=now,
        deadline=None,
        key=old.key,
        parent="",
        root="",
        source=json.dumps(source, separators=(",", ":")).encode(),
        path="",
        waiters=[],
        dedupe=rerun,
        caching=old.caching,
        keys=old.keys,
    )
    if accept(queue, now, job):
        news.append(new_id)
    old.replayed_as = new_id
    queue.live_until(old, now + queue.bounds.record_ttl)
    return Replayed(ReplayVerdict.REPLAYED, new_id)
