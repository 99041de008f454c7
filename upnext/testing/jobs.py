"""What was submitted to a test's queue: look at it, and assert about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from upnext.model.status import JobStatus
from upnext.tasks.definition import TaskDefinition
from upnext.testing.kept import KeptStore
from upnext.testing.submitted import SubmittedJob, call_text, is_call, submitted

MOST_SHOWN = 20
"""Jobs in a failed assertion's message."""
ANYTHING: Any = object()
"""Stands for a result that is not looked at."""


class Declared(Protocol):
    """A task as users hold it."""

    @property
    def definition(self) -> TaskDefinition: ...


class Jobs:
    """All jobs that were submitted to a test's queue, whatever has become of them.

    Where a task is asked for, its handle or its name will do; None means every task. `args` and
    `kwargs` together say one whole call, as it is made or as `submit` takes it: `f("a")` and
    `f(x="a")` are the same, defaults are filled in, and `unittest.mock.ANY` fits everything.
    Without both, any call fits. `where` says the rest: `where=lambda job: job.priority > 5`.
    """

    def __init__(self, store: KeptStore) -> None:
        self.store = store
        self.definitions: dict[str, TaskDefinition] = {}

    def enqueued(
        self, task: Declared | str | None = None, *, status: JobStatus | None = None
    ) -> list[SubmittedJob]:
        """The jobs, oldest first; of one task, or with one status, where these are given."""
        name = _name(task)
        return [
            submitted(record, self._definition(record.function, task))
            for record in self.store.records()
            if name in (None, record.function) and status in (None, record.status)
        ]

    def assert_enqueued(
        self,
        task: Declared | str | None = None,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        count: int | None = None,
        status: JobStatus | None = None,
        where: Callable[[SubmittedJob], object] | None = None,
    ) -> list[SubmittedJob]:
        """See that jobs were submitted.

        Args:
            task: Of which task.
            args: With which arguments, together with `kwargs`.
            kwargs: With which arguments by name.
            count: How many exactly; None: one or more.
            status: Where they stand now.
            where: Tells of each job whether it is meant.

        Returns:
            The jobs that fit, oldest first.

        Raises:
            AssertionError: they were not; the message shows what was.
        """
        wanted = _Wanted(task, args, kwargs, status, where)
        return self._expect(wanted, count)

    def refute_enqueued(
        self,
        task: Declared | str | None = None,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        status: JobStatus | None = None,
        where: Callable[[SubmittedJob], object] | None = None,
    ) -> None:
        """See that no such job was submitted; arguments and errors as for `assert_enqueued`."""
        self._expect(_Wanted(task, args, kwargs, status, where), 0)

    def assert_completed(
        self,
        task: Declared | str | None = None,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        count: int | None = None,
        result: Any = ANYTHING,
    ) -> list[SubmittedJob]:
        """See that such jobs are complete; `result` is what each of them returned."""

        def returned(job: SubmittedJob) -> bool:
            return result is ANYTHING or job.result == result

        said = "" if result is ANYTHING else f"with the result {result!r}"
        wanted = _Wanted(task, args, kwargs, JobStatus.COMPLETE, returned, said)
        return self._expect(wanted, count)

    def assert_failed(
        self,
        task: Declared | str | None = None,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        count: int | None = None,
        error: type[BaseException] | str | None = None,
    ) -> list[SubmittedJob]:
        """See that such jobs failed for good: by an exception of this class (not of a class below
        it, for only the name is kept), or with a text that contains this one."""

        def raised(job: SubmittedJob) -> bool:
            failure = job.error
            if error is None or failure is None:
                return error is None
            if isinstance(error, str):
                return error in f"{failure.type}: {failure.message}"
            return failure.type.rpartition(".")[2] == error.__qualname__.rpartition(".")[2]

        shown = error if isinstance(error, str) or error is None else error.__qualname__
        said = f"with {shown}" if shown else ""
        return self._expect(_Wanted(task, args, kwargs, JobStatus.FAILED, raised, said), count)

    def assert_cancelled(
        self,
        task: Declared | str | None = None,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        count: int | None = None,
        reason: str | None = None,
    ) -> list[SubmittedJob]:
        """See that such jobs were cancelled, for this reason where one is given."""

        def because(job: SubmittedJob) -> bool:
            return reason in (None, job.reason)

        said = "" if reason is None else f"because {reason!r}"
        wanted = _Wanted(task, args, kwargs, JobStatus.CANCELLED, because, said)
        return self._expect(wanted, count)

    def assert_all_completed(self) -> list[SubmittedJob]:
        """See that there are jobs, and that every one of them is complete.

        Raises:
            AssertionError: some are not; the message has the tracebacks of those that failed.
        """
        every = self.enqueued()
        rest = [job for job in every if job.status is not JobStatus.COMPLETE]
        if not every:
            raise AssertionError("no job was submitted")
        if rest:
            traces = [job.error.traceback for job in rest if job.error is not None]
            text = f"{len(rest)} of {len(every)} jobs are not complete:\n{_listed(rest)}"
            raise AssertionError("\n\n".join([text, *filter(None, traces)]))
        return every

    def _expect(self, wanted: _Wanted, count: int | None) -> list[SubmittedJob]:
        definition = self._definition(_name(wanted.task) or "", wanted.task)
        fitting = [job for job in self.enqueued(wanted.task) if wanted.fits(job, definition)]
        if len(fitting) == count or (count is None and fitting):
            return fitting
        every = self.enqueued()
        found = {0: "is none", 1: "is one"}.get(len(fitting), f"are {len(fitting)}")
        what = {None: "a job", 0: "no job", 1: "one job"}.get(count, f"{count} jobs")
        shown = _listed(every) if every else "  nothing at all"
        raise AssertionError(
            f"expected {what} {wanted}; there {found}. What was submitted:\n{shown}"
        )

    def _definition(self, name: str, task: Declared | str | None) -> TaskDefinition | None:
        if task is not None and not isinstance(task, str):
            return task.definition
        return self.definitions.get(name)


class _Wanted:
    """Which jobs an assertion speaks of."""

    def __init__(
        self,
        task: Declared | str | None,
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        status: JobStatus | None,
        where: Callable[[SubmittedJob], object] | None,
        said: str = "",
    ) -> None:
        if task is None and (args is not None or kwargs is not None):
            raise TypeError("args and kwargs need a task")
        self.task = task
        self.call = None if args is None and kwargs is None else (tuple(args or ()), kwargs or {})
        self._status = status
        self._where = where
        self._said = said or ("that `where` accepts" if where is not None else "")

    def fits(self, job: SubmittedJob, definition: TaskDefinition | None) -> bool:
        if self._status not in (None, job.status):
            return False
        if self.call is not None and not is_call(job, definition, *self.call):
            return False
        return self._where is None or bool(self._where(job))

    def __str__(self) -> str:
        name = _name(self.task) or "any task"
        what = f"of {name}" if self.call is None else call_text(name, *self.call)
        status = "" if self._status is None else f"that is {self._status.value}"
        if self._status is JobStatus.FAILED:
            status = "that failed"
        return " ".join(part for part in (what, status, self._said) if part)


def _name(task: Declared | str | None) -> str | None:
    return task if task is None or isinstance(task, str) else task.definition.name


def _listed(jobs: Iterable[SubmittedJob]) -> str:
    lines = [f"  {job.describe()}" for job in jobs]
    if len(lines) > MOST_SHOWN:
        lines[MOST_SHOWN:] = [f"  … and {len(lines) - MOST_SHOWN} more"]
    return "\n".join(lines)
