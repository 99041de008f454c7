"""What `upnext.schedules` does, step by step, for callers that await and those that block."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Generator, Mapping
from datetime import timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import orjson

from upnext.client.cron_declarations import check_call, make_plan
from upnext.client.future import Future
from upnext.client.handle import TaskHandle
from upnext.errors import JobRefusedError, ScheduleExistsError, ScheduleNotFoundError
from upnext.model.cron import CronPlan, MissedRunPolicy, Overlap
from upnext.model.identity import function_tag, new_job_id
from upnext.model.job import NewJob
from upnext.model.schedule import (
    OrderVerdict,
    Schedule,
    ScheduleAction,
    ScheduleOrder,
    Schedules,
    checked_name,
)

Task = TaskHandle[..., Any] | str
T = TypeVar("T")
Step = Callable[[Any], Any]
"""One call of a store, of either kind."""
Steps = Generator[Step, Any, T]
"""Calls whose answers are sent back in, and what comes out in the end."""


def add_schedule(
    task: TaskHandle[..., Any],
    plan: CronPlan,
    name: str | None,
    arguments: Mapping[str, Any] | None,
    note: str,
) -> Steps[Schedule]:
    function, title = _named(task, name)
    encoded = _encoded(task, arguments or {})
    now = yield lambda store: store.now()
    order = ScheduleOrder(
        action=ScheduleAction.ADD,
        function=function,
        name=title,
        next_at=plan.cron.next_after(now),
        plan=plan,
        arguments=encoded,
        origin=_origin(note),
    )
    ordered = yield lambda store: store.order(order)
    if ordered.verdict is OrderVerdict.EXISTS:
        raise ScheduleExistsError(function, title)
    return ordered.schedule


def change_schedule(
    task: Task,
    name: str | None,
    changes: Mapping[str, Any],
    arguments: Mapping[str, Any] | None,
    note: str,
) -> Steps[Schedule]:
    function, title = _named(task, name)
    encoded = None if arguments is None else _encoded(task, arguments)
    while True:
        found: Schedule = yield from get_schedule(task, name)
        plan = _changed(found.plan, changes)
        now: int = yield lambda store: store.now()
        same = (plan.expression, plan.timezone) == (found.plan.expression, found.plan.timezone)
        order = ScheduleOrder(
            action=ScheduleAction.CHANGE,
            function=function,
            name=title,
            revision=found.revision,
            next_at=found.next_at if same else plan.cron.next_after(now),
            plan=plan,
            arguments=found.arguments if encoded is None else encoded,
            origin=_origin(note),
        )
        ordered = yield lambda store, order=order: store.order(order)
        if ordered.verdict is OrderVerdict.DONE:
            return ordered.schedule
        # Somebody else changed it meanwhile: go by what it is now.


def remove_schedule(task: Task, name: str | None) -> Steps[bool]:
    order = _order(ScheduleAction.REMOVE, task, name)
    ordered = yield lambda store: store.order(order)
    return ordered.verdict is OrderVerdict.DONE


def pause_schedule(task: Task, name: str | None) -> Steps[Schedule]:
    order = _order(ScheduleAction.PAUSE, task, name)
    ordered = yield lambda store: store.order(order)
    if ordered.schedule is None:
        raise ScheduleNotFoundError(order.function, order.name)
    return ordered.schedule


def resume_schedule(task: Task, name: str | None) -> Steps[Schedule]:
    while True:
        found: Schedule = yield from get_schedule(task, name)
        now: int = yield lambda store: store.now()
        next_at = found.plan.cron.next_after(now)
        order = _order(ScheduleAction.RESUME, task, name, found.revision, next_at)
        ordered = yield lambda store, order=order: store.order(order)
        if ordered.verdict in (OrderVerdict.DONE, OrderVerdict.UNCHANGED):
            return ordered.schedule


def run_now(task: Task, name: str | None) -> Steps[Future[Any]]:
    found: Schedule = yield from get_schedule(task, name)
    about = {"type": "cron", "name": found.name, "schedule": found.plan.expression, "manual": True}
    job = NewJob(
        id=new_job_id(function_tag(found.function)),
        function=found.function,
        arguments=found.arguments,
        source=orjson.dumps(about),
    )
    [answer] = yield lambda store: store.enqueue((job,))
    if isinstance(answer, JobRefusedError):
        raise answer
    return Future(answer.id) if isinstance(task, str) else task.future(answer.id)


def get_schedule(task: Task, name: str | None) -> Steps[Schedule]:
    function, title = _named(task, name)
    found: Schedules = yield lambda store: store.schedules([function])
    for schedule in found.schedules:
        if schedule.name == title:
            return schedule
    raise ScheduleNotFoundError(function, title)


def all_of(task: Task | None) -> Steps[list[Schedule]]:
    if task is None:
        functions = yield lambda store: store.scheduled_functions()
    else:
        functions = [_named(task, None)[0]]
    found: Schedules = yield lambda store: store.schedules(functions)
    return sorted(found.schedules, key=lambda one: (one.paused, one.next_at, one.function))


def _named(task: Task, name: str | None) -> tuple[str, str]:
    function = task if isinstance(task, str) else task.name
    return function, function if name is None else checked_name(name)


def _order(
    action: ScheduleAction,
    task: Task,
    name: str | None,
    revision: int | None = None,
    next_at: int = 0,
) -> ScheduleOrder:
    function, title = _named(task, name)
    return ScheduleOrder(
        action=action, function=function, name=title, revision=revision, next_at=next_at
    )


def _encoded(task: Task, arguments: Mapping[str, Any]) -> bytes:
    if isinstance(task, str):
        raise TypeError(
            f"arguments for {task!r} cannot be encoded by its name: pass the task itself"
        )
    check_call(task.name, task.func, arguments)
    return task.definition.arguments.encode((), dict(arguments))


def given_changes(
    schedule: str | None,
    timezone: str | ZoneInfo | None,
    jitter: float | timedelta | None,
    missed_run_policy: MissedRunPolicy | str | None,
    max_catch_up_seconds: float | timedelta | None,
    overlap: Overlap | str | None,
) -> dict[str, Any]:
    given = {
        "schedule": schedule,
        "timezone": timezone,
        "jitter": jitter,
        "missed_run_policy": missed_run_policy,
        "max_catch_up_seconds": max_catch_up_seconds,
        "overlap": overlap,
    }
    return {option: value for option, value in given.items() if value is not None}


def _changed(plan: CronPlan, changes: Mapping[str, Any]) -> CronPlan:
    catch_up = None if plan.max_catch_up is None else plan.max_catch_up / 1000
    if changes.get("missed_run_policy", plan.missed_run_policy) != MissedRunPolicy.CATCH_UP:
        catch_up = None  # how far back it went is of no meaning any more
    before: dict[str, Any] = {
        "schedule": plan.expression,
        "timezone": plan.timezone,
        "jitter": plan.jitter / 1000,
        "missed_run_policy": plan.missed_run_policy,
        "max_catch_up_seconds": catch_up,
        "overlap": plan.overlap,
    }
    return make_plan(**{**before, **changes})


def _origin(note: str) -> str:
    program = os.path.basename(sys.argv[0]) or "python"
    place = f"api: {program} on {socket.gethostname()}, process {os.getpid()}"
    return f"{place}: {note.strip()}" if note.strip() else place
