from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from anyio.lowlevel import checkpoint
from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import ResponseError

from tests.support.cancel import cancel_everywhere
from tests.support.claimed import a_job, an_outcome
from upnext.model.outcome import Outcome, Settled
from upnext.worker.settlement import flusher as module
from upnext.worker.settlement.flusher import Flusher
from upnext.worker.settlement.leases import Leases
from upnext.worker.settlement.outbox import Outbox

INTERVAL = 0.5


class Queue:
    def __init__(self) -> None:
        self.batches: list[list[Outcome]] = []
        self.times: list[float] = []
        self.errors: list[Exception] = []
        self.answer: Settled | str = Settled.APPLIED
        self.takes = 0.0

    async def settle(self, worker: str, outcomes: Sequence[Outcome]) -> list[Settled | str]:
        await checkpoint()
        if self.errors:
            raise self.errors.pop()
        self.batches.append(list(outcomes))
        self.times.append(anyio.current_time())
        await anyio.sleep(self.takes)
        return [self.answer] * len(outcomes)

    @property
    def written(self) -> list[Outcome]:
        return [outcome for batch in self.batches for outcome in batch]


def make(batch_size: int = 100) -> tuple[Queue, Flusher]:
    queue = Queue()
    return queue, Flusher(queue, "w", Outbox(1000), Leases(), batch_size, INTERVAL)


async def test_the_first_outcome_after_a_quiet_moment_is_written_at_once() -> None:
    queue, flusher = make()
    async with anyio.create_task_group() as group:
        group.start_soon(flusher.run)
        for _ in range(2):
            await anyio.sleep(10)
            put = anyio.current_time()
            flusher.outbox.put(an_outcome())
            await anyio.sleep(INTERVAL / 10)
            assert queue.times[-1] == put
        flusher.outbox.close()
    assert flusher.written == 2


async def test_under_load_outcomes_are_written_together() -> None:
    queue, flusher = make()
    flusher.leases.add(a_job() for _ in range(21))  # these, and one that goes on
    outcomes = [an_outcome() for _ in range(20)]
    async with anyio.create_task_group() as group:
        group.start_soon(flusher.run)
        for outcome in outcomes:
            flusher.outbox.put(outcome)
            await anyio.sleep(INTERVAL / 10)
        flusher.outbox.close()
    assert queue.written == outcomes
    assert 2 <= len(queue.batches) <= 5
    steps = [later - sooner for sooner, later in zip(queue.times, queue.times[1:], strict=False)]
    assert all(step <= INTERVAL * 1.01 for step in steps)


async def test_a_full_batch_waits_for_no_company() -> None:
    queue, flusher = make(batch_size=3)
    async with anyio.create_task_group() as group:
        group.start_soon(flusher.run)
        for size in (1, 3):
            began = anyio.current_time()
            for _ in range(size):
                flusher.outbox.put(an_outcome())
            await anyio.sleep(INTERVAL / 10)
            assert len(queue.batches[-1]) == size
            assert queue.times[-1] == began
        flusher.outbox.close()


async def test_no_write_is_larger_than_the_server_likes() -> None:
    queue, flusher = make()
    for _ in range(1200):
        flusher.outbox.put(an_outcome())
    flusher.outbox.close()
    await flusher.run()
    assert [len(batch) for batch in queue.batches] == [500, 500, 200]
    assert module.MOST_PER_WRITE == 500


@pytest.mark.parametrize("error", [LostConnectionError("lost"), ResponseError("OOM")])
async def test_what_could_not_be_written_is_written_again_in_its_order(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    queue, flusher = make()
    queue.errors = [error, error, error]
    jobs = [a_job() for _ in range(6)]
    outcomes = [an_outcome(job) for job in jobs]
    flusher.leases.add(jobs)
    async with anyio.create_task_group() as group:
        for outcome in outcomes[:3]:
            flusher.outbox.put(outcome)
        group.start_soon(flusher.run)
        await anyio.sleep(0.01)
        for outcome in outcomes[3:]:
            flusher.outbox.put(outcome)
        assert flusher.leases.statistics().held == 6  # kept as long as nothing is written
        flusher.outbox.close()
    assert queue.written == outcomes
    assert flusher.leases.statistics().held == 0
    assert str(error) in caplog.text


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Settled.APPLIED, None),
        (Settled.REPEATED, None),
        (Settled.STALE, "delivery 1 is not ours any more"),
        ("WRONGTYPE", "refused: WRONGTYPE"),
    ],
)
async def test_what_the_store_did_not_apply_is_said_and_the_lease_is_given_up(
    answer: Settled | str, said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    queue, flusher = make()
    queue.answer = answer
    job = a_job()
    flusher.leases.add([job])
    flusher.outbox.put(an_outcome(job))
    flusher.outbox.close()
    await flusher.run()
    assert flusher.leases.statistics().held == 0
    assert (said in caplog.text) if said else not caplog.text


async def test_wherever_it_is_cancelled_no_outcome_is_lost() -> None:
    made: list[tuple[Queue, Flusher, list[Outcome]]] = []

    async def run() -> None:
        queue, flusher = make(batch_size=2)
        queue.errors = [LostConnectionError("lost")]
        queue.takes = 1.0
        outcomes = [an_outcome() for _ in range(5)]
        made.append((queue, flusher, outcomes))
        flusher.outbox.put(outcomes[0])
        async with anyio.create_task_group() as group:
            group.start_soon(put_later, flusher.outbox, outcomes[1:])
            await flusher.run()

    async def put_later(outbox: Outbox, outcomes: list[Outcome]) -> None:
        with anyio.CancelScope(shield=True):
            for outcome in outcomes:
                await anyio.sleep(0.7)
                outbox.put(outcome)
        outbox.close()

    async for _ in cancel_everywhere(run):
        _, flusher, outcomes = made.pop()
        left = flusher.outbox.take(100)
        assert flusher.written + len(left) == len(outcomes)
        assert outcomes[flusher.written :] == left
