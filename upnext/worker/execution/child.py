"""The other side of a process job: find the function, call it, pack up what came of it."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, TextIO

from attrs import frozen

from upnext.errors import CodecError
from upnext.model.outcome import Failure
from upnext.tasks.context import Context, current_context
from upnext.tasks.control import Discard, Retry, Snooze
from upnext.tasks.definition import TaskDefinition
from upnext.tasks.modules import ModuleSource, load
from upnext.worker.execution.child_host import ChildHost
from upnext.worker.execution.failure import failure_of
from upnext.worker.reporting.capture import capturing


@frozen(kw_only=True)
class Answer:
    """What a process says of one call. Only this crosses back, never an exception object:
    many cannot be pickled, or not be unpickled.
    """

    result: bytes | None = None
    failure: Failure | None = None
    retryable: bool = False
    control: Retry | Snooze | Discard | None = None


_ANY = (Exception, SystemExit, KeyboardInterrupt)
"""Crossing back, the last two would end the parent."""


def run_in_child(
    source: ModuleSource,
    qualname: str,
    name: str,
    arguments: bytes,
    context: Context,
    host: ChildHost | None = None,
) -> Answer:
    """Call a task's function in this process; `host` stands for the worker."""
    _leave_stopping_to_the_parent()
    context = context.portable(host)
    token = current_context.set(context)
    try:
        definition = _find(source, qualname, name)
        if host is not None:
            host.log_as_the_worker()
        with capturing():
            return _call(definition, arguments)
    except _ANY as error:  # whatever importing the user's module raises
        return Answer(failure=failure_of(error), retryable=True)
    finally:
        current_context.reset(token)
        if context.said is not None:
            context.close()  # before the answer: what it said is heard first


def _call(definition: TaskDefinition, arguments: bytes) -> Answer:
    try:
        args, kwargs = definition.arguments.decode(arguments)
    except CodecError as problem:
        return Answer(failure=failure_of(problem, "the arguments do not fit the function: "))
    try:
        value = definition.function(*args, **kwargs)
    except (Retry, Snooze, Discard) as control:
        return Answer(failure=failure_of(control), control=control)
    except _ANY as error:  # whatever the user's function raises
        return Answer(failure=failure_of(error), retryable=definition.retries_on(type(error)))
    try:
        return Answer(result=definition.result.encode(value))
    except CodecError as problem:
        return Answer(failure=failure_of(problem, "the result cannot be stored: "))


def _find(source: ModuleSource, qualname: str, name: str) -> TaskDefinition:
    """The definition behind a name in a module: the decorator left its handle there."""
    found: Any = load(source)
    for part in qualname.split("."):
        found = getattr(found, part)
    definition: Any = getattr(found, "definition", None)
    if not isinstance(definition, TaskDefinition) or definition.name != name:
        raise LookupError(f"{source.name}.{qualname} is not the task {name!r} in a worker process")
    return definition


def _leave_stopping_to_the_parent() -> None:
    # Ctrl+C and a service manager's SIGTERM reach the whole process group. The parent drains:
    # it ends this process by closing its standard input, or kills it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if getattr(sys.stderr, "name", None) == os.devnull:
        sys.stderr = sys.stdout = _parents_stderr()


def _parents_stderr() -> TextIO:
    """Where the job's prints and log lines go.

    Standard output carries the answers, and standard error is a pipe that nobody reads: a job
    that fills it would hang. The parent's own standard error can be opened where there is /proc;
    elsewhere what a job prints is lost.
    """
    try:
        target = os.open(f"/proc/{os.getppid()}/fd/2", os.O_WRONLY | os.O_APPEND)
    except OSError:
        target = os.open(os.devnull, os.O_WRONLY)
    os.dup2(target, 2)
    os.close(target)
    return os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
