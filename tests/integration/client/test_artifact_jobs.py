"""Artifacts of jobs on a whole worker: what a timeout does to an upload."""

from __future__ import annotations

import threading
from collections.abc import Callable

import anyio
import anyio.to_thread
import pytest

import upnext
from tests.support.artifact_server import ArtifactServer
from tests.support.tree import running

pytestmark = pytest.mark.usefixtures("job")


@pytest.mark.parametrize("kind", ["awaited", "threaded"])
async def test_a_timeout_ends_an_upload(start: Callable[..., ArtifactServer], kind: str) -> None:
    server, over = start(*["silent"] * 4), threading.Event()
    worker = upnext.Worker("test")

    @worker.task(timeout=0.5)
    async def awaited() -> None:
        try:
            await upnext.create_artifact("report", {})
        finally:
            over.set()

    @worker.task(timeout=0.5)
    def threaded() -> None:
        try:
            upnext.create_artifact_sync("report", {})
        finally:
            over.set()

    async with running(worker) as tree:
        task = {"awaited": awaited, "threaded": threaded}[kind]
        with pytest.raises(upnext.TaskTimeoutError):
            await task.wait()
        # The thread is not left behind: what it waited for was cancelled.
        assert await anyio.to_thread.run_sync(over.wait, 10)
        assert len(server.requests) == 1
        await tree.stop()


@pytest.mark.parametrize("kind", ["awaited", "threaded"])
async def test_one_that_is_refused_fails_the_attempt(
    start: Callable[..., ArtifactServer], kind: str
) -> None:
    server = start(413, 201)
    worker = upnext.Worker("test")

    @worker.task(retries=1, retry_delay=0)
    async def awaited() -> str:
        return (await upnext.create_artifact("report", {})).id

    @worker.task(retries=1, retry_delay=0)
    def threaded() -> str:
        return upnext.create_artifact_sync("report", {}).id

    async with running(worker) as tree:
        result = await {"awaited": awaited, "threaded": threaded}[kind].wait()
        assert result.attempts == 2
        assert list(server.stored) == [result.value]
        assert [one.parameters["attempt"] for one in server.requests] == ["1", "2"]
        await tree.stop()


async def test_a_timeout_ends_a_wait_for_another_job_in_a_thread() -> None:
    over = threading.Event()
    worker = upnext.Worker("test", concurrency=2)

    @worker.task
    async def endless() -> None:
        await anyio.sleep_forever()

    @worker.task(timeout=0.5)
    def waiting() -> None:
        try:
            endless.wait_sync()
        finally:
            over.set()

    async with running(worker) as tree:
        with pytest.raises(upnext.TaskTimeoutError):
            await waiting.wait()
        assert await anyio.to_thread.run_sync(over.wait, 10)
        await tree.stop_now()
