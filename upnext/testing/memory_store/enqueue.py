"""Enqueue: accept new jobs; the twin of `enqueue.lua`."""

from __future__ import annotations

from collections.abc import Sequence

from upnext.errors import JobRefusedError, QueueFullError
from upnext.model.job import Enqueued, NewJob
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.record import Record
from upnext.testing.memory_store.taking import hand_over


def enqueue(queue: Queue, now: int, jobs: Sequence[NewJob]) -> list[Enqueued | JobRefusedError]:
    """Accept jobs of one function; one answer each, in order."""
    answers: list[Enqueued | JobRefusedError] = []
    news: list[str] = []
    answers += [_enqueue_one(queue, now, job, news) for job in jobs]
    queued = len(news)
    if queued == 1:
        hand_over(queue, now)
    elif queued:
        queue.wake()
    return answers


def _enqueue_one(
    queue: Queue, now: int, new: NewJob, news: list[str]
) -> Enqueued | JobRefusedError:
    # Submits may be sent twice when a reply was lost; the id makes the second one a no-op.
    if new.id in queue.jobs:
        return Enqueued(new.id, True)
    if new.parent_id and queue.is_cancelled(new.root_id, new.path.split()):
        return JobRefusedError(new.id, "the job tree it belongs to was cancelled")
    if new.key in queue.holders:
        holder = queue.jobs[queue.holders[new.key]]
        holder.join(new.waiter)
        return Enqueued(holder.id, False)
    if queue.room() < 1:
        return QueueFullError(new.id)

    job = queue.jobs[new.id] = Record.of(new, now)
    if job.due > now:
        queue.to_schedule(job, job.due)
    elif queue.to_lane(job, first=False):
        news.append(job.id)
    if job.key:
        queue.holders[job.key] = job.id
    if job.parent:
        queue.families.setdefault(job.root, set()).add(job.id)
    if job.deadline is not None:
        queue.deadlines[job.id] = job.deadline
    queue.emit(
        job.status.value,
        job,
        name=job.function,
        arguments=job.arguments,
        priority=job.priority,
        due=job.due,
        deadline="" if job.deadline is None else job.deadline,
        key=job.key,
        parent=job.parent,
        root=job.root,
        source=job.source,
    )
    return Enqueued(job.id, True)
