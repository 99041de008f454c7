"""Submits that come together go together, and fail or are cancelled each for itself."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from attrs import define, evolve, field
from redis import exceptions as known

from upnext.client.gathering import LARGE, MOST, Gathering
from upnext.errors import JobRefusedError, QueueFullError
from upnext.model.job import Enqueued, NewJob
from upnext.redis.loops import primitives


def new(number: int, arguments: bytes = b"{}") -> NewJob:
    return NewJob(id=f"work-{number}", function="work", arguments=arguments)


@define(eq=False)
class Acceptor:
    """Accepts jobs when a test says so."""

    busy: bool = True
    gate: anyio.Event = field(factory=anyio.Event)
    calls: list[list[str]] = field(factory=list[list[str]])
    faults: list[Exception] = field(factory=list[Exception])
    full: frozenset[str] = frozenset()

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued | JobRefusedError]:
        self.calls.append([job.id for job in jobs])
        await self.gate.wait()
        if self.faults:
            raise self.faults.pop(0)
        return [
            QueueFullError(job.id) if job.id in self.full else Enqueued(job.id, True)
            for job in jobs
        ]


@pytest.fixture
def acceptor() -> Acceptor:
    return Acceptor()


@pytest.fixture
def gathering(acceptor: Acceptor) -> Gathering:
    return Gathering(acceptor)


Outcomes = dict[str, object]


async def submit(gathering: Gathering, job: NewJob, outcomes: Outcomes) -> None:
    try:
        outcomes[job.id] = (await gathering.submit(job)).id
    except (JobRefusedError, known.RedisError) as error:
        outcomes[job.id] = error


async def test_a_submit_that_finds_the_link_idle_goes_at_once(
    acceptor: Acceptor, gathering: Gathering
) -> None:
    acceptor.busy = False
    outcomes: Outcomes = {}
    async with anyio.create_task_group() as group:
        for n in range(3):
            group.start_soon(submit, gathering, new(n), outcomes)
        await anyio.wait_all_tasks_blocked()
        assert sorted(acceptor.calls) == [["work-0"], ["work-1"], ["work-2"]]
        acceptor.gate.set()
    assert sorted(outcomes) == ["work-0", "work-1", "work-2"]


async def test_those_of_one_turn_go_in_one_call(acceptor: Acceptor, gathering: Gathering) -> None:
    outcomes: Outcomes = {}
    async with anyio.create_task_group() as group:
        for n in range(5):
            group.start_soon(submit, gathering, new(n), outcomes)
        await anyio.wait_all_tasks_blocked()
        [call] = acceptor.calls
        assert sorted(call) == [f"work-{n}" for n in range(5)]
        group.start_soon(submit, gathering, new(5), outcomes)  # too late for that call
        await anyio.wait_all_tasks_blocked()
        assert acceptor.calls[1:] == [["work-5"]]
        acceptor.gate.set()
    assert outcomes == {f"work-{n}": f"work-{n}" for n in range(6)}


async def test_where_others_came_along_the_next_one_waits_for_more_of_them(
    acceptor: Acceptor, gathering: Gathering
) -> None:
    acceptor.gate.set()

    async def burst(size: int) -> list[int]:
        """Submit so many together; how many were in each call."""
        before = len(acceptor.calls)
        async with anyio.create_task_group() as group:
            for n in range(size):
                group.start_soon(submit, gathering, new(n), {})
        return [len(call) for call in acceptor.calls[before:]]

    assert await burst(3) == [3]
    acceptor.busy = False
    assert await burst(4) == [4], "as many were under way a moment ago"
    assert await burst(1) == [1]
    assert await burst(2) == [1, 1], "nobody came along: no reason to wait"


async def test_no_call_has_too_many(acceptor: Acceptor, gathering: Gathering) -> None:
    acceptor.gate.set()
    outcomes: Outcomes = {}
    async with anyio.create_task_group() as group:
        for n in range(3 * MOST):
            group.start_soon(submit, gathering, new(n), outcomes)
    assert all(value == job_id for job_id, value in outcomes.items())
    assert len(outcomes) == sum(len(call) for call in acceptor.calls) == 3 * MOST
    assert max(len(call) for call in acceptor.calls) <= MOST + 1
    assert len(acceptor.calls) <= 4


async def test_a_large_job_goes_alone(acceptor: Acceptor, gathering: Gathering) -> None:
    outcomes: Outcomes = {}
    acceptor.gate.set()
    async with anyio.create_task_group() as group:
        for n in range(3):
            group.start_soon(submit, gathering, new(n), outcomes)
        group.start_soon(submit, gathering, new(9, bytes(LARGE + 1)), outcomes)
    assert ["work-9"] in acceptor.calls
    assert len(outcomes) == 4


async def test_a_refusal_is_that_jobs_own(acceptor: Acceptor, gathering: Gathering) -> None:
    acceptor.full = frozenset(("work-1",))
    acceptor.gate.set()
    outcomes: Outcomes = {}
    async with anyio.create_task_group() as group:
        for n in range(3):
            group.start_soon(submit, gathering, new(n), outcomes)
    assert isinstance(outcomes.pop("work-1"), QueueFullError)
    assert outcomes == {"work-0": "work-0", "work-2": "work-2"}


@pytest.mark.parametrize("kind", [known.ConnectionError, known.TimeoutError])
async def test_nobody_waits_again_for_a_queue_that_cannot_be_reached(
    acceptor: Acceptor, gathering: Gathering, kind: type[Exception]
) -> None:
    acceptor.faults = [kind("gone")]
    acceptor.gate.set()
    outcomes: Outcomes = {}
    async with anyio.create_task_group() as group:
        for n in range(3):
            group.start_soon(submit, gathering, new(n), outcomes)
    assert len(acceptor.calls) == 1
    assert [(type(error), str(error)) for error in outcomes.values()] == [(kind, "gone")] * 3
    assert len({id(error) for error in outcomes.values()}) == 3, "each has a traceback of its own"


async def test_what_one_job_makes_fail_fails_alone(
    acceptor: Acceptor, gathering: Gathering
) -> None:
    acceptor.faults = [known.ResponseError("WRONGTYPE")]
    acceptor.gate.set()
    outcomes: Outcomes = {}
    async with anyio.create_task_group() as group:
        for n in range(3):
            group.start_soon(submit, gathering, new(n), outcomes)
    failed = [job_id for job_id, value in outcomes.items() if isinstance(value, Exception)]
    assert failed == acceptor.calls[0][:1], "whose call it was"
    assert sorted(acceptor.calls[1:]) == sorted([job_id] for job_id in acceptor.calls[0][1:])


@pytest.fixture
def turn(monkeypatch: pytest.MonkeyPatch) -> anyio.Event:
    """Ends the turn in which others may join."""
    over = anyio.Event()
    monkeypatch.setattr(
        "upnext.client.gathering.primitives", lambda: evolve(primitives(), turn=over.wait)
    )
    return over


@pytest.mark.parametrize("sent", [False, True], ids=["gathering", "sent"])
@pytest.mark.parametrize("who", [0, 2], ids=["leader", "follower"])
async def test_who_leaves_takes_nobody_along(
    acceptor: Acceptor, gathering: Gathering, turn: anyio.Event, who: int, sent: bool
) -> None:
    outcomes: Outcomes = {}
    leaving = anyio.CancelScope()

    async def leaver() -> None:
        with leaving:
            await submit(gathering, new(who), outcomes)

    async with anyio.create_task_group() as group:
        for n in range(4):
            if n == who:
                group.start_soon(leaver)
            else:
                group.start_soon(submit, gathering, new(n), outcomes)
            await anyio.wait_all_tasks_blocked()
        assert acceptor.calls == []
        if sent:
            turn.set()
            await anyio.wait_all_tasks_blocked()
            assert acceptor.calls == [[f"work-{n}" for n in range(4)]]
        leaving.cancel()
        await anyio.wait_all_tasks_blocked()
        turn.set()
        acceptor.gate.set()
    assert outcomes == {f"work-{n}": f"work-{n}" for n in range(4) if n != who}
    again = acceptor.calls[1:] if sent else acceptor.calls
    if who == 0:  # the others see to themselves
        assert sorted(again) == [[f"work-{n}"] for n in (1, 2, 3)]
    else:
        assert again == ([] if sent else [["work-0", "work-1", "work-3"]])
    assert await gathering.submit(new(9)), "the next one leads again"
