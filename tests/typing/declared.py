# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""Read by pyright alone: what is inferred of declared tasks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, assert_type

from upnext.client.artifacts import create_artifact, create_artifact_sync
from upnext.client.cron_declarations import CronDeclarations
from upnext.client.declarations import TaskDeclarations
from upnext.client.event import EventHandle, send_event, send_event_sync
from upnext.client.future import Future
from upnext.client.group import Group, group
from upnext.client.handle import TaskHandle
from upnext.client.parallel import first_completed, gather, map_tasks, submit_many
from upnext.client.result import TaskResult
from upnext.client.schedules import schedules
from upnext.model.artifact import Artifact, ArtifactType
from upnext.model.report import LogLine, Progress
from upnext.model.schedule import Schedule
from upnext.model.status import CancelReason, JobStatus
from upnext.tasks.context import Context, get_current_context
from upnext.worker.worker import Worker

worker = TaskDeclarations()
crons = CronDeclarations()


@worker.task
async def bare(a: int, /, b: str = "") -> list[int]:
    return [a, len(b)]


@worker.task
def sync(a: int) -> str:
    return str(a)


@worker.task(retries=3, timeout=timedelta(minutes=1), retry_on=(OSError,))
async def called(*numbers: int, scale: float = 1) -> float:
    return sum(numbers) * scale


@worker.task(name="other")
def sync_called(a: datetime) -> None: ...


paid = worker.event("order.paid")


@paid.on
async def mail(order: int, note: str = "") -> None: ...


@paid.on(retries=2, on_failure=print)
def stock(order: int) -> str:
    return str(order)


async def uses_events() -> None:
    assert_type(paid, EventHandle)
    assert_type(await mail.send(1, note="x"), str)
    assert_type(stock.send_sync(order=1), str)
    assert_type(await paid.send(order=1, note="x"), str)
    assert_type(await paid.send_idempotent("key", order=1), str)
    assert_type(await send_event("order.paid", order=1), str)
    assert_type(send_event_sync("order.paid", order=1), str)
    assert_type(paid.handler_names, list[str])


@crons.cron("@hourly", overlap="skip", arguments={"a": 1})
async def hourly(a: int) -> str:
    return str(a)


async def uses() -> None:
    assert_type(await hourly.submit(2), Future[str])
    assert_type(await schedules.add(hourly, "@daily", arguments={"a": 2}), Schedule)
    assert_type(await bare.submit(1, b="x"), Future[list[int]])
    assert_type(await bare.wait(1, "x"), TaskResult[list[int]])
    assert_type(await bare.wait(1, wait_timeout=5), TaskResult[list[int]])
    assert_type(await bare.submit_idempotent("key", 1), Future[list[int]])
    assert_type(await bare.wait_idempotent("key", 1, wait_timeout=5), TaskResult[list[int]])
    assert_type((await bare.wait(1)).value, list[int])
    assert_type(bare(1), list[int])
    assert_type(sync(1), str)
    assert_type(sync.submit_sync(1), Future[str])
    assert_type(sync.wait_sync(1), TaskResult[str])
    assert_type(await called.options(delay=1, priority=2).submit(1, 2, scale=2.0), Future[float])
    assert_type(await sync_called.wait(datetime.now()), TaskResult[None])
    future = await called.submit(1)
    assert_type(await future.value(), float)
    assert_type(future.value_sync(), float)
    assert_type([one async for one in future.progress()], list[Progress])
    assert_type([line async for line in future.logs(follow=False)], list[LogLine])
    assert_type([chunk async for chunk in future.stream(after="1-1/1")], list[Any])
    assert_type(list(future.progress_sync()), list[Progress])
    assert_type(list(future.logs_sync()), list[LogLine])
    assert_type(await future.status(), JobStatus)
    assert_type(await future.cancel(), bool)
    assert_type(await gather(future, future), list[float])
    assert_type(await gather(future, return_exceptions=True), list[float | Exception])
    assert_type(await first_completed(future, timeout=1), float)
    assert_type(await map_tasks(sync, [{"a": 1}, (2,)]), list[str])
    assert_type(await submit_many(bare, [(1,)]), list[Future[list[int]]])
    assert_type(await future.cancel("why", tree=False), bool)
    assert_type(await future.unfinished(), list[str])
    assert_type(await first_completed(future, cancel_others=False), float)
    async with group(policy="wait_all", max_concurrency=3) as g:
        assert_type(await g.submit(bare, 1, b="x"), Future[list[int]])
        assert_type(await g.submit(sync, 1), Future[str])
        assert_type(await g.submit(called.options(priority=1), 1, 2, scale=2.0), Future[float])
    assert_type(g, Group)
    assert_type(g.first, TaskResult[Any] | None)
    handle: TaskHandle[[int], str] = sync
    await handle.submit(1)


