"""What cancelling a job with all that is below it promises, from the root and from the middle."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from tests.conformance.subject import (
    KEYS,
    Subject,
    claim_one,
    new,
    outcome,
    record_of,
    submit,
)
from upnext.errors import JobRefusedError
from upnext.model.job import NewJob
from upnext.model.lineage import MOST_LEVELS, Member, child_path
from upnext.model.outcome import Ending
from upnext.model.status import JobStatus
from upnext.store.cancel import CancelledTree, CancelVerdict
from upnext.store.store import Store


def child(parent: NewJob, function: str = "work", **fields: object) -> NewJob:
    """A job that another one submits."""
    root = parent.root_id or parent.id
    path = child_path(parent.id, root, parent.path)
    return new(function, parent_id=parent.id, root_id=root, path=path, **fields)


async def run(store: Store, *jobs: NewJob, worker: str = "w1") -> None:
    """Have waiting jobs claimed."""
    claimed = await store.claim(worker, [(name, 99) for name in {job.function for job in jobs}])
    assert {job.id for job in jobs} <= {job.id for job in claimed.jobs}


async def statuses(store: Store, *jobs: NewJob) -> list[str]:
    return [(await record_of(store, job.id)).state.value for job in jobs]


async def test_all_below_a_root_is_reached_in_every_function(store: Store) -> None:
    await store.declare({"a": b"{}", "b": b"{}", "c": b"{}"})
    root = new("a")
    await submit(store, root)
    await run(store, root)
    waits, delayed, runs, done = child(root, "a"), child(root, "b"), child(root, "b"), child(root)
    delayed.delay = 99
    other = new("a", parent_id="a-" + "0" * 32, root_id="a-" + "0" * 32)
    await submit(store, waits, delayed, runs, done, other)
    await store.settle("w1", [outcome(await claim_one(store))])
    await store.claim("w2", [("b", 1)])

    [cancelled] = await store.cancel_trees([root.id], "all of it")

    assert cancelled == CancelledTree(CancelVerdict.REQUESTED, 3)
    assert await statuses(store, root, waits, delayed, runs, done, other) == [
        "cancelling",
        "cancelled",
        "cancelled",
        "cancelling",
        "complete",
        "queued",
    ]
    assert (await record_of(store, waits.id)).reason == "all of it"
    for name in ("a", "b", "c"):
        [answer] = await store.enqueue([child(root, name)])
        assert isinstance(answer, JobRefusedError)


async def test_a_job_in_the_middle_takes_those_below_it_and_leaves_its_siblings(
    store: Store,
) -> None:
    root = new()
    middle, sibling = child(root), child(root)
    below, deeper, beside = child(middle, "b"), child(child(middle, "b"), "c"), child(sibling, "b")
    await submit(store, root, middle, sibling)
    await run(store, root, middle, sibling)
    await submit(store, below, deeper, beside)
    await run(store, deeper)

    [cancelled] = await store.cancel_trees([middle.id], "this part")

    assert cancelled == CancelledTree(CancelVerdict.REQUESTED, 2)
    assert await statuses(store, root, middle, sibling, below, deeper, beside) == [
        "running",
        "cancelling",
        "running",
        "cancelled",
        "cancelling",
        "queued",
    ]
    for parent in (middle, below, deeper):
        [answer] = await store.enqueue([child(parent, "b")])
        assert isinstance(answer, JobRefusedError)
    await submit(store, child(root, "b"), child(sibling, "b"), child(beside, "b"))


async def test_jobs_below_one_that_is_over_are_reached(store: Store) -> None:
    root = new()
    middle = child(root)
    left = child(middle, "b")
    await submit(store, root, middle)
    await run(store, root, middle)
    await submit(store, left)
    [held] = [j for j in (await store.recover("w1", ["work"], [])).jobs if j.id == middle.id]
    await store.settle("w1", [outcome(held)])
    assert await store.cancel_trees([middle.id], "late") == [
        CancelledTree(CancelVerdict.FINISHED, 1)
    ]
    assert await statuses(store, middle, left) == ["complete", "cancelled"]
    assert await store.cancel_trees([middle.id], "later") == [
        CancelledTree(CancelVerdict.FINISHED, 0)
    ]


async def test_a_function_that_no_worker_declared_is_reached(store: Store) -> None:
    root = new()
    await submit(store, root)
    await run(store, root)
    lost = child(root, "nobody_runs_this")
    await submit(store, lost)
    assert (await store.cancel_trees([root.id], "enough"))[0].below == 1
    assert await statuses(store, lost) == ["cancelled"]


async def test_a_job_that_never_ran_is_alone(store: Store, subject: Subject) -> None:
    job = new()
    await submit(store, job)
    assert await store.cancel_trees([job.id], "no") == [CancelledTree(CancelVerdict.CANCELLED, 0)]
    # No mark either: marks are kept for a day.
    await submit(store, child(job))


async def test_a_retry_of_a_cancelled_job_cannot_submit(store: Store) -> None:
    root = new()
    middle = child(root)
    await submit(store, root, middle)
    await run(store, root, middle)
    [held] = [j for j in (await store.recover("w1", ["work"], [])).jobs if j.id == middle.id]
    await store.settle("w1", [outcome(held, Ending.RETRY, delay=1_000)])
    await store.cancel_trees([root.id], "enough")
    assert await statuses(store, middle) == ["cancelled"]
    [answer] = await store.enqueue([child(middle)])
    assert isinstance(answer, JobRefusedError)


@pytest.mark.parametrize("functions", [("work",), ("work", "b", "c")])
async def test_no_racing_producer_slips_through(store: Store, functions: tuple[str, ...]) -> None:
    """Jobs all over a part of a tree are submitted, again and again, until each is refused."""
    root = new()
    middle, beside = child(root), child(root)
    await submit(store, root, middle, beside)
    await run(store, root, middle, beside)
    accepted, spared = [middle], [beside]

    async def produce(function: str, place: int) -> None:
        while True:
            parents = accepted[:20]  # so that no path grows too long
            one = child(parents[len(accepted) * (place + 1) % len(parents)], function)
            [answer] = await store.enqueue([one])
            if isinstance(answer, JobRefusedError):
                return
            accepted.append(one)
            await store.claim("w1", [(function, 1)])

    async def produce_beside(function: str) -> None:
        for _ in range(30):
            spared.append(child(spared[-1], function))
            await submit(store, spared[-1])

    with anyio.fail_after(30):
        async with anyio.create_task_group() as producers:
            for place in range(9):
                producers.start_soon(produce, functions[place % len(functions)], place)
            producers.start_soon(produce_beside, functions[-1])
            while len(accepted) < 100:
                await anyio.lowlevel.checkpoint()
            await store.cancel_trees([middle.id], "enough")
    found = [await record_of(store, job.id) for job in accepted]
    assert {record.state for record in found} <= {JobStatus.CANCELLED, JobStatus.CANCELLING}
    left = [await record_of(store, job.id) for job in spared]
    assert {record.state for record in left} <= {JobStatus.QUEUED, JobStatus.RUNNING}


async def test_several_trees_at_once(store: Store) -> None:
    roots = [new(), new(), new()]
    await submit(store, *roots)
    await run(store, *roots)
    below = [child(root, "b") for root in roots]
    await submit(store, *below)
    found = await store.cancel_trees([roots[0].id, roots[2].id, "work-" + "0" * 32], "two of them")
    assert [one.below for one in found] == [1, 1, 0]
    assert found[2].verdict is CancelVerdict.MISSING
    assert await statuses(store, *below) == ["cancelled", "queued", "cancelled"]


@pytest.mark.parametrize("count", [600, 1_300])
async def test_a_large_family_is_cancelled_page_by_page(store: Store, count: int) -> None:
    root = new()
    await submit(store, root)
    await run(store, root)
    middle = child(root)
    family = [child(middle, "b") for _ in range(count)]
    for start in range(0, count, 100):
        await submit(store, *family[start : start + 100])
    running = (await store.claim("w1", [("b", 50)])).jobs
    assert len(await store.living(root.id)) == count
    assert (await store.cancel_trees([root.id], "all"))[0].below == count
    left = await store.living(root.id)
    assert left == sorted(job.id for job in running)


async def test_a_chain_longer_than_a_path_can_say_ends_at_its_root(store: Store) -> None:
    chain = [new()]
    for _ in range(MOST_LEVELS + 5):
        chain.append(child(chain[-1]))
    assert len(chain[-1].path.split()) == MOST_LEVELS
    await submit(store, chain[0])
    await run(store, chain[0])
    await submit(store, *chain[1:])
    assert await store.living(chain[-3].id) == sorted(job.id for job in chain[-2:])
    assert (await store.cancel_trees([chain[0].id], "all"))[0].below == len(chain) - 1


async def test_who_holds_on_can_be_seen(store: Store) -> None:
    root = new()
    runs, waits = child(root), child(root, "b")
    await submit(store, root, runs)
    await run(store, root, runs)
    await submit(store, waits)
    assert await store.living(root.id) == sorted([runs.id, waits.id])
    assert await store.living(runs.id) == []
    await store.cancel_trees([root.id], "enough")
    assert await store.living(root.id) == [runs.id]
    [held] = [j for j in (await store.recover("w1", ["work"], [])).jobs if j.id == runs.id]
    await store.settle("w1", [outcome(held, Ending.CANCELLED, reason="enough")])
    assert await store.living(root.id) == []


async def test_a_worker_unwinds_what_is_below_and_hears_of_the_ends(store: Store) -> None:
    heard: list[bytes] = []
    await store.subscribe("ear", heard.append, lambda: None).ready()
    root = new()
    runs, waits = child(root, "b"), child(root, "c")
    await submit(store, root)
    await run(store, root)
    await submit(store, runs, waits)
    await store.claim("w2", [("b", 1)])
    # Whoever cancelled it got no further than the job itself.
    member = Member(root.id, root.id)
    assert await store.unwind(member, "why", "ear") == [], "it was not cancelled"
    await store.cancel(root.id, "alone")
    assert await store.unwind(member, "why", "ear") == [], "it was cancelled alone"
    await store.cancel_trees([root.id], "why")

    told: list[bytes] = []
    await store.subscribe(KEYS.worker_channel("w2"), told.append, lambda: None).ready()
    assert await store.unwind(member, "why", "ear") == [runs.id]
    await store.now()
    assert told == [], "its worker knows already"
    [held] = (await store.recover("w2", ["b"], [])).jobs
    await store.settle("w2", [outcome(held, Ending.CANCELLED)])
    await store.now()
    assert len(heard) == 1
    assert runs.id.encode() in heard[0]
    assert await store.unwind(member, "why", "ear") == []


async def test_a_worker_passes_on_a_cancellation_whose_sender_died(store: Store) -> None:
    """The sender reached the job's own function only; the worker of that job sees to the rest."""
    root = new()
    await submit(store, root)
    await run(store, root)
    same, other = child(root), child(root, "b")
    await submit(store, same, other)
    await _cancel_head_only(store, root.id)
    assert await statuses(store, same, other) == ["queued", "queued"]
    assert await store.unwind(Member(root.id, root.id), "why", "ear") == []
    assert await statuses(store, same, other) == ["cancelled", "cancelled"]
    [answer] = await store.enqueue([child(root, "b")])
    assert isinstance(answer, JobRefusedError)


