"""Dead letters as users see them, on the memory store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import anyio.to_thread
import pytest

import upnext
from tests.unit.client.conftest import Hand
from upnext.client.client import Client
from upnext.client.declarations import TaskDeclarations
from upnext.client.handle import TaskHandle
from upnext.contracts.codec import encode_failure
from upnext.errors import DeadLetterNotFoundError, JobRefusedError, QueueFullError
from upnext.model.outcome import Ending, Failure
from upnext.model.status import FailureReason
from upnext.store.bounds import Bounds
from upnext.testing.memory import MemoryStore

dead_letters = upnext.dead_letters


@pytest.fixture
async def send(
    tasks: TaskDeclarations, client: Client, store: MemoryStore
) -> TaskHandle[[int], None]:
    @tasks.task(dead_letter=True)
    async def send(n: int) -> None: ...

    @tasks.task(dead_letter=True)
    async def other(n: int) -> None: ...

    await store.declare({"send": b"{}", "other": b"{}"})
    return send


async def bury(hand: Hand, *names: str, reason: FailureReason = FailureReason.EXCEPTION) -> None:
    """Everything that waits fails for good."""
    for job in await hand.claim(*names):
        failure = Failure(
            type="app.Full", message=f"no room for {job.arguments.decode()}", reason=reason
        )
        await hand.settle(job, Ending.FAILED, error=encode_failure(failure), dead_letter=True)


async def test_a_letter_says_what_is_known(send: TaskHandle[[int], None], hand: Hand) -> None:
    future = await send.options(key="k").submit(7)
    await bury(hand)
    [letter] = (await dead_letters.list()).letters
    assert letter == await dead_letters.get(future.job_id)
    assert (letter.job_id, letter.function, letter.arguments) == (future.job_id, "send", {"n": 7})
    assert (letter.reason, letter.error_type) == (FailureReason.EXCEPTION, "app.Full")
    assert letter.error == 'app.Full: no room for {"n":7}'
    assert (letter.attempts, letter.lost_workers, letter.key) == (1, 0, "k")
    assert timedelta(0) <= datetime.now(UTC) - letter.dead_at < timedelta(minutes=1)


async def test_letters_are_chosen_and_paged(send: TaskHandle[[int], None], hand: Hand) -> None:
    other = hand.tasks.tasks["other"]
    for n in range(5):
        await send.submit(n)
    await bury(hand, reason=FailureReason.TIMEOUT)
    for n in range(2):
        await other.submit(n)
    await bury(hand)
    everything = await dead_letters.list()
    assert [letter.function for letter in everything.letters] == ["other"] * 2 + ["send"] * 5
    assert everything.cursor is None
    assert len((await dead_letters.list(send)).letters) == 5
    assert len((await dead_letters.list("other")).letters) == 2
    assert len((await dead_letters.list(reason=FailureReason.TIMEOUT)).letters) == 5
    assert len((await dead_letters.list(reason='NO ROOM for {"n":1}')).letters) == 2
    later = datetime.now(UTC) + timedelta(hours=1)
    assert (await dead_letters.list(since=later)).letters == []
    assert len((await dead_letters.list(until=later)).letters) == 7
    seen: list[str] = []
    cursor = None
    for _ in range(4):
        page = await dead_letters.list(limit=2, cursor=cursor)
        seen += [letter.job_id for letter in page.letters]
        cursor = page.cursor
    assert cursor is None
    assert seen == [letter.job_id for letter in everything.letters]


async def test_a_replay_gives_a_future_and_repeats_it(
    send: TaskHandle[[int], None], hand: Hand
) -> None:
    old = await send.submit(7)
    await bury(hand)
    future = await dead_letters.replay(old.job_id)
    assert future.job_id != old.job_id
    assert (await dead_letters.replay(old.job_id)).job_id == future.job_id
    [job] = await hand.claim()
    assert (job.id, job.arguments) == (future.job_id, b'{"n":7}')
    with pytest.raises(DeadLetterNotFoundError, match=old.job_id):
        await dead_letters.get(old.job_id)
    assert (await dead_letters.list()).letters == []


async def test_what_is_no_letter_is_an_error(send: TaskHandle[[int], None], hand: Hand) -> None:
    live = await send.submit(1)
    unknown = f"send-{'0' * 32}"
    for job_id in (live.job_id, unknown):
        with pytest.raises(DeadLetterNotFoundError):
            await dead_letters.get(job_id)
        with pytest.raises(DeadLetterNotFoundError):
            await dead_letters.replay(job_id)
        assert not await dead_letters.purge(job_id)
    with pytest.raises(ValueError, match="not a job id"):
        await dead_letters.get("x")
    with pytest.raises(ValueError, match="cursor"):
        await dead_letters.list(cursor="x")
    with pytest.raises(ValueError, match="limit must be 1"):
        await dead_letters.list(limit=0)
    with pytest.raises(ValueError, match="no time zone"):
        await dead_letters.list(since=datetime(2026, 1, 1))


async def test_a_replay_waits_for_the_job_that_has_its_key(
    send: TaskHandle[[int], None], hand: Hand
) -> None:
    keyed = send.options(key="k")
    old = await keyed.submit(1)
    await bury(hand)
    other = await keyed.submit(2)
    with pytest.raises(JobRefusedError, match=other.job_id):
        await dead_letters.replay(old.job_id)
    count = await dead_letters.replay_all()
    assert (count.replayed, count.held) == (0, 1)
    await hand.serve(1)
    assert (await dead_letters.replay_all()).replayed == 1


async def test_all_that_are_meant_are_replayed_or_purged(
    send: TaskHandle[[int], None], hand: Hand
) -> None:
    for n in range(250):
        await send.submit(n)
    while len((await dead_letters.list(limit=1_000)).letters) < 250:
        await bury(hand)
    await hand.tasks.tasks["other"].submit(1)
    await bury(hand)
    assert await dead_letters.purge_all(send, reason='"n":24') == 11
    count = await dead_letters.replay_all("send", reason="exception")
    assert (count.replayed, count.held) == (239, 0)
    assert [one.function for one in (await dead_letters.list()).letters] == ["other"]
    assert await dead_letters.purge_all() == 1


async def test_a_full_queue_says_how_many_were_replayed(
    send: TaskHandle[[int], None], hand: Hand, store: MemoryStore
) -> None:
    for n in range(3):
        await send.submit(n)
    await bury(hand)
    store.queues[store.keys.function("send")].bounds = Bounds(most_waiting=2)
    with pytest.raises(QueueFullError) as full:
        await dead_letters.replay_all()
    assert full.value.__notes__ == ["2 dead letters were replayed before"]
    assert len((await dead_letters.list()).letters) == 1


async def test_threads_of_the_loop_use_the_same_store(
    send: TaskHandle[[int], None], hand: Hand
) -> None:
    jobs = [await send.submit(n) for n in range(3)]
    await bury(hand)

    def work() -> None:
        assert len(dead_letters.list_sync("send", limit=2).letters) == 2
        assert dead_letters.get_sync(jobs[0].job_id).arguments == {"n": 0}
        assert dead_letters.replay_sync(jobs[0].job_id).job_id != jobs[0].job_id
        assert dead_letters.purge_sync(jobs[1].job_id)
        assert dead_letters.replay_all_sync(reason="exception").replayed == 1
        assert dead_letters.purge_all_sync() == 0

    await anyio.to_thread.run_sync(partial(work))
