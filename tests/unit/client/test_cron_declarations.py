"""`@worker.cron` in its forms, and what it says of mistakes."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import orjson
import pytest

import upnext
from upnext.client.cron_declarations import CronDeclarations
from upnext.client.handle import TaskHandle
from upnext.errors import CodecError, ConfigurationError
from upnext.model.cron import CronPlan, MissedRunPolicy, Overlap


def test_a_cron_is_a_task_with_a_schedule() -> None:
    worker = CronDeclarations()

    @worker.cron(
        "0 7 * * mon-fri",
        timezone=ZoneInfo("Europe/Berlin"),
        jitter=timedelta(seconds=30),
        missed_run_policy="catch_up",
        max_catch_up_seconds=3600,
        overlap="skip",
        arguments={"region": "north"},
        retries=3,
        timeout=60,
        max_concurrency=1,
        rate_limit="10/m",
        on_failure=lambda: None,
    )
    def report(region: str, days: int = 7) -> str:
        """Write it."""
        return f"{region} {days}"

    assert isinstance(report, TaskHandle)
    assert worker.crons == [report]
    assert worker.tasks == {}
    assert worker.registry.get("report") is report.definition
    assert (report.name, report.__doc__, report("south")) == ("report", "Write it.", "south 7")
    definition = report.definition
    assert definition.schedule == CronPlan(
        expression="0 7 * * mon-fri",
        timezone="Europe/Berlin",
        jitter=30_000,
        missed_run_policy=MissedRunPolicy.CATCH_UP,
        max_catch_up=3_600_000,
        overlap=Overlap.SKIP,
    )
    assert definition.scheduled_call == b'{"region":"north"}'
    assert (definition.retries, definition.timeout, definition.max_concurrency) == (3, 60, 1)
    described = orjson.loads(definition.describe())
    assert (described["kind"], described["schedule"]) == ("cron", "0 7 * * mon-fri")
    assert described["max_catch_up_seconds"] == 3600


def test_the_defaults_are_those_that_users_know() -> None:
    worker = CronDeclarations()

    @worker.cron("@hourly")
    async def tidy() -> None: ...

    plan = tidy.definition.schedule
    assert plan == CronPlan(expression="@hourly")
    assert plan.missed_run_policy is upnext.MissedRunPolicy.LATEST_ONLY
    assert (plan.timezone, plan.jitter, plan.max_catch_up) == ("UTC", 0, None)
    assert plan.overlap is upnext.Overlap.ALLOW
    assert (tidy.definition.timeout, tidy.definition.retries) == (1800, 0)


def test_a_task_is_no_cron() -> None:
    worker = CronDeclarations()
    task = worker.task(name="a")(lambda: None)
    assert task.definition.schedule is None
    assert orjson.loads(task.definition.describe())["kind"] == "task"
    with pytest.raises(TypeError, match="no option 'schedule'"):
        worker.task(name="b", schedule="@hourly")(lambda: None)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"schedule": "* * * *"}, "must have 5 fields"),
        ({"timezone": "Europe/Berln"}, "did you mean 'Europe/Berlin'"),
        ({"timezone": 1}, "timezone must be a name"),
        ({"jitter": -1}, "jitter must be 0 or more seconds"),
        ({"arguments": 5}, "arguments must be a mapping by name"),
        ({"arguments": "day=1"}, "arguments must be a mapping by name"),
        ({"retry_on": 5}, "retry_on must name exception classes, not 5"),
        ({"dead_letter": 1}, "dead_letter must be True or False"),
        ({"missed_run_policy": "all"}, "must be 'latest_only' or 'catch_up' or 'skip'"),
        ({"overlap": "never"}, "overlap must be 'allow' or 'skip' or 'queue'"),
        ({"max_catch_up_seconds": 0, "missed_run_policy": "catch_up"}, "must be more than 0"),
        ({"max_catch_up_seconds": 5}, "of use with missed_run_policy='catch_up'"),
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"name": "  "}, "name must be a text that is not empty"),
        ({"arguments": {"b": 1}}, "cannot be called with arguments=.*'a'"),
        ({"arguments": {}}, "cannot be called with arguments=.*'a'"),
        ({"rate_limit": "many"}, "rate_limit 'many' must be"),
    ],
)
def test_mistakes_are_named_at_the_declaration(options: dict[str, Any], problem: str) -> None:
    worker = CronDeclarations()
    given: dict[str, Any] = {"schedule": "@hourly", "name": "c", "arguments": {"a": 1}, **options}
    with pytest.raises(ValueError, match=problem) as caught:
        worker.cron(**given)(lambda a: a)
    assert "\n" not in str(caught.value)
    assert worker.crons == []


def test_a_cron_without_its_schedule_is_named() -> None:
    worker = CronDeclarations()
    with pytest.raises(TypeError, match=r"@worker.cron\('\*/5 \* \* \* \*'\)"):

        @worker.cron
        def tick() -> None: ...

    with pytest.raises(ValueError, match="a lambda has no name"):
        worker.cron("@hourly")(lambda: None)


def test_a_name_is_taken_once() -> None:
    worker = CronDeclarations()
    worker.task(name="a")(lambda: None)
    with pytest.raises(ConfigurationError, match="two tasks are called 'a'"):
        worker.cron("@hourly", name="a")(lambda: None)
    assert worker.crons == []


def test_arguments_that_cannot_be_encoded_are_named_at_once() -> None:
    worker = CronDeclarations()
    with pytest.raises(CodecError, match="a"):
        worker.cron("@hourly", name="c", arguments={"a": object()})(lambda a: a)
    assert worker.crons == []


def test_arguments_of_types_that_are_defined_later_are_encoded_later() -> None:
    worker = CronDeclarations()

    @worker.cron("@hourly", arguments={"until": date(2026, 1, 2)})
    def tidy(until: Later) -> None: ...

    globals()["Later"] = date
    try:
        assert tidy.definition.scheduled_call == b'{"until":"2026-01-02"}'
    finally:
        del globals()["Later"]


if TYPE_CHECKING:
    Later = date
