"""`@worker.task`: make a task of a function."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from attrs import fields

from upnext.client.event import EventHandle
from upnext.client.handle import TaskHandle
from upnext.client.scope import local_names
from upnext.model.pattern import Pattern
from upnext.tasks.definition import DEFAULT_TIMEOUT, ErrorKinds, TaskDefinition
from upnext.tasks.hooks import Hook, name_of
from upnext.tasks.registry import Registry

P = ParamSpec("P")
T = TypeVar("T")


class TaskDecorator(Protocol):
    """What `@worker.task(…)` leaves to be done: take the function."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> TaskHandle[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> TaskHandle[P, T]: ...


class TaskDeclarations:
    """The part of a worker that users declare tasks on.

    Attributes:
        redis_url: Where the tasks' queue is; None: what the settings say.
        registry: What was declared.
        tasks: The handles, by name.
        events: The handles of events, by pattern.
    """

    redis_url: str | None = None

    def __init__(self) -> None:
        self.registry = Registry()
        self.tasks: dict[str, TaskHandle[..., Any]] = {}
        self.events: dict[str, EventHandle] = {}

    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> TaskHandle[P, T]: ...
    @overload
    def task(self, function: Callable[P, T], /) -> TaskHandle[P, T]: ...
    @overload
    def task(
        self,
        *,
        name: str | None = None,
        retries: int = 0,
        retry_delay: float | timedelta = 1.0,
        retry_backoff: float = 2.0,
        retry_jitter: float | bool = False,
        retry_max_delay: float | timedelta | None = None,
        retry_on: ErrorKinds = None,
        no_retry_on: ErrorKinds = None,
        timeout: float | timedelta | None = DEFAULT_TIMEOUT,
        cache_key: str | None = None,
        cache_ttl: int | None = None,
        rate_limit: str | None = None,
        rate_limit_key: str | None = None,
        max_concurrency: int | None = None,
        concurrency_key: str | None = None,
        routing_group: str | None = None,
        group_max_concurrency: int | None = None,
        dead_letter: bool = False,
        capture_logs: bool | None = None,
        max_deliveries: int | None = None,
        on_start: Hook | None = None,
        on_success: Hook | None = None,
        on_failure: Hook | None = None,
        on_retry: Hook | None = None,
        on_complete: Hook | None = None,
    ) -> TaskDecorator: ...
    def task(self, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Declare a function as a task: `@worker.task`, or `@worker.task(retries=3)`.

        Args:
            function: Async or sync. A sync one runs in a thread, or in a process where the worker
                says so.
            name: What the queue calls it, unique in the workspace; None: the function's name.
                Moving or renaming the module changes nothing.
            retries: Attempts after the first one.
            retry_delay: Seconds before the first retry, or a `timedelta`.
            retry_backoff: Each further retry waits this many times longer; 1 or more.
            retry_jitter: Spreads each delay over plus or minus this fraction of it; True: a half.
            retry_max_delay: Seconds, or a `timedelta`: the longest delay.
            retry_on: Exception classes that are worth another attempt; None: all.
            no_retry_on: Exception classes that are not; they win over `retry_on`.
            timeout: Seconds one attempt may take, or a `timedelta`; None: as long as it likes.
            cache_key: Which calls share a cached result: a text with arguments in braces, such as
                "report:{date}"; None: those with equal arguments.
            cache_ttl: Seconds for which a result is cached; None: not at all.
            rate_limit: So many starts in a time, in the workspace: "100/m", "5/10s", "10/minute".
            rate_limit_key: Whose rate it is: a template over arguments, such as "{tenant_id}" or
                "{order.customer}". Each value has a rate of its own, and takes its turn.
            max_concurrency: Most of its jobs that run at once, in the workspace.
            concurrency_key: Whose jobs are counted, as `rate_limit_key`: then `max_concurrency` is
                how many of each value run at once.
            routing_group: A label that several tasks share.
            group_max_concurrency: Most jobs of the group that run at once, in the workspace.
            dead_letter: Keep a job that fails for good aside, for a replay.
            capture_logs: Whether what its jobs log with the logging module goes to their own logs,
                too; None: as the worker says.
            max_deliveries: A job that was lost with its worker so often in a row is failed and kept
                aside; None: as UPNEXT_QUEUE_MAX_DELIVERIES says, 3.
            on_start: Called with the context before each attempt. Every hook may be sync or async
                and take fewer arguments, or none; what it raises is logged, no more.
            on_success: Called with the context and the result.
            on_failure: Called with the context and the error, when no attempt is left.
            on_retry: Called with the context and the error, before another attempt.
            on_complete: Called with the context at the end, after success or failure.

        Returns:
            The task, in place of the function.

        Raises:
            ValueError: an option cannot be used.
            TypeError: this is no function, or there is no such option.
            ConfigurationError: another function has this name here; both places are named.
        """
        frame = inspect.currentframe()
        scope = local_names(frame.f_back if frame else None)
        if function is not None:
            return self._declare(function, scope, options)

        def decorate(function: Callable[..., Any], /) -> TaskHandle[..., Any]:
            return self._declare(function, scope, options)

        return decorate

    def event(self, pattern: str) -> EventHandle:
        """Events of one name, such as "order.paid", or of all names that match a pattern.

        In a pattern `*` stands for one segment between dots and `**` for one or more. The same
        pattern gives the same handle.

        Raises:
            ValueError: this cannot be a name or a pattern; one line says why.
        """
        parsed = Pattern.parse(pattern)
        handle = self.events.get(parsed.text)
        if handle is None:
            handle = self.events[parsed.text] = EventHandle(parsed, self, self._declare_handler)
        return handle

    def _declare(
        self, function: Callable[..., Any], scope: dict[str, Any], options: dict[str, Any]
    ) -> TaskHandle[..., Any]:
        handle = self._define("@worker.task", function, scope, options)
        self.tasks[handle.name] = handle
        return handle

    def _declare_handler(
        self,
        pattern: str,
        function: Callable[..., Any],
        scope: dict[str, Any],
        options: dict[str, Any],
    ) -> TaskHandle[..., Any]:
        if _takes_more_by_position(function):
            raise ValueError(
                f"{name_of(function)} takes *args, but a handler is called with an event's data by"
                " name: use **data"
            )
        return self._define("@event.on", function, scope, options, pattern=pattern)

    def _define(
        self,
        decorator: str,
        function: Callable[..., Any],
        scope: dict[str, Any],
        options: dict[str, Any],
        **more: Any,
    ) -> TaskHandle[..., Any]:
        if options.get("name") is None:
            options = {**options, "name": name_of(function).rpartition(".")[2]}
            if options["name"] == "<lambda>":
                raise ValueError(f"a lambda has no name: say {decorator}(name=…)")
        for option in options.keys() - _OPTIONS:
            near = difflib.get_close_matches(option, _OPTIONS, n=1)
            hint = (
                f": did you mean {near[0]}?"
                if near
                else f"; there are {', '.join(sorted(_OPTIONS))}"
            )
            raise TypeError(f"{decorator} has no option {option!r}{hint}")
        return self._add(TaskDefinition(function=function, scope=scope, **options, **more))

    def _add(self, definition: TaskDefinition) -> TaskHandle[..., Any]:
        self.registry.add(definition)
        return TaskHandle[..., Any](definition, self)


def _takes_more_by_position(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # no function: its definition says so
        return False
    return any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)


_OPTIONS = {
    attribute.alias
    for attribute in fields(TaskDefinition)
    if attribute.init
    and attribute.alias not in ("function", "scope", "pattern", "schedule", "schedule_arguments")
}
"""What `task` takes; its signature says it to people and type checkers."""
