from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import anyio
import pytest
from redis.exceptions import ConnectionError as LostConnectionError

from upnext.model.job import Rescued
from upnext.worker.intake.rescuer import Rescuer

PERIOD = 10.0


class Queue:
    def __init__(self) -> None:
        self.rescues: list[float] = []
        self.answers: list[Rescued] = []
        self.slow = 0
        self.lost = 0
        self.ahead = 1_700_000_000_000
        self.jump = 0
        self.seen: list[tuple[str, list[str], int, int]] = []

    async def now(self) -> int:
        if self.lost:
            self.lost -= 1
            raise LostConnectionError("lost")
        if self.slow:
            self.slow -= 1
            await anyio.sleep(PERIOD + 1)
        return round(anyio.current_time() * 1000) + self.ahead

    async def rescue(
        self,
        worker: str,
        functions: Sequence[str],
        lease: int,
        as_of: int,
        most: Mapping[str, int] | None = None,
    ) -> Rescued:
        self.rescues.append(anyio.current_time())
        self.seen.append((worker, list(functions), lease, as_of - self.ahead))
        self.ahead, self.jump = self.ahead + self.jump, 0
        return self.answers.pop() if self.answers else Rescued([], [])


async def run(queue: Queue, periods: float) -> list[float]:
    """When it rescued, in periods since it began."""
    began = anyio.current_time()
    rescuer = Rescuer(queue, "w", ["a", "b"], 30_000, PERIOD)
    with anyio.move_on_after(periods * PERIOD):
        await rescuer.run()
    return [(at - began) / PERIOD for at in queue.rescues]


async def test_it_holds_back_for_a_period_at_its_start() -> None:
    queue = Queue()
    rescues = await run(queue, 4)
    assert 2 <= rescues[0] <= 3
    worker, functions, lease, as_of = queue.seen[0]
    assert (worker, functions, lease) == ("w", ["a", "b"], 30_000)
    assert as_of == pytest.approx(queue.rescues[0] * 1000, abs=1)


async def test_it_goes_on_every_period_or_a_little_later() -> None:
    rescues = await run(Queue(), 30)
    steps = [later - earlier for earlier, later in pairwise(rescues)]
    assert all(1 <= step <= 1.5 for step in steps)
    assert max(steps) - min(steps) > 0.01  # not all rescuers at once


@pytest.mark.parametrize("rounds", [1, 2])
async def test_it_holds_back_for_a_period_after_every_slow_answer(rounds: int) -> None:
    queue = Queue()
    queue.slow = rounds
    rescues = await run(queue, 3 * (rounds + 2))
    # Every slow round takes its sleep and the answer; a whole quick round comes after the last.
    assert rescues[0] >= 2.1 * rounds + 2


async def test_it_holds_back_after_the_connection_was_lost() -> None:
    queue = Queue()
    queue.lost = 1
    assert (await run(queue, 6))[0] >= 3


async def test_it_holds_back_when_the_store_says_so(caplog: pytest.LogCaptureFixture) -> None:
    queue = Queue()
    queue.answers = [Rescued([], [], held_back=True)]
    rescues = await run(queue, 10)
    assert rescues[1] - rescues[0] >= 2


async def test_it_holds_back_after_the_clock_of_the_store_jumped() -> None:
    # All leases look as if they had run out, those of the living, too.
    queue = Queue()
    queue.jump = 3_600_000
    rescues = await run(queue, 10)
    assert rescues[1] - rescues[0] >= 2
    assert rescues[2] - rescues[1] <= 1.5


async def test_it_tells_what_it_found(caplog: pytest.LogCaptureFixture) -> None:
    queue = Queue()
    queue.answers = [Rescued(["job-1"], ["job-2"])]
    await run(queue, 4)
    assert "job-1 was lost" in caplog.text
    assert "job-2 was lost" in caplog.text
    assert "dead letter" in caplog.text
