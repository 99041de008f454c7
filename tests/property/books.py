"""The queue's own bookkeeping, held against the records and against the model."""

from __future__ import annotations

from collections import Counter, defaultdict

from attrs import evolve

from tests.property.rig import BOUNDS, FUNCTIONS, KEYS, Rig
from upnext.model.dedupe import DedupeKind
from upnext.model.job import JobRecord
from upnext.model.status import JobStatus
from upnext.testing.memory_store.marks import Marks

_MARKED = ("key", "after", "maker", "cache", *DedupeKind)
_PERMANENT = ("lanes", "share", "definition", "dead", "dropped", "journal", "order")
"""What stays of a function for ever: few and small."""


def check_books(rig: Rig, name: str, records: list[JobRecord]) -> set[str]:
    """Everything of one function fits; the answer is its dead letters."""
    prefix, client = KEYS.function(name), rig.client
    mine = [record for record in records if record.function == name]
    live = [record for record in mine if not record.status.is_terminal()]
    count = Counter(record.status for record in mine)
    entries, claimed = rig.in_lanes(name)
    assert claimed == count[JobStatus.RUNNING]
    assert entries == count[JobStatus.RUNNING] + count[JobStatus.QUEUED]
    followers = {member.decode() for member in client.smembers(prefix + "followers")}
    assert client.zcard(prefix + "scheduled") + len(followers) == count[JobStatus.SCHEDULED]
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
    model = queue.marks if queue else Marks()
    marks = _marks(rig, prefix)
    assert marks["key"] == {record.key: record.id for record in live if record.key}
    assert (followers, marks["after"], marks["maker"]) == (
        model.followers,
        model.after,
        model.makers,
    )
    assert marks["cache"] == {
        key: result.decode(errors="replace") for key, result in model.cache.items()
    }
    assert model.holders == {
        f"{kind.value}:{key}": job_id for kind in DedupeKind for key, job_id in marks[kind].items()
    }
    _check_kinds(live, followers)
    dead = {key.decode(): at for key, at in client.zrange(prefix + "dead", 0, -1, withscores=True)}
    assert dead == (queue.dead if queue else {})
    return set(dead)


def check_step(
    rig: Rig, before: JobRecord | None, after: JobRecord | None, *, letter: bool
) -> None:
    """What became of one job is allowed; `letter`: it was a dead letter."""
    if before is None:
        return
    if after is None:
        assert before.finished_at is not None, f"{before.id} is missing"
        lives = BOUNDS.dead_ttl if letter else BOUNDS.record_ttl
        assert rig.server.now > before.finished_at + lives, f"{before.id} went too early"
        return
    moved = after.status is not before.status
    assert not moved or before.status.can_transition_to(after.status)
    assert after.delivery >= before.delivery, "a fence fell"
    if before.status.is_terminal():
        same = evolve(before, replayed_as=before.replayed_as or after.replayed_as)
        assert after == same, "what is over changed"


def check_what_is_left(rig: Rig) -> None:
    """Nothing but permanent keys are left."""
    left = {key.decode() for key in rig.client.keys("*")}
    permanent = {KEYS.functions, KEYS.families}
    for name in FUNCTIONS:
        prefix = KEYS.function(name)
        permanent |= {prefix + suffix for suffix in _PERMANENT}
        permanent |= set(rig.lanes(name))
    assert left <= permanent, "keys leaked"


def _check_kinds(live: list[JobRecord], followers: set[str]) -> None:
    """What two kinds of deduplication promise, by the records alone."""
    waiting: Counter[str] = Counter()
    for record in live:
        if record.dedupe.startswith(DedupeKind.RERUN):
            same = [other for other in live if other.dedupe == record.dedupe]
            assert len(same) <= 2, "more than one runs, or more than one waits"
            assert sum(other.delivery > 0 for other in same) <= 1, "two of one key have started"
            waits = len(same) == 2 and not record.delivery
            assert waits == (record.id in followers), "it waits for the other one alone"
        elif record.dedupe.startswith(DedupeKind.DEBOUNCE) and not record.delivery:
            waiting[record.dedupe] += record.status is JobStatus.SCHEDULED
    assert max(waiting.values(), default=0) <= 1, "two debounced jobs wait for one key"


def _marks(rig: Rig, prefix: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for raw in rig.client.keys(escaped(prefix) + "*"):
        kind, colon, key = raw.decode().removeprefix(prefix).partition(":")
        if colon and kind in _MARKED and (value := rig.client.get(raw)) is not None:
            found[kind][key] = value.decode(errors="replace")
    return found


def escaped(pattern: str) -> str:
    """A text as a pattern that means itself."""
    return "".join(f"\\{char}" if char in "[]*?^\\" else char for char in pattern)
