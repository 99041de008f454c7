"""`@worker.cron`: make a task of a function whose jobs are made by the clock."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from upnext.client.declarations import TaskDeclarations, TaskDecorator
from upnext.client.handle import TaskHandle
from upnext.client.scope import local_names
from upnext.model.cron import CronPlan, MissedRunPolicy, Overlap
from upnext.model.policy import seconds
from upnext.tasks.definition import DEFAULT_TIMEOUT, ErrorKinds, TaskDefinition
from upnext.tasks.hooks import Hook, name_of

E = TypeVar("E", MissedRunPolicy, Overlap)


class CronDeclarations(TaskDeclarations):
    """The part of a worker that users declare tasks and crons on.

    Attributes:
        crons: The handles of the crons, in the order of declaration.
    """

    def __init__(self) -> None:
        super().__init__()
        self.crons: list[TaskHandle[..., Any]] = []

    def cron(
        self,
        schedule: str,
        *,
        name: str | None = None,
        timeout: float | timedelta | None = DEFAULT_TIMEOUT,
        missed_run_policy: MissedRunPolicy | str = MissedRunPolicy.LATEST_ONLY,
        max_catch_up_seconds: float | timedelta | None = None,
        timezone: str | ZoneInfo = "UTC",
        jitter: float | timedelta = 0,
        overlap: Overlap | str = Overlap.ALLOW,
        arguments: Mapping[str, Any] | None = None,
        retries: int = 0,
        retry_delay: float | timedelta = 1.0,
        retry_backoff: float = 2.0,
        retry_jitter: float | bool = False,
        retry_max_delay: float | timedelta | None = None,
        retry_on: ErrorKinds = None,
        no_retry_on: ErrorKinds = None,
        rate_limit: str | None = None,
        max_concurrency: int | None = None,
        routing_group: str | None = None,
        group_max_concurrency: int | None = None,
        dead_letter: bool = False,
        on_start: Hook | None = None,
        on_success: Hook | None = None,
        on_failure: Hook | None = None,
        on_retry: Hook | None = None,
        on_complete: Hook | None = None,
    ) -> TaskDecorator:
        """Declare a function as a cron: `@worker.cron("0 7 * * mon-fri")`.

        Its jobs are made by the workers that have it, each occurrence once, by the clock of Redis.

        Args:
            schedule: Five fields (minute, hour, day, month, weekday), six with seconds first, or
                a word such as `@hourly`.
            name: What the queue calls it, unique in the workspace; None: the function's name.
            timeout: Seconds one attempt may take, or a `timedelta`; None: as long as it likes.
            missed_run_policy: What becomes of occurrences that came while no worker ran.
            max_catch_up_seconds: How far back `CATCH_UP` goes; None: as far as there is something.
            timezone: A zone of the tz database, such as "Europe/Berlin".
            jitter: Seconds, or a `timedelta`, by which each occurrence may be put off, so that
                many of one time do not start at once.
            overlap: What becomes of an occurrence while an earlier one's job is not over: it is
                run beside it ("allow"), left out ("skip"), or run after it ("queue").
            arguments: What the function is called with, by name.
            retries: As for a task, like all that follow.
            retry_delay: See `task`.
            retry_backoff: See `task`.
            retry_jitter: See `task`.
            retry_max_delay: See `task`.
            retry_on: See `task`.
            no_retry_on: See `task`.
            rate_limit: See `task`.
            max_concurrency: See `task`.
            routing_group: See `task`.
            group_max_concurrency: See `task`.
            dead_letter: See `task`.
            on_start: See `task`.
            on_success: See `task`.
            on_failure: See `task`.
            on_retry: See `task`.
            on_complete: See `task`.

        Returns:
            A decorator that returns a task in place of the function: it can be submitted by hand.

        Raises:
            ValueError: an option cannot be used, or the function cannot be called with
                `arguments`.
            CodecError: an argument cannot be written as JSON; it is a ValueError, too.
            TypeError: the schedule is no text, or this is no function.
            ConfigurationError: another function has this name here; both places are named.
        """
        if not isinstance(schedule, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                "@worker.cron takes a schedule, such as @worker.cron('*/5 * * * *'), not"
                f" {schedule!r}"
            )
        if arguments is not None and not isinstance(arguments, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(
                f"arguments must be a mapping by name, such as {{'days': 7}}, not {arguments!r}"
            )
        plan = make_plan(
            schedule,
            timezone=timezone,
            jitter=jitter,
            missed_run_policy=missed_run_policy,
            max_catch_up_seconds=max_catch_up_seconds,
            overlap=overlap,
        )
        frame = inspect.currentframe()
        scope = local_names(frame.f_back if frame else None)

        def decorate(function: Callable[..., Any], /) -> TaskHandle[..., Any]:
            given = {} if arguments is None else dict(arguments)
            title = name_of(function).rpartition(".")[2] if name is None else name
            if title == "<lambda>":
                raise ValueError("a lambda has no name: say @worker.cron(…, name=…)")
            definition = TaskDefinition(
                function=function,
                name=title,
                scope=scope,
                schedule=plan,
                schedule_arguments=given,
                timeout=timeout,
                retries=retries,
                retry_delay=retry_delay,
                retry_backoff=retry_backoff,
                retry_jitter=retry_jitter,
                retry_max_delay=retry_max_delay,
                retry_on=retry_on,
                no_retry_on=no_retry_on,
                rate_limit=rate_limit,
                max_concurrency=max_concurrency,
                routing_group=routing_group,
                group_max_concurrency=group_max_concurrency,
                dead_letter=dead_letter,
                on_start=on_start,
                on_success=on_success,
                on_failure=on_failure,
                on_retry=on_retry,
                on_complete=on_complete,
            )
            check_call(definition.name, function, given)
            if given:
                with suppress(NameError):  # annotations may speak of what is defined after it
                    definition.scheduled_call  # noqa: B018 - whether it can be encoded
            handle = self._add(definition)
            self.crons = [one for one in self.crons if one.name != handle.name]
            self.crons.append(handle)
            return handle

        return decorate


def make_plan(
    schedule: str,
    *,
    timezone: str | ZoneInfo = "UTC",
    jitter: float | timedelta = 0,
    missed_run_policy: MissedRunPolicy | str = MissedRunPolicy.LATEST_ONLY,
    max_catch_up_seconds: float | timedelta | None = None,
    overlap: Overlap | str = Overlap.ALLOW,
) -> CronPlan:
    """A plan from what users say; see `CronDeclarations.cron`.

    Raises:
        ValueError: an option cannot be used; one line says which and why.
    """
    policy = _one_of(MissedRunPolicy, missed_run_policy, "missed_run_policy")
    catch_up = None
    if max_catch_up_seconds is not None:
        catch_up = round(seconds(max_catch_up_seconds, "max_catch_up_seconds") * 1000)
        if not catch_up:
            raise ValueError("max_catch_up_seconds must be more than 0; None is no limit")
        if policy is not MissedRunPolicy.CATCH_UP:
            raise ValueError(
                f"max_catch_up_seconds is of use with missed_run_policy='catch_up', not {policy!s}"
            )
    zone = timezone.key if isinstance(timezone, ZoneInfo) else timezone
    if not isinstance(zone, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"timezone must be a name, such as 'Europe/Berlin', not {timezone!r}")
    return CronPlan(
        expression=schedule.strip(),
        timezone=zone.strip(),
        jitter=round(seconds(jitter, "jitter") * 1000),
        missed_run_policy=policy,
        max_catch_up=catch_up,
        overlap=_one_of(Overlap, overlap, "overlap"),
    )


def check_call(name: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """See that a function can be called with these arguments.

    Raises:
        ValueError: it cannot; one line says why.
    """
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):  # a builtin that does not say
        return
    try:
        signature.bind(**arguments)
    except TypeError as problem:
        raise ValueError(
            f"cron {name!r} cannot be called with arguments={dict(arguments)!r}: {problem}"
        ) from None


def _one_of(kind: type[E], value: str, what: str) -> E:
    try:
        return kind(value)
    except ValueError:
        words = " or ".join(repr(each.value) for each in kind)
        raise ValueError(f"{what} must be {words}, not {value!r}") from None
