"""Run jobs at once where they are submitted: for simple suites."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Literal, TypeVar

import anyio
from anyio import NoEventLoopError
from anyio.lowlevel import current_token

from upnext.client.connect import stand_in
from upnext.errors import CodecError, ConfigurationError, JobRefusedError
from upnext.model.job import Enqueued, Job, NewJob
from upnext.model.outcome import Ending, Outcome
from upnext.tasks.context import Context, current_context
from upnext.tasks.definition import TaskDefinition
from upnext.tasks.hooks import Hook, accepted
from upnext.testing.fake import Shelf, introducer
from upnext.testing.jobs import Jobs
from upnext.testing.kept import AtOnce, make_due
from upnext.worker.execution import verdict
from upnext.worker.execution.failure import failure_of
from upnext.worker.worker import Worker

__all__ = ["inline"]

logger = logging.getLogger("upnext.testing")

V = TypeVar("V")
Call = Callable[..., Awaitable[Any]]

WHO = "inline"
"""The worker's name in records."""


@contextmanager
def inline(
    *workers: Worker,
    raise_errors: bool = False,
    backend: Literal["asyncio", "trio"] = "asyncio",
) -> Generator[Jobs]:
    """Run each job that is submitted inside the block at once, in the caller.

    A submit comes back when its job is over, with all its retries; the future has the result.
    Sync functions run in the caller's thread, async ones on its event loop, or on one of their
    own where there is none. Delays and retry delays are skipped, hooks are called; there are no
    timeouts, deadlines, or limits. A job that snoozes stays scheduled.

    Args:
        *workers: Whose tasks may be submitted; those whose handles submit are known anyway.
        raise_errors: Raise what a job failed with from the submit, instead of keeping it for
            whoever waits for the job.
        backend: The event loop of async functions that are submitted where none runs.

    Yields:
        What was submitted: assert about it.
    """
    store = Immediate(raise_errors)
    jobs = Jobs(store)
    store.definitions = jobs.definitions
    meet = introducer(jobs)
    for worker in workers:
        meet(worker)
    with stand_in(store, ImmediateAtOnce(store, backend), meet):
        yield jobs


class Immediate(Shelf):
    """Runs what it accepts before it answers."""

    def __init__(self, raise_errors: bool) -> None:
        super().__init__()
        self.definitions: dict[str, TaskDefinition] = {}
        self._raise_errors = raise_errors

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued | JobRefusedError]:
        """Accept jobs and run them, here on the event loop."""
        answers = self.accept(jobs)
        for job, answer in zip(jobs, answers, strict=True):
            if isinstance(answer, Enqueued) and answer.id == job.id:
                await self.perform(job.id, _await)
        return answers

    def accept(self, jobs: Sequence[NewJob]) -> list[Enqueued | JobRefusedError]:
        """Accept jobs.

        Raises:
            ConfigurationError: it is not known what runs them.
        """
        for job in jobs:
            if job.function not in self.definitions:
                raise ConfigurationError(
                    f"inline() does not know the task {job.function!r}: name its worker,"
                    " inline(worker)"
                )
        return self.at_once(super().enqueue(jobs))

    async def perform(self, job_id: str, call: Call) -> None:
        """Run a job until it is over or puts itself off."""
        record = self.queues[self.keys.of_job(job_id)].jobs[job_id]
        definition = self.definitions[record.function]
        while not record.status.is_terminal():
            make_due(self, record, self.clock())
            for job in self.at_once(self.claim(WHO, [(record.function, 1)])).jobs:
                outcome, error = await _attempt(definition, job, call)
                self.at_once(self.settle(WHO, [outcome]))
                if outcome.ending is Ending.SNOOZE:
                    return
                if outcome.ending is Ending.FAILED and self._raise_errors and error is not None:
                    raise error
                break
            else:
                return


class ImmediateAtOnce(AtOnce):
    """The same for callers that do not await."""

    def __init__(self, store: Immediate, backend: str) -> None:
        super().__init__(store)
        self._immediate = store
        self._call = _Blocking(backend)

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued | JobRefusedError]:
        """Accept jobs and run them, here in this thread."""
        answers = self._immediate.accept(jobs)
        for job, answer in zip(jobs, answers, strict=True):
            if isinstance(answer, Enqueued) and answer.id == job.id:
                _run_through(self._immediate.perform(job.id, self._call))
        return answers


async def _attempt(
    definition: TaskDefinition, job: Job, call: Call
) -> tuple[Outcome, Exception | None]:
    context = Context.of(job, definition, job.claimed_at / 1000, None, None)
    token = current_context.set(context)
    try:
        await _hook(call, definition.on_start, context)
        outcome, value = await _outcome(definition, job, call)
        error = value if isinstance(value, Exception) else None
        match outcome.ending:
            case Ending.COMPLETE:
                await _hook(call, definition.on_success, context, value)
                await _hook(call, definition.on_complete, context)
            case Ending.RETRY:
                await _hook(call, definition.on_retry, context, error)
            case Ending.FAILED:
                await _hook(call, definition.on_failure, context, error)
                await _hook(call, definition.on_complete, context)
            case _:
                pass
    finally:
        current_context.reset(token)
    return outcome, error if outcome.ending is not Ending.COMPLETE else None


async def _outcome(definition: TaskDefinition, job: Job, call: Call) -> tuple[Outcome, Any]:
    """How the function ended, and what it returned or raised."""
    began = perf_counter()
    prefix = "the arguments do not fit the function: "
    try:
        args, kwargs = definition.arguments.decode(job.arguments)
        try:
            value = await call(definition.function, *args, **kwargs)
        except Exception as error:  # the job's, whatever it is
            return verdict.raised(job, definition, error, _since(began)), error
        prefix = "the result cannot be stored: "
        result = definition.result.encode(value)
        return verdict.completed(job, result, _since(began)), definition.result.decode(result)
    except CodecError as problem:
        failure, spent = failure_of(problem, prefix), _since(began)
        return verdict.failed(job, definition, failure, spent, retryable=False), problem


async def _hook(call: Call, hook: Hook | None, *args: object) -> None:
    if hook is None:
        return
    try:
        await call(hook, *accepted(hook, args))
    except Exception:  # as in a worker, it changes nothing for the job
        logger.warning("a hook failed", exc_info=True)


async def _await(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function on the event loop that runs here."""
    result = function(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result


def _since(began: float) -> int:
    return round((perf_counter() - began) * 1000)


class _Blocking:
    """Calls functions in this thread, which may run an event loop or none. Never waits itself."""

    def __init__(self, backend: str) -> None:
        self._backend = backend

    async def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return self._end(result) if inspect.isawaitable(result) else result

    def _end(self, awaitable: Awaitable[V]) -> V:
        context = current_context.get()

        async def main() -> V:
            current_context.set(context)
            return await awaitable

        if not _is_in_event_loop():
            return anyio.run(main, backend=self._backend)
        # A loop runs in this thread already, and stands still until we are done.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(anyio.run, main, backend=self._backend).result()


def _is_in_event_loop() -> bool:
    try:
        current_token()
    except NoEventLoopError:
        return False
    return True


def _run_through(steps: Coroutine[Any, Any, None]) -> None:
    """Run what never waits."""
    try:
        steps.send(None)
    except StopIteration:
        return
    finally:
        steps.close()
    raise AssertionError("an inline job waited outside an event loop")
