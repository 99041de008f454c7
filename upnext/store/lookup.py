"""Look-up: what the store knows of a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from upnext.model.job import JobRecord
from upnext.model.status import JobStatus


def parse_record(job_id: str, reply: Mapping[bytes, bytes] | Sequence[bytes]) -> JobRecord | None:
    """A record from `HGETALL` (a map) or from a script (flat); None when there is no such job."""
    if not isinstance(reply, Mapping):
        reply = dict(zip(reply[::2], reply[1::2], strict=True))
    if not reply:
        return None

    def text(name: bytes) -> str:
        return reply.get(name, b"").decode(errors="replace")

    def number(name: bytes) -> int | None:
        value = reply.get(name)
        return int(value) if value else None

    return JobRecord(
        id=job_id,
        function=text(b"name"),
        status=JobStatus(text(b"status")),
        arguments=reply.get(b"arguments", b""),
        attempt=number(b"attempt") or 0,
        delivery=number(b"delivery") or 0,
        priority=number(b"priority") or 0,
        created_at=number(b"created") or 0,
        due_at=number(b"due"),
        claimed_at=number(b"claimed"),
        started_at=number(b"started"),
        finished_at=number(b"finished"),
        deadline=number(b"deadline"),
        parent_id=text(b"parent"),
        root_id=text(b"root") or job_id,
        rescues=number(b"rescues") or 0,
        key=text(b"key"),
        source=reply.get(b"source", b""),
        worker=text(b"worker"),
        result=reply.get(b"result", b""),
        error=reply.get(b"error", b""),
        reason=text(b"reason"),
        cancel_requested=b"cancel" in reply,
        progress=float(reply[b"progress"]) if b"progress" in reply else None,
        progress_message=text(b"message"),
        checkpoint=reply.get(b"checkpoint", b""),
        checkpoint_at=number(b"checkpoint_at"),
        time_left=number(b"left"),
        dedupe=text(b"dedupe"),
        replayed_as=text(b"replayed"),
    )
