"""A claimed job on its way to the worker: the row of a reply, and the message that hands it over.

The row is `{id, arguments, attempt, delivery, created}`; with more to the job than that,
`{..., priority, deadline, parent, root, rescues, key, source, checkpoint, path}`
follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from upnext.model.job import Job


def job_of(function: str, row: Sequence[Any], now: int) -> Job:
    """A row, its values as bytes or numbers, claimed at `now`, Unix milliseconds.

    What is damaged in a text is replaced: a row that raised would take all others with it.
    """
    job_id = str(row[0], "utf-8", "replace")
    job = Job(  # a plain one, as most are
        id=job_id,
        function=function,
        arguments=row[1],
        attempt=int(row[2]),
        delivery=int(row[3]),
        priority=0,
        created_at=int(row[4]),
        claimed_at=now,
        deadline=None,
        parent_id="",
        root_id=job_id,
        rescues=0,
        key="",
        source=b"",
    )
    if len(row) > 5:
        priority, deadline, parent, root, rescues, key, job.source, job.checkpoint, path = row[5:]
        job.priority, job.rescues = int(priority), int(rescues)
        job.deadline = int(deadline) if deadline else None
        job.parent_id = str(parent, "utf-8", "replace")
        job.root_id = str(root, "utf-8", "replace") or job_id
        job.key, job.path = str(key, "utf-8", "replace"), str(path, "utf-8", "replace")
    return job


def row_of(job: Job) -> list[bytes]:
    """The row of a job."""
    values = (
        job.id,
        job.arguments,
        job.attempt,
        job.delivery,
        job.created_at,
        job.priority,
        "" if job.deadline is None else job.deadline,
        job.parent_id,
        "" if job.root_id == job.id else job.root_id,
        job.rescues,
        job.key,
        job.source,
        job.checkpoint,
        job.path,
    )
    return [value if isinstance(value, bytes) else str(value).encode() for value in values]


def pack_handed(prefix: str, now: int, row: Sequence[bytes]) -> bytes:
    """The message that hands a job to a worker unasked.

    `job <prefix> <now> <length of each value...>`, a line feed, and the values one after another.
    """
    sizes = " ".join(str(len(value)) for value in row)
    return f"job {prefix} {now} {sizes}\n".encode() + b"".join(row)


def unpack_handed(message: bytes) -> tuple[str, int, list[bytes]]:
    """The function's prefix, the store's time and the row in such a message."""
    head, _, body = message.partition(b"\n")
    _, prefix, now, *sizes = head.split(b" ")
    row: list[bytes] = []
    start = 0
    for size in sizes:
        end = start + int(size)
        row.append(body[start:end])
        start = end
    return prefix.decode(), int(now), row
