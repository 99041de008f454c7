"""The renewal thread is a real one, and so is the time: every wait here ends by a signal."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import SimpleNamespace

import anyio
import pytest
from redis.exceptions import ConnectionError as LostConnectionError

from tests.support.claimed import a_job, held
from tests.support.tree import until
from upnext.model.job import Held, Revoked
from upnext.worker.settlement import renewal as module
from upnext.worker.settlement.leases import Leases
from upnext.worker.settlement.renewal import LoopRenewal, ThreadRenewal

PERIOD = 0.02
HANG = 20.0
"""Seconds after which a signal that did not come will not come."""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Store:
    """Counts renewals; safe for threads."""

    def __init__(self) -> None:
        self.renewed: queue.SimpleQueue[list[Held]] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[list[Revoked] | Exception] = queue.SimpleQueue()
        self.withdrawn: queue.SimpleQueue[tuple[str, list[str]]] = queue.SimpleQueue()
        self.fails_to_withdraw = False
        self.may_withdraw = threading.Event()
        self.may_withdraw.set()
        self.closed = threading.Event()
        self.threads: set[int] = set()

    def renew(self, worker: str, held: Iterable[Held]) -> list[Revoked]:
        self.threads.add(threading.get_ident())
        self.renewed.put(list(held))
        try:
            answer = self.answers.get_nowait()
        except queue.Empty:
            return []
        if isinstance(answer, Exception):
            raise answer
        return answer

    def withdraw(self, worker: str, functions: Sequence[str]) -> None:
        self.withdrawn.put((worker, list(functions)))
        assert self.may_withdraw.wait(HANG)
        if self.fails_to_withdraw:
            raise LostConnectionError("gone")

    def close(self) -> None:
        self.closed.set()


class Renewing:
    """A renewal with one job to renew."""

    def __init__(self, most_blocked: float = 1000.0) -> None:
        self.store, self.leases, self.job = Store(), Leases(), a_job()
        self.leases.add([self.job])
        self.revoked: list[Revoked] = []
        self.came = anyio.Event()
        self.told_of_it = anyio.Event()
        self.renewal = ThreadRenewal(
            lambda: self.store,
            "w",
            ["work"],
            self.leases,
            PERIOD,
            most_blocked,
            self._on_revoked,
            lambda: self.told_of_it.set(),
            lambda: ["send (send-1)"],
        )

    def _on_revoked(self, revoked: Revoked) -> None:
        self.revoked.append(revoked)
        self.came.set()

    async def renews(self) -> None:
        """Return when its thread has renewed once."""
        with anyio.fail_after(HANG):
            await until(lambda: not self.store.renewed.empty())

    def block_until_renewed(self, times: int) -> None:
        for _ in range(times):
            assert self.store.renewed.get(timeout=HANG) == [held(self.job)]


async def test_it_renews_while_the_loop_is_blocked() -> None:
    it = Renewing()
    async with anyio.create_task_group() as group:
        group.start_soon(it.renewal.run)
        await it.renews()
        it.block_until_renewed(3)  # blocks the loop, as a job may
        group.cancel_scope.cancel()
    assert threading.get_ident() not in it.store.threads


async def test_cancelled_it_ends_at_once_and_closes_its_connection() -> None:
    it = Renewing()
    it.renewal.period = 1000.0
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:
            group.start_soon(it.renewal.run)
            await anyio.sleep(PERIOD)
            group.cancel_scope.cancel()
    assert it.store.closed.wait(HANG)


async def test_what_is_revoked_is_told_on_the_loop() -> None:
    it = Renewing()
    revoked = Revoked(it.job.id, 1, True)
    it.store.answers.put([revoked])
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:
            group.start_soon(it.renewal.run)
            await it.came.wait()
            group.cancel_scope.cancel()
    assert it.revoked == [revoked]


async def test_it_goes_on_after_the_connection_was_lost(caplog: pytest.LogCaptureFixture) -> None:
    it = Renewing()
    it.store.answers.put(LostConnectionError("gone"))
    async with anyio.create_task_group() as group:
        group.start_soon(it.renewal.run)
        await it.renews()
        it.block_until_renewed(3)
        group.cancel_scope.cancel()
    assert "cannot renew 1 leases: gone" in caplog.text


async def test_nothing_held_is_nothing_asked() -> None:
    it = Renewing()
    it.leases.remove([held(it.job)])
    async with anyio.create_task_group() as group:
        group.start_soon(it.renewal.run)
        await anyio.sleep(PERIOD * 5)
        group.cancel_scope.cancel()
    assert it.store.renewed.empty()


class Clock:
    """The time as the renewal's thread sees it; a test lets it pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.monotonic()
        # Not the function itself: the event loop goes by it.
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))


