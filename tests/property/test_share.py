"""How lanes share a worker: the highest first, and one job in five from the lowest up."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from upnext.model.job import Job, NewJob
from upnext.store.bounds import Bounds
from upnext.testing.memory_store.channels import Channels
from upnext.testing.memory_store.claim import claim
from upnext.testing.memory_store.enqueue import enqueue
from upnext.testing.memory_store.queue import Queue

priorities = st.integers(-9, 9)
wants = st.lists(st.integers(1, 7), min_size=1, max_size=40)


def filled(waiting: list[int]) -> Queue:
    queue = Queue("P", Bounds(), Channels())
    jobs = [
        NewJob(id=f"work-{number:032x}", function="work", arguments=b"", priority=priority)
        for number, priority in enumerate(waiting)
    ]
    enqueue(queue, 0, jobs)
    return queue


def claims(queue: Queue, counts: list[int]) -> list[list[Job]]:
    return [claim(queue, 0, "w", "w", count)[0] for count in counts]


@given(st.lists(priorities, max_size=60), wants)
def test_each_job_is_claimed_once_and_never_fewer_than_wait(
    waiting: list[int], counts: list[int]
) -> None:
    left = len(waiting)
    seen: set[str] = set()
    for count, jobs in zip(counts, claims(filled(waiting), counts), strict=True):
        assert len(jobs) == min(count, left)
        left -= len(jobs)
        assert not seen & {job.id for job in jobs}
        seen |= {job.id for job in jobs}


@given(st.lists(priorities, min_size=2, max_size=2, unique=True), wants)
def test_the_lower_of_two_full_lanes_gets_a_fifth(pair: list[int], counts: list[int]) -> None:
    queue = filled(pair * 300)
    claimed = Counter(job.priority for jobs in claims(queue, counts) for job in jobs)
    asked = sum(counts)
    assert claimed[min(pair)] == asked // 5
    assert claimed[max(pair)] == asked - asked // 5


@given(st.lists(priorities, min_size=1, max_size=60))
def test_within_a_priority_the_first_come_is_the_first_served(waiting: list[int]) -> None:
    [jobs] = claims(filled(waiting), [len(waiting)])
    for priority in set(waiting):
        mine = [job.id for job in jobs if job.priority == priority]
        assert mine == sorted(mine)


@given(st.lists(priorities, min_size=1, max_size=60))
def test_no_lane_starves(waiting: list[int]) -> None:
    """However many of the highest priority come, each waiting job has its turn."""
    queue = filled(waiting)
    left = {job.id for job in queue.lanes}
    for rival in range(5 * len(waiting)):
        extra = f"work-{10_000 + rival:032x}"
        enqueue(queue, 0, [NewJob(id=extra, function="work", arguments=b"", priority=9)])
        [job] = claim(queue, 0, "w", "w", 1)[0]
        left.discard(job.id)
    assert {queue.jobs[job_id].priority for job_id in left} <= {9}
