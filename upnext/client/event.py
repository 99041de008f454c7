"""Events: declare what handles them, and send them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Generic, ParamSpec, Protocol, overload

import orjson

from upnext.client import sync
from upnext.client.connect import connect
from upnext.client.handle import TaskHandle
from upnext.client.options import checked_key
from upnext.client.ports import Origin
from upnext.client.scope import local_names
from upnext.contracts.codec.text import dumps, loads
from upnext.errors import CodecError, EventRefusedError
from upnext.model.event import NewEvent, Sent
from upnext.model.identity import new_event_id
from upnext.model.pattern import Pattern, event_name
from upnext.tasks.context import current_context
from upnext.tasks.definition import DEFAULT_TIMEOUT, ErrorKinds, TaskDefinition
from upnext.tasks.hooks import Hook

__all__ = [
    "EventHandle",
    "TypedEvent",
    "send_event",
    "send_event_idempotent",
    "send_event_idempotent_sync",
    "send_event_sync",
]

P = ParamSpec("P")

_ROOT = "data"


async def send_event(name: str, /, **data: Any) -> str:
    """Send an event by its name, from any async code; no worker is needed.

    Args:
        name: The event, such as "order.paid"; without wildcards.
        **data: What its handlers are called with.

    Returns:
        The event's id, once it is stored. Every handler that is known when the event is routed
        gets one job.

    Raises:
        ValueError: this is no event's name.
        CodecError: a value cannot be written as JSON.
        EventRefusedError: too many events wait already.
        redis.exceptions.RedisError: the queue cannot be reached, or refused the command.

    Cancelled, it may or may not have been sent.
    """
    return await _send(None, event_name(name), _encode(data))


async def send_event_idempotent(name: str, key: str, /, **data: Any) -> str:
    """`send_event`, unless an event of this name was sent with this key: then the id of that one.

    Args:
        name: The event.
        key: 1 to 256 characters; it is kept for UPNEXT_QUEUE_JOB_TTL_SECONDS.
        **data: What its handlers are called with.
    """
    return await _send(None, event_name(name), _encode(data), checked_key(key))


def send_event_sync(name: str, /, **data: Any) -> str:
    """`send_event` for code that does not await, in any thread. Blocks the thread."""
    return _send_sync(None, event_name(name), _encode(data))


def send_event_idempotent_sync(name: str, key: str, /, **data: Any) -> str:
    """`send_event_idempotent` for code that does not await. Blocks the thread."""
    return _send_sync(None, event_name(name), _encode(data), checked_key(key))


Declare = Callable[[str, Callable[..., Any], dict[str, Any], dict[str, Any]], TaskHandle[..., Any]]
"""Makes a handler: pattern, function, local names, options."""


class HandlerDecorator(Protocol):
    """What `@event.on(…)` leaves to be done: take the function."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, Any]], /) -> TypedEvent[P]: ...
    @overload
    def __call__(self, function: Callable[P, Any], /) -> TypedEvent[P]: ...


