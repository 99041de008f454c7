"""`upnext.schedules`: add, change and look at the schedules of tasks while workers run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from upnext.client import sync
from upnext.client.connect import connect
from upnext.client.cron_declarations import make_plan
from upnext.client.future import Future
from upnext.client.handle import TaskHandle
from upnext.client.schedule_steps import (
    Steps,
    Task,
    add_schedule,
    all_of,
    change_schedule,
    get_schedule,
    given_changes,
    pause_schedule,
    remove_schedule,
    resume_schedule,
    run_now,
)
from upnext.model.cron import MissedRunPolicy, Overlap
from upnext.model.schedule import Schedule

__all__ = ["ScheduleControl", "schedules"]

T = TypeVar("T")


class ScheduleControl:
    """Schedules at run time. Use the one there is: `upnext.schedules`.

    A task may have any number of schedules, each with a name of its own and arguments of its own.
    That of a declared cron has the cron's name. They are kept in Redis, and workers that run the
    task hear of every change at once.

    Everywhere, `task` is the task, or its name where nothing has to be encoded for it; and `name`
    is the schedule's, by default the task's. Each method has a form that blocks, `…_sync`.

    All raise `redis.exceptions.RedisError` when the queue cannot be reached. Cancelled, they may
    or may not have done it.
    """

    async def add(
        self,
        task: TaskHandle[..., Any],
        schedule: str,
        *,
        name: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        timezone: str | ZoneInfo = "UTC",
        jitter: float | timedelta = 0,
        missed_run_policy: MissedRunPolicy | str = MissedRunPolicy.LATEST_ONLY,
        max_catch_up_seconds: float | timedelta | None = None,
        overlap: Overlap | str = Overlap.ALLOW,
        note: str = "",
    ) -> Schedule:
        """Add a schedule to a task. The options are those of `@worker.cron`.

        Args:
            task: The task.
            schedule: Five or six fields, or a word such as `@hourly`.
            name: Its name; None: the task's.
            arguments: What the task is called with, by name.
            timezone: See `Worker.cron`.
            jitter: See `Worker.cron`.
            missed_run_policy: See `Worker.cron`.
            max_catch_up_seconds: See `Worker.cron`.
            overlap: See `Worker.cron`.
            note: Kept with it, to say what it is for or who wanted it.

        Raises:
            ScheduleExistsError: the task has one of this name.
            ValueError: an option cannot be used.
            CodecError: an argument cannot be written as JSON.
        """
        plan = make_plan(
            schedule,
            timezone=timezone,
            jitter=jitter,
            missed_run_policy=missed_run_policy,
            max_catch_up_seconds=max_catch_up_seconds,
            overlap=overlap,
        )
        return await _run(task, add_schedule(task, plan, name, arguments, note))

    def add_sync(
        self,
        task: TaskHandle[..., Any],
        schedule: str,
        *,
        name: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        timezone: str | ZoneInfo = "UTC",
        jitter: float | timedelta = 0,
        missed_run_policy: MissedRunPolicy | str = MissedRunPolicy.LATEST_ONLY,
        max_catch_up_seconds: float | timedelta | None = None,
        overlap: Overlap | str = Overlap.ALLOW,
        note: str = "",
    ) -> Schedule:
        """`add` for code that does not await. Blocks the thread."""
        plan = make_plan(
            schedule,
            timezone=timezone,
            jitter=jitter,
            missed_run_policy=missed_run_policy,
            max_catch_up_seconds=max_catch_up_seconds,
            overlap=overlap,
        )
        return _run_sync(task, add_schedule(task, plan, name, arguments, note))

    async def change(
        self,
        task: Task,
        name: str | None = None,
        *,
        schedule: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        timezone: str | ZoneInfo | None = None,
        jitter: float | timedelta | None = None,
        missed_run_policy: MissedRunPolicy | str | None = None,
        max_catch_up_seconds: float | timedelta | None = None,
        overlap: Overlap | str | None = None,
        note: str = "",
    ) -> Schedule:
        """Change what is given of a schedule; None leaves a thing as it is.

        A declared cron goes by the change until its declaration in the code changes.

        Raises:
            ScheduleNotFoundError: the task has none of this name.
            ValueError: an option cannot be used.
            TypeError: arguments for a task that is only named.
            CodecError: an argument cannot be written as JSON.
        """
        changes = given_changes(
            schedule, timezone, jitter, missed_run_policy, max_catch_up_seconds, overlap
        )
        return await _run(task, change_schedule(task, name, changes, arguments, note))

    def change_sync(
        self,
        task: Task,
        name: str | None = None,
        *,
        schedule: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        timezone: str | ZoneInfo | None = None,
        jitter: float | timedelta | None = None,
        missed_run_policy: MissedRunPolicy | str | None = None,
        max_catch_up_seconds: float | timedelta | None = None,
        overlap: Overlap | str | None = None,
        note: str = "",
    ) -> Schedule:
        """`change` for code that does not await. Blocks the thread."""
        changes = given_changes(
            schedule, timezone, jitter, missed_run_policy, max_catch_up_seconds, overlap
        )
        return _run_sync(task, change_schedule(task, name, changes, arguments, note))

    async def remove(self, task: Task, name: str | None = None) -> bool:
        """Remove a schedule; whether there was one. Jobs it made already stay.

        That of a declared cron comes back when a worker that declares it starts.
        """
        return await _run(task, remove_schedule(task, name))

    def remove_sync(self, task: Task, name: str | None = None) -> bool:
        """`remove` for code that does not await. Blocks the thread."""
        return _run_sync(task, remove_schedule(task, name))

    async def pause(self, task: Task, name: str | None = None) -> Schedule:
        """Make no more jobs of a schedule until it is resumed, however often workers restart.

        Raises:
            ScheduleNotFoundError: the task has none of this name.
        """
        return await _run(task, pause_schedule(task, name))

    def pause_sync(self, task: Task, name: str | None = None) -> Schedule:
        """`pause` for code that does not await. Blocks the thread."""
        return _run_sync(task, pause_schedule(task, name))

    async def resume(self, task: Task, name: str | None = None) -> Schedule:
        """Go on with the next occurrence; what came during the pause was not missed.

        Raises:
            ScheduleNotFoundError: the task has none of this name.
        """
        return await _run(task, resume_schedule(task, name))

    def resume_sync(self, task: Task, name: str | None = None) -> Schedule:
        """`resume` for code that does not await. Blocks the thread."""
        return _run_sync(task, resume_schedule(task, name))

    async def run_now(self, task: Task, name: str | None = None) -> Future[Any]:
        """Submit a job with the arguments of a schedule, besides those it makes itself.

        It does not count for `overlap`, and its `scheduled_at` is None.

        Raises:
            ScheduleNotFoundError: the task has none of this name.
            JobRefusedError: the queue did not accept it.
        """
        return await _run(task, run_now(task, name))

    def run_now_sync(self, task: Task, name: str | None = None) -> Future[Any]:
        """`run_now` for code that does not await. Blocks the thread."""
        return _run_sync(task, run_now(task, name))

    async def get(self, task: Task, name: str | None = None) -> Schedule:
        """A schedule as it is now.

        Raises:
            ScheduleNotFoundError: the task has none of this name.
        """
        return await _run(task, get_schedule(task, name))

    def get_sync(self, task: Task, name: str | None = None) -> Schedule:
        """`get` for code that does not await. Blocks the thread."""
        return _run_sync(task, get_schedule(task, name))

    async def list(self, task: Task | None = None) -> list[Schedule]:
        """The schedules of a task, or of all tasks; those first that are due first."""
        return await _run(task, all_of(task))

    def list_sync(self, task: Task | None = None) -> list[Schedule]:
        """`list` for code that does not await. Blocks the thread."""
        return _run_sync(task, all_of(task))


schedules = ScheduleControl()


async def _run(task: Task | None, steps: Steps[T]) -> T:
    client = await connect(_url(task))
    answer: Any = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return end.value
        answer = await step(client.store)


def _run_sync(task: Task | None, steps: Steps[T]) -> T:
    if sync.must_await():
        return sync.through_loop(_run, task, steps)
    store = sync.blocking_client(_url(task)).store
    answer: Any = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return end.value
        answer = step(store)


def _url(task: Task | None) -> str | None:
    return task.url if isinstance(task, TaskHandle) else None
