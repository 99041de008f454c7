"""Crons in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upnext.client.handle import TaskHandle


def scheduled(handle: TaskHandle[..., Any]) -> str:
    """A cron's name, and when it runs."""
    return f"{handle.name} ({schedule_of(handle)})"


def schedule_of(handle: TaskHandle[..., Any]) -> str:
    """When a cron runs, in words; nothing for a task."""
    plan = handle.definition.schedule
    if plan is None:
        return ""
    return plan.expression if plan.timezone == "UTC" else f"{plan.expression} {plan.timezone}"


def cron_facts(handle: TaskHandle[..., Any]) -> dict[str, Any]:
    """What `inspect` says of a cron."""
    definition, plan = handle.definition, handle.definition.schedule
    assert plan is not None
    return {
        "name": handle.name,
        "schedule": plan.expression,
        "timezone": plan.timezone,
        "jitter": plan.jitter / 1000,
        "missed_run_policy": plan.missed_run_policy.value,
        "max_catch_up_seconds": None if plan.max_catch_up is None else plan.max_catch_up / 1000,
        "overlap": plan.overlap.value,
        "retries": definition.retries,
        "timeout": definition.timeout,
    }
