"""From a call to a job: pure, but for the id it draws."""

from __future__ import annotations

import math

import anyio

from upnext.client.inherited import inherited_budget, request_deadline
from upnext.client.options import SubmitOptions
from upnext.model.identity import new_job_id
from upnext.model.job import NewJob
from upnext.model.lineage import child_path
from upnext.tasks.context import Context, current_context
from upnext.tasks.definition import TaskDefinition


def new_job(
    definition: TaskDefinition,
    options: SubmitOptions,
    arguments: bytes,
    *,
    waiter: str = "",
    budget: int | None = None,
) -> NewJob:
    """The job that a call makes, as a child of the job it is made in.

    Args:
        definition: The task.
        options: How this submit differs from a plain one.
        arguments: What the call passes, encoded.
        waiter: The channel that is told when the job ends.
        budget: Milliseconds that the caller has left; the earlier limit counts.
    """
    job_id = new_job_id(definition.tag)
    job = NewJob(job_id, definition.name, arguments)
    job.root_id, job.waiter, job.budget = job_id, waiter, budget
    if options.marks_job:
        job.priority, job.key = options.priority, options.key
        job.delay, job.at, job.deadline = options.delay, options.at, options.deadline
    context = current_context.get(None)
    if context is not None:
        _make_child(job, context)
    if options.budget is not None or request_deadline.get() is not None:
        every = (budget, options.budget, inherited_budget())
        job.budget = min(one for one in every if one is not None)
    return job


def _make_child(job: NewJob, parent: Context) -> None:
    """Let a job descend from the one that it is made in, and end no later."""
    if parent.root_id:  # '' in a direct call, which is no job
        job.parent_id, job.root_id = parent.job_id, parent.root_id
        job.path = child_path(parent.job_id, parent.root_id, parent.path)
        if parent.lender is not None:
            parent.lender.parent = True
    if parent.deadline is not None and (job.deadline is None or parent.deadline < job.deadline):
        job.deadline = parent.deadline


def time_left() -> int | None:
    """Milliseconds until the caller's effective deadline; None when it has none.

    A job that is waited for need not outlive who waits.
    """
    deadline = anyio.current_effective_deadline()
    if deadline == math.inf:
        return None
    return max(0, math.ceil((deadline - anyio.current_time()) * 1000))