async def test_a_failure_after_a_cancellation_is_a_cancellation(store: Store) -> None:
    job = new()
    await submit(store, job)
    held = await claim_one(store)
    await store.cancel(job.id, "enough")
    await store.settle("w1", [outcome(held, Ending.FAILED, error=b'{"type":"E","message":""}')])
    record = await record_of(store, job.id)
    assert (record.status, record.reason) == (JobStatus.CANCELLED, "enough")
    assert b'"E"' in record.error, "what it raised is kept"


async def test_a_completion_after_a_cancellation_is_a_completion(store: Store) -> None:
    job = new()
    await submit(store, job)
    held = await claim_one(store)
    await store.cancel(job.id, "enough")
    await store.settle("w1", [outcome(held, result=b"1")])
    assert (await record_of(store, job.id)).status is JobStatus.COMPLETE


async def _cancel_head_only(store: Store, job_id: str) -> None:
    """What `cancel_trees` does first, and nothing more."""
    families = store._with_families
    store._with_families = _nothing  # type: ignore[method-assign]
    try:
        await store.cancel_trees([job_id], "why")
    finally:
        store._with_families = families  # type: ignore[method-assign]


class _Nothing(list[str]):
    """No functions, awaited or not."""

    def __await__(self):
        yield from ()
        return self


def _nothing(*args: object) -> _Nothing:
    return _Nothing()