class EventHandle:
    """Events of one name, or of all names that match a pattern. Made by `worker.event(…)`.

    Attributes:
        pattern: The name or the pattern.
    """

    def __init__(self, pattern: Pattern, origin: Origin, declare: Declare) -> None:
        self.pattern = pattern.text
        self._pattern = pattern
        self._origin = origin
        self._declare = declare
        self._handlers: dict[str, TypedEvent[...]] = {}

    @property
    def handler_names(self) -> list[str]:
        """The names of the handlers that this process declares here, in order."""
        return list(self._handlers)

    @property
    def handler_keys(self) -> list[str]:
        """What the queue calls them."""
        return [handler.definition.name for handler in self._handlers.values()]

    @property
    def handlers(self) -> dict[str, TypedEvent[...]]:
        """The handlers by name."""
        return dict(self._handlers)

    def handler_configs(self) -> list[dict[str, Any]]:
        """What is declared of each handler: its name and all options, as the queue is told."""
        return [orjson.loads(handler.definition.describe()) for handler in self._handlers.values()]

    @overload
    def on(self, function: Callable[P, Coroutine[Any, Any, Any]], /) -> TypedEvent[P]: ...
    @overload
    def on(self, function: Callable[P, Any], /) -> TypedEvent[P]: ...
    @overload
    def on(
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
        max_concurrency: int | None = None,
        routing_group: str | None = None,
        group_max_concurrency: int | None = None,
        dead_letter: bool = False,
        on_start: Hook | None = None,
        on_success: Hook | None = None,
        on_failure: Hook | None = None,
        on_retry: Hook | None = None,
        on_complete: Hook | None = None,
    ) -> HandlerDecorator: ...
    def on(self, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Declare a handler: `@event.on`, or `@event.on(retries=3)`, with a task's options.

        Every matching event becomes one job of the handler, called with the event's data by name.

        Returns:
            The handler, in place of the function.

        Raises:
            ValueError: an option cannot be used, or the function takes `*args`.
            TypeError: this is no function, or there is no such option.
            ConfigurationError: another function has this name here; both places are named.
        """
        frame = inspect.currentframe()
        scope = local_names(frame.f_back if frame else None)
        if function is not None:
            return self._add(function, scope, options)

        def decorate(function: Callable[..., Any], /) -> TypedEvent[...]:
            return self._add(function, scope, options)

        return decorate

    async def send(self, /, **data: Any) -> str:
        """Send this event; see `send_event`.

        Raises:
            ValueError: this is a pattern with wildcards, not an event's name.
        """
        return await _send(self._origin, self._name, _encode(data))

    async def send_idempotent(self, key: str, /, **data: Any) -> str:
        """Send this event unless it was sent with this key; see `send_event_idempotent`."""
        return await _send(self._origin, self._name, _encode(data), checked_key(key))

    def send_sync(self, /, **data: Any) -> str:
        """`send` for code that does not await, in any thread. Blocks the thread."""
        return _send_sync(self._origin, self._name, _encode(data))

    def send_idempotent_sync(self, key: str, /, **data: Any) -> str:
        """`send_idempotent` for code that does not await. Blocks the thread."""
        return _send_sync(self._origin, self._name, _encode(data), checked_key(key))

    @property
    def _name(self) -> str:
        return self.pattern if self._pattern.is_name else event_name(self.pattern)

    def _add(
        self, function: Callable[..., Any], scope: dict[str, Any], options: dict[str, Any]
    ) -> TypedEvent[...]:
        if isinstance(function, TaskHandle | TypedEvent):
            raise TypeError(
                f"{function.name} is declared already: pass its function ({function.name}.func)"
                " and another name (on(name=…))"
            )
        task = self._declare(self.pattern, function, scope, options)
        handler = TypedEvent[...](self._pattern, task, self._origin)
        self._handlers[task.name] = handler
        return handler

    def __repr__(self) -> str:
        return f"<event {self.pattern!r}, {len(self._handlers)} handlers>"


class TypedEvent(Generic[P]):
    """A handler of an event. Sending through it has the signature of its function.

    It sends the event: all other handlers of the event get it as well.
    """

    def __init__(self, pattern: Pattern, task: TaskHandle[P, Any], origin: Origin) -> None:
        self.pattern = pattern.text
        self.task = task
        """The handler as a task, to submit it alone or call it."""
        self.__name__ = task.name
        self.__doc__ = task.__doc__
        self._pattern = pattern
        self._origin = origin

    @property
    def name(self) -> str:
        """The handler's name."""
        return self.task.name

    @property
    def function_key(self) -> str:
        """What the queue calls the handler."""
        return self.task.function_key

    @property
    def definition(self) -> TaskDefinition:
        """How the handler's jobs are run."""
        return self.task.definition

    @property
    def func(self) -> Callable[P, Any]:
        """The function itself."""
        return self.task.func

    async def send(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Send the event with these arguments of the handler as its data; see `send_event`.

        Raises:
            TypeError: the function cannot be called like this.
            ValueError: the handler listens to a pattern with wildcards, not to one event.
        """
        return await _send(self._origin, self._event, self._encode(args, kwargs))

    def send_sync(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """`send` for code that does not await, in any thread. Blocks the thread."""
        return _send_sync(self._origin, self._event, self._encode(args, kwargs))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call the function here and now, as `TaskHandle` does."""
        return self.task(*args, **kwargs)

    @property
    def _event(self) -> str:
        return self.pattern if self._pattern.is_name else event_name(self.pattern)

    def _encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        arguments = self.definition.arguments
        data = arguments.encode(args, kwargs)
        if arguments.others is None:
            return data
        # What `**others` collected stands beside the rest: other handlers know no such name.
        given = loads(data, _ROOT)
        others = given.pop(f"**{arguments.others}", {})
        return dumps({**given, **others}, _ROOT)

    def __repr__(self) -> str:
        return f"<handler {self.name} of {self.pattern!r} at {self.definition.place}>"


def _encode(data: dict[str, Any]) -> bytes:
    try:
        return dumps(data, "")
    except CodecError as error:
        raise CodecError(error.path.lstrip(".") or _ROOT, error.problem) from error.__cause__


async def _send(origin: Origin | None, name: str, data: bytes, key: str = "") -> str:
    client = await connect(None if origin is None else origin.redis_url)
    (answer,) = await client.store.send((_new_event(name, data, key),))
    return _id_of(answer)


def _send_sync(origin: Origin | None, name: str, data: bytes, key: str = "") -> str:
    if sync.must_await():
        return sync.through_loop(_send, origin, name, data, key)
    client = sync.blocking_client(None if origin is None else origin.redis_url)
    (answer,) = client.store.send((_new_event(name, data, key),))
    return _id_of(answer)


def _new_event(name: str, data: bytes, key: str) -> NewEvent:
    event = NewEvent(id=new_event_id(), name=name, data=data, key=key)
    context = current_context.get(None)
    if context is not None:
        if context.root_id:  # '' in a direct call, which is no job
            event.parent_id, event.root_id = context.job_id, context.root_id
        event.deadline = context.deadline
    return event


def _id_of(answer: Sent | EventRefusedError) -> str:
    if isinstance(answer, EventRefusedError):
        raise answer
    return answer.id
