"""What the verbs send besides their script calls."""

from __future__ import annotations

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from tests.support.scripted import ScriptedServer, echo
from upnext.contracts.keys import Keys
from upnext.model.job import Enqueued, NewJob
from upnext.redis.link import Link
from upnext.store.bounds import Bounds
from upnext.store.store import Store


def answer(words: list[bytes]) -> bytes | None:
    """As if every job was created."""
    created = sum(word.startswith(b"job-") for word in words)
    return b":%d\r\n" % created if words[0] == b"FCALL" else echo(words)


def job(n: int) -> NewJob:
    return NewJob(f"job-{n}", "f", b"{}")


@pytest.fixture
def server() -> ScriptedServer:
    return ScriptedServer(answer)


@pytest.fixture
def link(server: ScriptedServer) -> Link:
    return server.link()


@pytest.fixture
def store(link: Link) -> Store:
    return Store(link, Keys(), Bounds())


async def test_the_worker_that_waits_for_a_lone_job_is_told_before_its_submitter(
    store: Store, server: ScriptedServer
) -> None:
    assert await store.enqueue([job(1)]) == [Enqueued("job-1", True)]
    assert server.names() == ["PING", "FCALL"]


async def test_jobs_that_come_together_are_sent_as_they_are(
    store: Store, server: ScriptedServer
) -> None:
    answers = await store.enqueue([job(1), job(2)])
    assert answers == [Enqueued("job-1", True), Enqueued("job-2", True)]
    assert server.names() == ["FCALL"]


async def test_a_job_on_a_busy_link_is_sent_as_it_is(
    store: Store, link: Link, server: ScriptedServer
) -> None:
    await link.execute("PING")
    server.holds = True
    async with anyio.create_task_group() as group:
        group.start_soon(link.execute, "ECHO", "slow")
        await wait_all_tasks_blocked()
        group.start_soon(store.enqueue, [job(1)])
        await wait_all_tasks_blocked()
        server.stream.release()
    assert server.names() == ["PING", "ECHO", "FCALL"]
