"""From a call to a job: pure, but for the id it draws."""

from __future__ import annotations

import math

import anyio

from upnext.client.inherited import inherited_budget, request_deadline
from upnext.client.options import SubmitOptions
from upnext.model.identity import new_job_id
from upnext.model.job import NewJob
from upnext.model.lineage import child_path
from upnext.tasks.context import current_context
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
    deadline, own_budget = options.deadline, options.budget
    parent_id, root_id, path = "", job_id, ""
    context = current_context.get(None)
    if context is not None:
        if context.root_id:  # '' in a direct call, which is no job
            parent_id, root_id = context.job_id, context.root_id
            path = child_path(parent_id, root_id, context.path)
            if context.lender is not None:
                context.lender.parent = True
        if context.deadline is not None and (deadline is None or context.deadline < deadline):
            deadline = context.deadline
    if own_budget is not None or request_deadline.get() is not None:
        every = (budget, own_budget, inherited_budget())
        budget = min(one for one in every if one is not None)
    return NewJob(
        id=job_id,
        function=definition.name,
        arguments=arguments,
        priority=options.priority,
        delay=options.delay,
        at=options.at,
        deadline=deadline,
        budget=budget,
        key=options.key,
        parent_id=parent_id,
        root_id=root_id,
        waiter=waiter,
        path=path,
    )


def time_left() -> int | None:
    """Milliseconds until the caller's effective deadline; None when it has none.

    A job that is waited for need not outlive who waits.
    """
    deadline = anyio.current_effective_deadline()
    if deadline == math.inf:
        return None
    return max(0, math.ceil((deadline - anyio.current_time()) * 1000))
