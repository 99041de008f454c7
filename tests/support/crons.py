"""A store that tests of cron schedulers look into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from redis.exceptions import ResponseError

from upnext.contracts.keys import Keys
from upnext.model.schedule import Fired, Firing, Ordered, ScheduleOrder, Schedules
from upnext.testing.memory import MemoryStore

KEYS = Keys()


class Watched:
    """A store that counts the calls of a scheduler, and can refuse them or lose its messages."""

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.calls: list[str] = []
        self.verdicts: Counter[str] = Counter()
        self.refuses = 0

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.refuses:
            self.refuses -= 1
            raise ResponseError("OOM command not allowed")

    async def now(self) -> int:
        self._call("now")
        return await self.inner.now()

    async def fire(self, firings: Sequence[Firing]) -> list[Fired]:
        self._call("fire")
        answers = await self.inner.fire(firings)
        self.verdicts.update(answer.verdict.value for answer in answers)
        return answers

    async def schedules(self, functions: Sequence[str]) -> Schedules:
        self._call("schedules")
        return await self.inner.schedules(functions)

    async def order(self, order: ScheduleOrder) -> Ordered:
        self._call("order")
        return await self.inner.order(order)

    async def scheduled_functions(self) -> list[str]:
        self._call("scheduled_functions")
        return await self.inner.scheduled_functions()

    def instants(self, name: str = "tick") -> list[int]:
        """When the jobs that were made were due, in seconds, in the order they were made."""
        queue = self.inner.queues.get(KEYS.function(name))
        return [] if queue is None else [job.due // 1000 for job in queue.jobs.values()]
