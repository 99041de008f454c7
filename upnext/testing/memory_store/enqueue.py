"""Enqueue: accept new jobs; the twin of `enqueue.lua`."""

from __future__ import annotations

from collections.abc import Sequence

from upnext.errors import JobRefusedError, QueueFullError
from upnext.model.dedupe import Dedupe, DedupeKind, Meeting, meeting, put_off
from upnext.model.job import Enqueued, NewJob
from upnext.model.status import JobStatus
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.record import Record, deadline_of
from upnext.testing.memory_store.submitting import accept, tell_accepted
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
    if holder := _joined(queue, queue.holders.get(new.key) if new.key else None, new):
        return Enqueued(holder.id, False)

    caching, makes, behind = new.caching, False, False
    record = Record.of(new, now)
    if caching is not None:
        cached = None if caching.fresh else queue.marks.cache.get(caching.key)
        if cached is not None:
            _complete_at_once(queue, now, record, cached)
            return Enqueued(new.id, True)
        makes = new.dedupe is None and record.due <= now
        maker = queue.marks.makers.get(caching.key) if makes and not caching.fresh else None
        if holder := _joined(queue, maker, new):
            return Enqueued(holder.id, False)
    if new.dedupe is not None:
        holder_id, behind = _meet(queue, now, new, new.dedupe)
        if holder_id is not None:
            return Enqueued(holder_id, False)

    if queue.room() < 1:
        return QueueFullError(new.id)
    if accept(queue, now, record, behind=behind):
        news.append(new.id)
    if makes and caching is not None:
        queue.marks.makers[caching.key] = new.id
    return Enqueued(new.id, True)


def _joined(queue: Queue, holder_id: str | None, new: NewJob) -> Record | None:
    """The unfinished job that a mark names, which the new waiter joins."""
    holder = queue.jobs.get(holder_id) if holder_id else None
    if holder is None or holder.status.is_terminal():
        return None
    holder.join(new.waiter)
    return holder


def _meet(queue: Queue, now: int, new: NewJob, dedupe: Dedupe) -> tuple[str | None, bool]:
    """The job that a submit joins, if any; else whether it waits for another one to end."""
    holder_id = queue.marks.holders.get(dedupe.mark)
    if holder_id is None:
        return None, False
    holder = queue.jobs.get(holder_id)
    status, delivery = (None, 0) if holder is None else (holder.status, holder.delivery)
    match meeting(dedupe.kind, status, delivery):
        case Meeting.NEW:
            return None, False
        case Meeting.JOIN:
            if holder is not None and not holder.status.is_terminal():
                holder.join(new.waiter)
            return holder_id, False
        case Meeting.FOLLOW:
            follower_id = queue.marks.after.get(dedupe.key)
            if follower_id is None:
                return None, True
            holder = queue.jobs[follower_id]
        case Meeting.REPLACE:
            pass
    assert holder is not None
    if dedupe.kind is DedupeKind.DEBOUNCE:
        due, before = put_off(now, dedupe.window, holder.created, dedupe.most), holder.due
        if due < before:
            queue.to_schedule(holder, due)
        else:
            holder.due = queue.scheduled[holder.id] = due
    _replace(queue, holder, new, now)
    return holder.id, False


def _replace(queue: Queue, job: Record, new: NewJob, now: int) -> None:
    """A later submit's turn: its arguments, deadline and, where it stands in no line, keys."""
    job.arguments = new.arguments
    if job.status is JobStatus.SCHEDULED and new.limit_keys:
        job.keys = new.limit_keys
    queue.limit(job, deadline_of(new, now))
    job.join(new.waiter)
    queue.emit(
        "replaced",
        job,
        arguments=job.arguments,
        due=job.due,
        deadline="" if job.deadline is None else job.deadline,
    )


def _complete_at_once(queue: Queue, now: int, job: Record, result: bytes) -> None:
    """A job that is over as soon as it is accepted: its result is there already."""
    job.key, job.due, job.dedupe, job.caching = "", now, None, None
    queue.jobs[job.id] = job
    tell_accepted(queue, job, "queued")
    queue.finish(job, now, JobStatus.COMPLETE, result=result, reason="cached")
