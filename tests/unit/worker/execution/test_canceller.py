from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint
from attrs import asdict
from redis.exceptions import ConnectionError as LostConnectionError

from tests.support.claimed import a_job, held
from upnext.contracts.claimed import pack_handed, row_of
from upnext.contracts.keys import Keys
from upnext.model.event import NewEvent
from upnext.model.identity import new_event_id
from upnext.model.job import Job, Revoked
from upnext.model.outcome import Ending
from upnext.model.status import CancelReason
from upnext.redis.waiter import Waiter
from upnext.testing.memory import MemoryStore
from upnext.worker.execution.canceller import Canceller
from upnext.worker.execution.running import Running
from upnext.worker.execution.slots import Slots
from upnext.worker.intake.demand import Demand
from upnext.worker.intake.fetcher import Fetcher
from upnext.worker.intake.inbox import Inbox
from upnext.worker.scheduling.event_router import EventRouter
from upnext.worker.scheduling.stager import Stager
from upnext.worker.settlement.leases import Leases
from upnext.worker.settlement.outbox import Outbox
from upnext.worker.store_clock import StoreClock

KEYS = Keys("local")
FUNCTIONS = ["work", "send mail!"]


class Noted(Stager):
    """Writes down what it is told."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store, FUNCTIONS)
        self.noted: list[str] = []

    def note(self, function: str) -> None:
        self.noted.append(function)


def make(store: MemoryStore | None = None, slots: Slots | None = None) -> Canceller:
    store = store or MemoryStore(KEYS)
    demand, leases = Demand(FUNCTIONS), Leases()
    inbox = Inbox(slots or Slots(2, 10), 10 if slots else 0)
    demand.plan(10)  # all dry
    return Canceller(
        store=store,
        keys=KEYS,
        worker="w",
        functions=FUNCTIONS,
        running=Running(),
        inbox=inbox,
        outbox=Outbox(10),
        leases=leases,
        fetcher=Fetcher(store, "w", FUNCTIONS, inbox, demand, leases, StoreClock(), 10),
        stager=Noted(store),
    )


async def hear(canceller: Canceller, *messages: bytes) -> None:
    """Let it hear these on its own channel."""
    async with anyio.create_task_group() as group:
        group.start_soon(canceller.run)
        await anyio.sleep(0.01)
        store = canceller.store
        assert isinstance(store, MemoryStore)
        for message in messages:
            channels = store._channels  # pyright: ignore[reportPrivateUsage]
            assert channels.publish(KEYS.worker_channel("w"), message) == 1
        group.cancel_scope.cancel()
    assert channels.publish(KEYS.worker_channel("w"), b"") == 0  # its ears are closed


async def test_news_of_work_go_to_the_fetcher() -> None:
    canceller = make()
    await hear(canceller, f"work {KEYS.function('send mail!')}".encode())
    assert canceller.fetcher.demand.plan(10) == [("send mail!", 10)]


async def test_news_of_the_schedule_go_to_the_stager() -> None:
    canceller = make()
    store = canceller.store
    assert isinstance(store, MemoryStore)
    async with anyio.create_task_group() as group:
        group.start_soon(canceller.run)
        await anyio.sleep(0.01)
        for name in FUNCTIONS:
            channels = store._channels  # pyright: ignore[reportPrivateUsage]
            channels.publish(KEYS.due_channel(name), b"123")
        group.cancel_scope.cancel()
    assert isinstance(canceller.stager, Noted)
    assert canceller.stager.noted == FUNCTIONS


async def test_a_gap_makes_both_look_everywhere() -> None:
    canceller = make()
    store = canceller.store
    assert isinstance(store, MemoryStore)
    async with anyio.create_task_group() as group:
        group.start_soon(canceller.run)
        await anyio.sleep(0.01)
        store.gap()
        group.cancel_scope.cancel()
    assert isinstance(canceller.stager, Noted)
    assert set(canceller.stager.noted) == set(FUNCTIONS)
    assert sorted(name for name, _ in canceller.fetcher.demand.plan(10)) == sorted(FUNCTIONS)
    assert canceller.fetcher.unknown  # a job may have been handed over unheard


async def test_a_running_job_is_cancelled_with_its_reason() -> None:
    canceller, job = make(), a_job(delivery=3)
    attempted = canceller.running.begin(job, anyio.CancelScope())
    await hear(canceller, f"cancel {job.id} 3 he changed his mind".encode())
    assert (attempted.reason, attempted.message) == (CancelReason.USER, "he changed his mind")
    assert attempted.scope.cancel_called


async def test_a_waiting_job_is_taken_out_and_settled() -> None:
    canceller, job = make(), a_job()
    canceller.inbox.deliver([job], 0)
    await hear(canceller, f"cancel {job.id} 1 why".encode())
    assert canceller.inbox.statistics().queued == 0
    [outcome] = canceller.outbox.take(10)
    assert (outcome.held, outcome.ending, outcome.reason) == (held(job), Ending.CANCELLED, "why")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"cancel",
        b"cancel nobody",
        b"cancel nobody 1",
        b"cancel nobody one reason",
        b"cancel nobody -1 reason",
        b"cancel nobody " + b"9" * 5000,
        b"work",
        b"work upnext:{local:strange}:",
        b"job",
        b"job upnext:{local:strange}: 1 1\nx",
        b"\xff\xfe",
        "cancel nobody ² x".encode(),
    ],
)
async def test_nothing_else_does_anything(message: bytes, caplog: pytest.LogCaptureFixture) -> None:
    canceller, job, other = make(), a_job(), a_job()
    attempted = canceller.running.begin(job, anyio.CancelScope())
    canceller.inbox.deliver([other], 0)
    await hear(canceller, message)
    assert attempted.reason is None
    assert canceller.inbox.statistics().queued == 1
    assert canceller.fetcher.demand.dry
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("lost", [True, False])
async def test_a_renewals_answer_cancels_a_running_job(lost: bool) -> None:
    canceller, job = make(), a_job()
    canceller.leases.add([job])
    attempted = canceller.running.begin(job, anyio.CancelScope())
    canceller.revoke(Revoked(job.id, 1, lost, "" if lost else "why"))
    assert attempted.reason is (CancelReason.LEASE_LOST if lost else CancelReason.USER)
    assert attempted.scope.cancel_called
    # What is lost has nothing to be renewed; what is cancelled is ours until it is settled.
    assert canceller.leases.statistics().held == (0 if lost else 1)


@pytest.mark.parametrize("lost", [True, False])
async def test_a_renewals_answer_takes_a_waiting_job_out(lost: bool) -> None:
    canceller, job = make(), a_job()
    canceller.leases.add([job])
    canceller.inbox.deliver([job], 0)
    canceller.revoke(Revoked(job.id, 1, lost, "" if lost else "why"))
    assert canceller.inbox.statistics().queued == 0
    assert len(canceller.outbox.take(10)) == (0 if lost else 1)
    assert canceller.leases.statistics().held == (0 if lost else 1)


async def test_it_listens_on_when_the_server_cannot_be_reached(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Unreachable(MemoryStore):
        fails = 2

        async def attend(self, waiter: Waiter) -> None:
            await checkpoint()
            if self.fails:
                self.fails -= 1
                raise LostConnectionError("gone")
            await super().attend(waiter)

    canceller = make(Unreachable(KEYS))
    with anyio.move_on_after(5):
        await canceller.run()
    assert caplog.text.count("gone") == 2


async def told(canceller: Canceller) -> list[bytes]:
    """What another worker, hungry for the same work, hears when this one is told of it."""
    store, heard = canceller.store, list[bytes]()
    assert isinstance(store, MemoryStore)
    store.subscribe(KEYS.worker_channel("other"), heard.append, lambda: None)
    await store.claim("other", [("send mail!", 1)])
    async with anyio.create_task_group() as group:
        group.start_soon(canceller.run)
        await anyio.sleep(0.01)
        channels = store._channels  # pyright: ignore[reportPrivateUsage]
        news = f"work {KEYS.function('send mail!')}".encode()
        assert channels.publish(KEYS.worker_channel("w"), news) == 1
        await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    return heard


async def test_with_room_it_keeps_news_of_work_to_itself() -> None:
    canceller = make()
    canceller.inbox.reserve(2)  # a claim is under way, and may leave some over
    assert await told(canceller) == []


async def test_without_room_it_passes_news_of_work_on() -> None:
    canceller = make()
    canceller.inbox.deliver([a_job(), a_job()], 0)
    assert await told(canceller) == [f"work {KEYS.function('send mail!')}".encode()]
    assert canceller.fetcher.demand.plan(10) == [("send mail!", 10)]  # should room come first


async def test_a_worker_that_stops_passes_news_of_work_on() -> None:
    canceller = make()
    canceller.inbox.close()
    assert len(await told(canceller)) == 1


def handed(job: Job) -> bytes:
    """The message that hands a job over."""
    return pack_handed(KEYS.function(job.function), job.claimed_at, row_of(job))


async def test_a_job_that_is_handed_over_goes_to_the_inbox() -> None:
    canceller, job = (
        make(),
        a_job(
            attempt=2,
            delivery=3,
            priority=-4,
            created_at=5,
            claimed_at=6,
            deadline=7,
            arguments=b'["\\n", "\n"]',
            parent_id="p",
            root_id="r",
            rescues=1,
            key="a key: \n ☃",
            source=b"{\n}",
        ),
    )
    await hear(canceller, handed(job))
    assert canceller.inbox.statistics().queued == 1
    assert canceller.leases.ids() == [job.id]
    assert canceller.fetcher.demand.dry, "the job starts first"
    received = await canceller.inbox.receive()
    assert asdict(received) == asdict(job)
    assert canceller.fetcher.demand.plan(10) == [("work", 10)], "it asks again, to be known as free"


async def test_a_job_that_is_handed_over_and_cancelled_leaves_nobody_sated() -> None:
    canceller, job = make(), a_job()
    await hear(canceller, handed(job))
    assert canceller.fetcher.demand.dry
    assert canceller.inbox.withdraw(job.id, job.delivery) is not None
    assert canceller.fetcher.demand.plan(10) == [("work", 10)]


async def test_a_job_that_is_handed_over_and_does_not_start_keeps_no_others_away() -> None:
    slots = Slots(1, 10)
    canceller = make(slots=slots)
    assert slots.take()
    await hear(canceller, handed(a_job()))
    assert canceller.inbox.statistics().queued == 1
    assert canceller.fetcher.demand.plan(10) == [("work", 10)]


@pytest.mark.parametrize("full", [True, False])
async def test_without_a_place_for_it_the_job_is_handed_back(full: bool) -> None:
    canceller, job = make(), a_job()
    if full:
        canceller.inbox.deliver([a_job(), a_job()], 0)
    else:
        canceller.inbox.close()
    await hear(canceller, handed(job))
    [outcome] = canceller.outbox.take(10)
    assert (outcome.held, outcome.ending) == (held(job), Ending.RELEASE)
    assert canceller.leases.ids() == [job.id], "its lease is kept until that is written"


async def test_a_claim_under_way_does_not_keep_a_job_out() -> None:
    canceller, job = make(), a_job()
    canceller.inbox.reserve(2)
    await hear(canceller, handed(job))
    assert canceller.inbox.statistics().queued == 1


def routed(store: MemoryStore, handlers: dict[str, bytes]) -> Canceller:
    canceller = make(store)
    canceller.router = EventRouter(store, "w", handlers, 10_000)
    return canceller


async def test_news_of_events_goes_to_the_router() -> None:
    store = MemoryStore(KEYS)
    canceller = routed(store, {"work": b'{"pattern":"**"}'})
    router = canceller.router
    assert router is not None
    async with anyio.create_task_group() as group:
        group.start_soon(canceller.run)
        group.start_soon(router.run)
        await anyio.sleep(1)
        await store.send([NewEvent(id=new_event_id(), name="a", data=b"{}")])
        await anyio.sleep(0.01)
        assert (await store.survey()).waiting == 0
        group.cancel_scope.cancel()


@pytest.mark.parametrize("handlers", [{}, {"work": b'{"pattern":"**"}'}])
async def test_a_worker_whose_router_stopped_passes_news_of_events_on(
    handlers: dict[str, bytes],
) -> None:
    store = MemoryStore(KEYS)
    heard: list[bytes] = []
    store.subscribe(KEYS.worker_channel("other"), heard.append, lambda: None)
    async with anyio.create_task_group() as group:
        group.start_soon(routed(store, handlers).run)  # its router does not run
        await anyio.sleep(0.01)
        await store.take("w", 1, 1000)
        await store.take("other", 1, 1000)
        await store.send([NewEvent(id=new_event_id(), name="a", data=b"{}")])
        await anyio.sleep(0.01)
        assert heard == [f"work {KEYS.events}".encode()]
        group.cancel_scope.cancel()


async def test_after_a_gap_the_router_looks_for_events() -> None:
    store = MemoryStore(KEYS)
    canceller = routed(store, {"work": b'{"pattern":"**"}'})
    router = canceller.router
    assert router is not None
    async with anyio.create_task_group() as group:
        group.start_soon(router.run)
        await anyio.sleep(1)
        await store.send([NewEvent(id=new_event_id(), name="a", data=b"{}")])
        group.start_soon(canceller.run)
        await anyio.sleep(0.01)
        store.gap()
        await anyio.sleep(0.01)
        assert (await store.survey()).waiting == 0
        group.cancel_scope.cancel()