async def test_it_names_what_blocks_the_loop_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = Renewing()
    clock = Clock(monkeypatch)
    async with anyio.create_task_group() as group:
        group.start_soon(it.renewal.run)
        await it.renews()
        it.block_until_renewed(1)
        clock.now += 5
        it.block_until_renewed(5)
        group.cancel_scope.cancel()
    said = [record.getMessage() for record in caplog.records if "blocked" in record.msg]
    assert len(said) == 1
    assert "send (send-1)" in said[0]
    assert "5.0 s" in said[0]
    assert "test_renewal.py" in said[0] or "queue" in said[0]


@pytest.mark.parametrize("fails", [True, False])
async def test_while_the_loop_is_blocked_no_job_is_handed_over(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = Renewing()
    it.store.fails_to_withdraw = fails
    clock = Clock(monkeypatch)
    monkeypatch.setattr(module, "BEAT_INTERVAL", PERIOD)
    async with anyio.create_task_group() as group:
        group.start_soon(it.renewal.run)
        await it.renews()
        assert not it.told_of_it.is_set()
        clock.now += 5
        assert it.store.withdrawn.get(timeout=HANG) == ("w", ["work"])  # blocks the loop
        it.block_until_renewed(2)
        assert it.store.withdrawn.empty(), "once is enough"
        with anyio.fail_after(HANG):
            await it.told_of_it.wait()
        group.cancel_scope.cancel()


async def test_past_the_limit_it_renews_no_more_until_the_loop_runs_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    it = Renewing(most_blocked=10)
    clock = Clock(monkeypatch)
    async with anyio.create_task_group() as group:
        group.start_soon(it.renewal.run)
        await it.renews()
        it.block_until_renewed(1)
        clock.now += 11
        on_their_way = 0
        with suppress(queue.Empty):
            while on_their_way < 3:
                it.store.renewed.get(timeout=PERIOD * 20)
                on_their_way += 1
        assert on_their_way < 3
        monkeypatch.setattr(module, "BEAT_INTERVAL", PERIOD)
        await it.renews()
        group.cancel_scope.cancel()


async def test_the_loops_own_renewal() -> None:
    class LoopStore:
        async def renew(self, worker: str, held: Iterable[Held]) -> list[Revoked]:
            return [Revoked(one.id, one.delivery, True) for one in held]

    leases, job, came = Leases(), a_job(), anyio.Event()
    leases.add([job])
    revoked: list[Revoked] = []

    def on_revoked(one: Revoked) -> None:
        revoked.append(one)
        came.set()

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:
            group.start_soon(LoopRenewal(LoopStore(), "w", leases, PERIOD, on_revoked).run)
            await came.wait()
            group.cancel_scope.cancel()
    assert revoked[0] == Revoked(job.id, 1, True)


async def test_what_the_loop_claims_during_the_withdrawal_is_told_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    it = Renewing()
    it.store.may_withdraw.clear()
    clock = Clock(monkeypatch)
    monkeypatch.setattr(module, "BEAT_INTERVAL", PERIOD)
    async with anyio.create_task_group() as group:
        group.start_soon(it.renewal.run)
        await it.renews()
        clock.now += 5
        assert it.store.withdrawn.get(timeout=HANG) == ("w", ["work"])  # blocks the loop
        await anyio.sleep(3 * PERIOD)  # the loop goes on, and shows signs of life
        assert not it.told_of_it.is_set()
        it.store.may_withdraw.set()
        with anyio.fail_after(HANG):
            await it.told_of_it.wait()
        group.cancel_scope.cancel()
