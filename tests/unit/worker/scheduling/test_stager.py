from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from anyio.lowlevel import checkpoint
from redis.exceptions import ResponseError

from upnext.model.job import Staged
from upnext.worker.scheduling.stager import RETRY_INTERVAL, SWEEP_INTERVAL, Stager


class Queue:
    def __init__(self, **due_in: list[int | None]) -> None:
        self.due_in = due_in
        self.calls: list[tuple[float, list[str]]] = []
        self.fails = 0
        self.stager: Stager | None = None
        self.noted_meanwhile: list[str] = []

    async def stage(self, functions: Sequence[str]) -> list[Staged]:
        self.calls.append((anyio.current_time(), list(functions)))
        await checkpoint()
        assert self.stager is not None
        while self.noted_meanwhile:
            self.stager.note(self.noted_meanwhile.pop())
        if self.fails:
            self.fails -= 1
            raise ResponseError("OOM")
        return [self._answer(name) for name in functions]

    def _answer(self, name: str) -> Staged:
        answers = self.due_in.get(name)
        return Staged(name, 0, answers.pop(0) if answers else None)


async def run(queue: Queue, seconds: float, *functions: str) -> list[tuple[float, list[str]]]:
    """Which functions it staged, and how many seconds after its start."""
    queue.stager = Stager(queue, list(functions))
    began = anyio.current_time()
    with anyio.move_on_after(seconds):
        await queue.stager.run()
    return [(round(at - began, 2), names) for at, names in queue.calls]


async def test_it_looks_at_everything_first_and_then_when_the_earliest_job_is_due() -> None:
    queue = Queue(a=[2000, 1000, None], b=[None])
    assert await run(queue, SWEEP_INTERVAL - 1, "a", "b") == [
        (0, ["a", "b"]),
        (2, ["a"]),
        (3, ["a"]),
    ]


async def test_it_looks_at_everything_now_and_then() -> None:
    calls = await run(Queue(), SWEEP_INTERVAL + 1, "a")
    assert calls == [(0, ["a"]), (SWEEP_INTERVAL, ["a"])]


async def test_it_looks_at_once_when_a_function_has_news() -> None:
    queue = Queue(b=[None])

    async def note() -> None:
        await anyio.sleep(1.5)
        assert queue.stager is not None
        queue.stager.note("b")

    async with anyio.create_task_group() as group:
        group.start_soon(note)
        assert await run(queue, 3, "a", "b") == [(0, ["a", "b"]), (1.5, ["b"])]


async def test_news_that_come_before_the_answer_are_not_forgotten() -> None:
    queue = Queue()
    queue.noted_meanwhile = ["a"]
    assert await run(queue, 1, "a") == [(0, ["a"]), (0, ["a"])]


async def test_what_the_broker_refused_is_soon_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = Queue()
    queue.fails = 1
    functions = [f"f{i}" for i in range(50)]
    calls = await run(queue, 2, *functions)
    assert calls == [(0, functions), (RETRY_INTERVAL, functions)]
    assert "OOM" in caplog.text