class Pool:
    size: int


async def lifespan(worker: Worker) -> AsyncIterator[Pool]:
    assert_type(worker.name, str)
    yield Pool()


@asynccontextmanager
async def managed(worker: Worker) -> AsyncGenerator[Pool]:
    yield Pool()


declared = Worker("typed", lifespan=lifespan, autodiscover_packages=["shop.jobs"])
Worker(lifespan=managed)


@declared.middleware
async def timed(ctx: Context) -> AsyncIterator[None]:
    yield


@declared.middleware
async def looking(ctx: Context) -> AsyncGenerator[None, object]:
    result = yield
    assert_type(result, object)


assert_type(timed(Context(job_id="")), AsyncIterator[None])


async def leaves(stream: AsyncIterator[bytes]) -> None:
    made = await create_artifact("a.bin", stream)
    assert_type(made, Artifact)
    assert_type(made.type, ArtifactType)
    assert_type(create_artifact_sync("a", Path("a"), ArtifactType.PDF, "application/pdf"), Artifact)
    await create_artifact("a", {"any": ["json"]})


async def no_middleware(ctx: Context) -> None: ...


def no_lifespan() -> None: ...
async def context() -> None:
    ctx = get_current_context()
    assert_type(ctx.checkpoint_state, dict[str, Any] | None)
    assert_type(ctx.time_left(), float | None)
    assert_type(ctx.cancel_reason, CancelReason | None)
    assert_type(ctx.set_progress(50, "half"), None)
    assert_type(await ctx.stream("x"), None)
    ctx.checkpoint([1])  # pyright: ignore[reportArgumentType]
    ctx.set_progress("1")  # pyright: ignore[reportArgumentType]


async def mistakes() -> None:
    declared.middleware(no_middleware)  # pyright: ignore[reportArgumentType]
    Worker(lifespan=no_lifespan)  # pyright: ignore[reportArgumentType]
    await create_artifact("a", {}, "text")  # pyright: ignore[reportArgumentType]
    await create_artifact(1, {})  # pyright: ignore[reportArgumentType]
    await bare.submit("1")  # pyright: ignore[reportArgumentType]
    await bare.submit(1, c=2)  # pyright: ignore[reportCallIssue]
    await bare.submit()  # pyright: ignore[reportCallIssue]
    sync.submit_sync(a="1")  # pyright: ignore[reportArgumentType]
    bare.options(nothing=1)  # pyright: ignore[reportCallIssue]
    worker.task(retires=1)  # pyright: ignore[reportCallIssue]
    await mail.send("1")  # pyright: ignore[reportArgumentType]
    await mail.send(1, nota="x")  # pyright: ignore[reportCallIssue]
    stock.send_sync()  # pyright: ignore[reportCallIssue]
    paid.on(retires=1)  # pyright: ignore[reportCallIssue]
    async with group(policy="fail_slow") as g:  # pyright: ignore[reportArgumentType]
        await g.submit(bare, "1")  # pyright: ignore[reportArgumentType]
        await g.submit(sync)  # pyright: ignore[reportCallIssue]
