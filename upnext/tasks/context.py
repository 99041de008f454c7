"""What a job knows of itself."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import Any, Protocol

from attrs import define, evolve

__all__ = ["Context", "Lender", "current_context", "get_current_context"]


class Lender(Protocol):
    """Takes back the slot of a job that only waits, so that another job can run meanwhile."""

    parent: bool
    """Whether the job submitted others in this attempt."""

    def lend(self) -> AbstractAsyncContextManager[None]:
        """Give the slot back for the length of the block, and have one again at its end.

        Several tasks of one job may be in such a block at once: the first one gives the slot back,
        the last one takes one again.
        """
        ...


@define(kw_only=True, eq=False)
class Context:
    """One attempt of one job, seen from inside. Made by the worker; read it, do not change it."""

    job_id: str
    job_key: str = ""
    """The idempotency key it was submitted with, or ''."""
    parent_id: str | None = None
    """The job that submitted this one."""
    root_id: str = ""
    """The first job of the tree this one belongs to; its own id for a job without a parent. Empty
    in a direct call of a task, which is no job."""
    path: str = ""
    """The jobs between the root and this one, for those it submits; see `upnext.model.lineage`."""
    attempt: int = 1
    """From 1. A hand-back or a snooze does not count."""
    max_attempts: int = 1
    started_at: float = 0.0
    """When this attempt started, Unix seconds."""
    timeout: float | None = None
    """Seconds this attempt may take."""
    deadline: int | None = None
    """When the whole job must be over, Unix milliseconds of the store's clock."""
    function: str = ""
    """The function key: what the queue calls the task."""
    function_name: str = ""
    lender: Lender | None = None
    """Where this job's slot can be left while it waits for another job."""

    def portable(self) -> Context:
        """This context for another process: without what belongs to this one."""
        return evolve(self, lender=None)

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that says which job speaks: `job_id`, `function`, `attempt` on every record."""
        # Not a logger per job: the logging module never forgets a logger.
        return JobLog(
            _logger,
            {"job_id": self.job_id, "function": self.function, "attempt": self.attempt},
        )


class JobLog(logging.LoggerAdapter[logging.Logger]):
    """Adds the job to what the caller says in `extra`, instead of replacing it."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


_logger = logging.getLogger("upnext.job")

current_context: ContextVar[Context] = ContextVar("upnext_context")
"""The job that runs here; set by the worker, in threads and processes too."""


def get_current_context() -> Context:
    """The job that runs here.

    Raises:
        RuntimeError: no job runs here.
    """
    try:
        return current_context.get()
    except LookupError:
        raise RuntimeError(
            "no job runs here: get_current_context() works inside a task's function"
        ) from None
