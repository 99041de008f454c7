"""Report: write down what running jobs say of themselves; the twin of `report.lua`."""

from __future__ import annotations

import time

from upnext.model.report import Entry, Progress, Report, ReportKind, Reports, Written
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.record import Record


def report(queue: Queue, now: int, worker: str, said: Reports) -> Written:
    """Write down what one job says, if this delivery runs it."""
    job = queue.jobs.get(said.held.id)
    if job is None or not job.is_held(worker, said.held.delivery):
        return Written.STALE
    last = job.reported[1] if job.reported and job.reported[0] == job.delivery else 0
    heard: set[str] = set()
    for one in said.reports:
        if one.number > last:
            last = one.number
            heard.add(one.kind.value)
            age = max(0, int((time.monotonic() - one.made_at) * 1000))
            _write(queue, job, worker, one, now - age)
    job.started, job.reported = max(said.started, job.claimed or 0), (job.delivery, last)
    if heard:
        queue.publish(f"{queue.prefix}said:{job.id}", " ".join(sorted(heard)).encode())
    return Written.APPLIED


def _write(queue: Queue, job: Record, worker: str, one: Report, at: int) -> None:
    event: dict[str, str | int | bytes] = {}
    match one.kind:
        case ReportKind.PROGRESS:
            job.progress = Progress(float(one.payload), one.text, at)
            event = {"progress": one.payload, "message": one.text}
        case ReportKind.CHECKPOINT:
            job.checkpoint, job.checkpoint_at = one.payload, at
            event = {"checkpoint": one.payload}
        case ReportKind.LOG:
            job.log.append(_entry(job, one, at, "log"), queue.bounds.log_bytes)
            event = {"n": one.count, "line": one.payload}
        case ReportKind.OUTPUT:
            job.out.append(_entry(job, one, at, one.text), queue.bounds.output_bytes)
            return
    queue.emit(
        one.kind.value,
        job,
        attempt=job.attempt,
        delivery=job.delivery,
        worker=worker,
        said=at,
        **event,
    )


def _entry(job: Record, one: Report, at: int, kind: str) -> Entry:
    return Entry(
        id=f"{job.delivery}-{one.number}",
        attempt=job.attempt,
        number=one.count,
        at=at,
        kind=kind,
        payload=one.payload,
    )
