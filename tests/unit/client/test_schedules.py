"""`upnext.schedules` on a store in memory; the blocking form from a thread."""

from __future__ import annotations

import json
from functools import partial

import anyio.to_thread
import pytest

import upnext
from tests.unit.client.conftest import Hand
from upnext import schedules
from upnext.client.client import Client
from upnext.client.declarations import TaskDeclarations
from upnext.client.handle import TaskHandle
from upnext.errors import CodecError, ScheduleExistsError, ScheduleNotFoundError
from upnext.model.cron import MissedRunPolicy, Overlap
from upnext.testing.memory import MemoryStore


@pytest.fixture
def mail(tasks: TaskDeclarations) -> TaskHandle[[str], int]:
    @tasks.task
    async def mail(to: str) -> int:
        return len(to)

    return mail


@pytest.mark.usefixtures("client")
async def test_a_schedule_is_added_seen_and_removed(mail: TaskHandle[[str], int]) -> None:
    schedule = await schedules.add(
        mail,
        "0 7 * * *",
        name=" ada ",
        arguments={"to": "ada"},
        timezone="Europe/Berlin",
        overlap="skip",
        note="asked for by Ada",
    )
    assert (schedule.function, schedule.name, schedule.arguments) == (
        "mail",
        "ada",
        b'{"to":"ada"}',
    )
    assert schedule.plan.overlap is Overlap.SKIP
    assert schedule.origin.startswith("api: ")
    assert schedule.origin.endswith(": asked for by Ada")
    assert not schedule.is_declared
    assert schedule.next_run is not None
    assert schedule.last_run is None
    assert await schedules.get(mail, "ada") == schedule
    assert await schedules.list() == await schedules.list("mail") == [schedule]
    with pytest.raises(ScheduleExistsError, match="already has a schedule 'ada'"):
        await schedules.add(mail, "@daily", name="ada", arguments={"to": "ada"})
    assert await schedules.remove("mail", "ada")
    assert not await schedules.remove("mail", "ada")
    assert await schedules.list() == []


@pytest.mark.usefixtures("client")
async def test_only_what_is_given_changes(mail: TaskHandle[[str], int]) -> None:
    before = await schedules.add(
        mail,
        "0 7 * * *",
        arguments={"to": "ada"},
        missed_run_policy="catch_up",
        max_catch_up_seconds=60,
        jitter=5,
    )
    after = await schedules.change(mail, overlap="queue", arguments={"to": "bob"}, note="why not")
    assert (after.next_at, after.plan.expression) == (before.next_at, "0 7 * * *")
    assert (after.plan.jitter, after.plan.max_catch_up) == (5_000, 60_000)
    assert (after.plan.overlap, after.arguments) == (Overlap.QUEUE, b'{"to":"bob"}')
    assert (after.origin, after.changed_by.endswith(": why not")) == (before.origin, True)
    moved = await schedules.change("mail", schedule="30 7 * * *", missed_run_policy="skip")
    assert moved.next_at != before.next_at
    assert moved.plan.missed_run_policy is MissedRunPolicy.SKIP
    assert (moved.plan.max_catch_up, moved.arguments) == (None, b'{"to":"bob"}')


@pytest.mark.usefixtures("client")
async def test_pause_and_resume(mail: TaskHandle[[str], int]) -> None:
    schedule = await schedules.add(mail, "@hourly", arguments={"to": "ada"})
    paused = await schedules.pause(mail)
    assert (paused.paused, paused.next_run) == (True, None)
    assert await schedules.pause(mail) == paused
    resumed = await schedules.resume(mail)
    assert (resumed.paused, resumed.next_at) == (False, schedule.next_at)
    assert await schedules.resume(mail) == resumed


@pytest.mark.usefixtures("client")
async def test_run_now(mail: TaskHandle[[str], int], hand: Hand) -> None:
    await schedules.add(mail, "@yearly", name="ada", arguments={"to": "ada"})
    future = await schedules.run_now(mail, "ada")
    [job] = await hand.claim()
    assert (job.id, job.arguments) == (future.job_id, b'{"to":"ada"}')
    source = json.loads(job.source)
    assert (source["name"], source["manual"]) == ("ada", True)
    await hand.complete(job)
    assert await future.value() == 3
    assert (await schedules.run_now("mail", "ada")).job_id != future.job_id


@pytest.mark.usefixtures("client")
async def test_what_is_not_there(mail: TaskHandle[[str], int]) -> None:
    for attempt in (schedules.get, schedules.pause, schedules.resume, schedules.run_now):
        with pytest.raises(ScheduleNotFoundError, match="'mail' has no schedule 'x'"):
            await attempt(mail, "x")
    with pytest.raises(upnext.ScheduleNotFoundError):
        await schedules.change(mail, "x", overlap="skip")


@pytest.mark.usefixtures("client")
async def test_mistakes_are_named_and_store_nothing(
    mail: TaskHandle[[str], int], store: MemoryStore
) -> None:
    with pytest.raises(ValueError, match="must have 5 fields"):
        await schedules.add(mail, "often")
    with pytest.raises(ValueError, match="cannot be called with"):
        await schedules.add(mail, "@daily", arguments={"whom": "ada"})
    with pytest.raises(CodecError):
        await schedules.add(mail, "@daily", arguments={"to": object()})
    with pytest.raises(ValueError, match="printable characters"):
        await schedules.add(mail, "@daily", name="a\nb", arguments={"to": "ada"})
    with pytest.raises(TypeError, match="pass the task itself"):
        await schedules.add("mail", "@daily", arguments={"to": "ada"})
    assert await schedules.list() == []


@pytest.mark.usefixtures("client")
async def test_the_blocking_forms_do_the_same(mail: TaskHandle[[str], int], client: Client) -> None:
    def block() -> None:
        added = schedules.add_sync(mail, "@daily", arguments={"to": "ada"})
        assert schedules.list_sync() == [added] == [schedules.get_sync("mail")]
        assert schedules.change_sync(mail, schedule="@hourly").plan.expression == "@hourly"
        assert schedules.pause_sync(mail).paused
        assert not schedules.resume_sync(mail).paused
        assert schedules.run_now_sync(mail).job_id.startswith("mail-")
        assert schedules.remove_sync(mail)

    await anyio.to_thread.run_sync(block)
    assert await schedules.list() == []


def test_a_thread_without_a_loop_uses_the_server(
    mail: TaskHandle[[str], int], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPNEXT_REDIS_URL", redis_url)
    add = partial(schedules.add_sync, mail, "@daily", arguments={"to": "ada"})
    added = add()
    with pytest.raises(ScheduleExistsError):
        add()
    assert schedules.list_sync() == [added]
    assert schedules.change_sync(mail, schedule="@hourly").plan.expression == "@hourly"
    assert schedules.pause_sync(mail).paused
    assert not schedules.resume_sync(mail).paused
    assert schedules.run_now_sync(mail).status_sync() == "queued"
    assert schedules.remove_sync(mail)
