"""The queue's own bookkeeping, as it must fit the records."""

from __future__ import annotations

from collections import Counter

from tests.property.rig import FUNCTIONS, KEYS, Rig
from upnext.model.job import JobRecord
from upnext.model.status import JobStatus


def check_books(rig: Rig, records: list[JobRecord]) -> None:
    """The queue's own bookkeeping fits the records."""
    for name in FUNCTIONS:
        prefix, client = KEYS.function(name), rig.client
        mine = [record for record in records if record.function == name]
        live = [record for record in mine if not record.status.is_terminal()]
        count = Counter(record.status for record in mine)
        entries, claimed = rig.in_lanes(name)
        assert claimed == count[JobStatus.RUNNING]
        assert entries == count[JobStatus.RUNNING] + count[JobStatus.QUEUED]
        assert client.zcard(prefix + "scheduled") == count[JobStatus.SCHEDULED]
        marks = {
            key.decode().removeprefix(prefix + "key:"): client.get(key).decode()
            for key in client.keys(_escaped(prefix) + "key:*")
        }
        assert marks == {record.key: record.id for record in live if record.key}
        for root in {record.root_id for record in mine if record.parent_id}:
            family = {member.decode() for member in client.smembers(f"{prefix}family:{root}")}
            assert family == {
                record.id for record in live if record.parent_id and record.root_id == root
            }
        limits = {record.id: record.deadline for record in live if record.deadline is not None}
        indexed = dict(client.zrange(prefix + "deadlines", 0, -1, withscores=True))
        assert {key.decode() for key in indexed} <= limits.keys()
        for record in live:
            if record.deadline is not None and record.status is not JobStatus.RUNNING:
                assert indexed[record.id.encode()] == record.deadline
        queue = rig.model.queues.get(prefix)
        dead = {
            key.decode(): at for key, at in client.zrange(prefix + "dead", 0, -1, withscores=True)
        }
        assert dead == (queue.dead if queue else {})


def _escaped(pattern: str) -> str:
    return "".join(f"\\{char}" if char in "[]*?^\\" else char for char in pattern)
