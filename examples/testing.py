"""Tests of one's own tasks: days of retries without waiting, and no server anywhere.

Run it as a script, or with pytest.
"""

from __future__ import annotations

from datetime import timedelta

import anyio

import upnext
import upnext.testing

worker = upnext.Worker("billing")


@worker.task(retries=3, retry_delay=timedelta(days=1), retry_backoff=1, timeout=60)
async def charge(customer: int) -> str:
    """The bank is closed on the first two days."""
    if upnext.get_current_context().attempt < 3:
        raise ConnectionError("the bank is closed")
    await receipt.submit(customer, copies=2)
    return "paid"


@worker.task
def receipt(customer: int, copies: int = 1) -> int:
    return copies


def sign_up(customer: int) -> None:
    """Some sync code of ours that submits."""
    charge.options(delay=timedelta(days=30)).submit_sync(customer)


async def a_charge_is_tried_again_daily() -> None:
    async with upnext.testing.run_worker(worker) as harness:
        began = harness.now()
        result = await charge.wait(42)
        assert (result.value, result.attempts) == ("paid", 3)
        print(f"{result.value} after {(harness.now() - began).days} days")
        await harness.drain()
        harness.assert_completed(receipt, args=(42,), kwargs={"copies": 2}, count=1)


def test_on_asyncio() -> None:
    upnext.testing.run(a_charge_is_tried_again_daily)


def test_on_trio() -> None:
    upnext.testing.run(a_charge_is_tried_again_daily, backend="trio")


def test_in_real_time() -> None:
    async def main() -> None:
        async with upnext.testing.run_worker(worker) as harness:
            await charge.submit(42)
            await harness.drain(scheduled=True)
            harness.assert_all_completed()

    anyio.run(main)


def test_signing_up_submits_a_charge() -> None:
    with upnext.testing.fake_queue() as jobs:
        sign_up(7)
        [job] = jobs.assert_enqueued(charge, args=(7,), count=1)
        print(job.describe())


def test_inline() -> None:
    with upnext.testing.inline() as jobs:
        sign_up(7)
        jobs.assert_completed(charge, result="paid")


if __name__ == "__main__":
    test_on_asyncio()
    test_on_trio()
    test_in_real_time()
    test_signing_up_submits_a_charge()
    test_inline()
