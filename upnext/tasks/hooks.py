"""Call what users hang on to a task, in whatever form it comes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from inspect import Parameter
from types import CodeType
from typing import Any, cast

import anyio.to_thread
from anyio import CapacityLimiter

Hook = Callable[..., Any]
"""A function, partial, method or callable object; sync or async; with all arguments that its
event offers, or fewer, or none."""


async def call_hook(hook: Hook, *args: Any, limiter: CapacityLimiter | None = None) -> None:
    """Call a hook with as many of the arguments as it takes, and wait until it is done.

    A sync hook runs in a worker thread, so that it may block. The current context is visible in
    both. What the hook raises, passes. Cancelling the caller cancels an async hook; a sync one is
    left behind, as a thread cannot be interrupted, and ends when it calls
    `upnext.check_cancelled()` or is done.

    Args:
        hook: What to call.
        *args: What the event offers, the most important first.
        limiter: Bounds the worker threads; None: AnyIO's default limiter.
    """
    room, awaits = _shape(hook)
    given = args[:room]
    if awaits:
        result = hook(*given)
    else:
        # In a tuple, for Trio takes a coroutine that comes out of a thread for a mistake.
        (result,) = await anyio.to_thread.run_sync(
            lambda: (hook(*given),), limiter=limiter, abandon_on_cancel=True
        )
    if inspect.isawaitable(result):  # an async hook, or a lambda around one
        await result


def accepted(hook: Hook, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """As many of these arguments as a hook takes."""
    room, _ = _shape(hook)
    return args[:room]


def name_of(function: Callable[..., Any]) -> str:
    """What to call a function in a message; partials and callable objects have no name."""
    target = _target(function)
    return getattr(target, "__qualname__", None) or type(target).__qualname__


def module_of(function: Callable[..., Any]) -> str:
    """The name of the module it is defined in."""
    target = _target(function)
    return getattr(target, "__module__", None) or type(target).__module__


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it makes a coroutine."""
    target = _target(function)
    return inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(_call_of(target))


def code_of(function: Callable[..., Any]) -> CodeType | None:
    """Its code, which knows where it is written; None for what is not written in Python."""
    target = inspect.unwrap(_target(function))
    if code := getattr(target, "__code__", None):
        return code
    return getattr(_call_of(target), "__code__", None)


def _call_of(instance: object) -> Any:
    """What calling a callable object runs."""
    kind: Any = type(instance)
    return kind.__call__ if callable(instance) else None


def _target(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = cast("Callable[..., Any]", function.func)
    return function


def _shape(hook: Hook) -> tuple[int, bool]:
    """How many arguments it takes, and whether it is async."""
    try:
        return _remembered_shape(hook)
    except TypeError:  # not hashable
        return _look_at(hook)


def _look_at(hook: Hook) -> tuple[int, bool]:
    return _count_room(hook), is_async(hook)


def _count_room(hook: Hook) -> int:
    try:
        parameters = inspect.signature(hook).parameters.values()
    except (ValueError, TypeError):  # a builtin that does not say
        return _UNLIMITED
    if any(parameter.kind is Parameter.VAR_POSITIONAL for parameter in parameters):
        return _UNLIMITED
    return sum(
        parameter.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        for parameter in parameters
    )


_UNLIMITED = 1_000
_remembered_shape = functools.lru_cache(maxsize=1_024)(_look_at)
