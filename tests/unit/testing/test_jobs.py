"""Assertions about jobs: what they find, and what they say when they do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from unittest.mock import ANY

import pytest
from attrs import define

from upnext import JobStatus, Worker
from upnext.testing import fake_queue, inline

worker = Worker("jobs")


@define
class Order:
    number: int
    when: datetime


@worker.task
async def send(to: str, *, urgent: bool = False) -> int:
    return len(to)


@worker.task
async def ship(order: Order, tags=()) -> None: ...


@worker.task
async def many(first: int, /, *rest: int, **more: int) -> None: ...


@worker.task(retries=1)
async def fail(text: str) -> None:
    raise ValueError(text)


def test_arguments_are_decoded_as_the_annotations_say() -> None:
    order = Order(7, datetime(2026, 1, 1, tzinfo=UTC))
    with fake_queue() as queue:
        ship.submit_sync(order, tags=("a", "b"))
        [job] = queue.enqueued(ship)
        assert (job.task, job.args, job.kwargs) == (
            "ship",
            (),
            {"order": order, "tags": ["a", "b"]},
        )
        queue.assert_enqueued(ship, args=(order, ("a", "b")), count=1)
        queue.assert_enqueued(ship, kwargs={"order": order, "tags": ["a", "b"]})
        queue.refute_enqueued(ship, args=(order,))


def test_a_call_is_the_same_however_it_is_written() -> None:
    with fake_queue() as queue:
        send.submit_sync("ada")
        for args, kwargs in (
            (("ada",), None),
            ((), {"to": "ada"}),
            (("ada",), {"urgent": False}),
            ((ANY,), {"urgent": ANY}),
        ):
            queue.assert_enqueued(send, args=args, kwargs=kwargs, count=1)
            queue.assert_enqueued("send", args=args, kwargs=kwargs, count=1)
        queue.refute_enqueued(send, args=("ada",), kwargs={"urgent": True})
        queue.refute_enqueued(send, args=("bob",))
        many.submit_sync(1, 2, 3, x=4)
        queue.assert_enqueued(many, args=(1, 2, 3), kwargs={"x": 4})
        queue.refute_enqueued(many, args=(1, 2), kwargs={"x": 4})


def test_wrong_questions_are_errors() -> None:
    with fake_queue() as queue:
        send.submit_sync("ada")
        with pytest.raises(TypeError, match=r"send\(\): missing a required argument: 'to'"):
            queue.assert_enqueued(send, kwargs={"urgent": True})
        with pytest.raises(TypeError, match="need a task"):
            queue.assert_enqueued(args=("ada",))


def test_the_number_counts() -> None:
    with fake_queue() as queue:
        with pytest.raises(AssertionError, match="expected a job of any task; there is none"):
            queue.assert_enqueued()
        queue.refute_enqueued()
        queue.assert_enqueued(send, count=0)
        first, second = send.submit_sync("ada"), send.submit_sync("ada")
        assert [job.id for job in queue.assert_enqueued(send)] == [first.job_id, second.job_id]
        queue.assert_enqueued(send, count=2)
        with pytest.raises(AssertionError, match="expected one job of send; there are 2"):
            queue.assert_enqueued(send, count=1)


def test_a_failed_assertion_shows_what_was_submitted() -> None:
    with fake_queue() as queue:
        send.submit_sync("ada", urgent=True)
        ship.options(delay=timedelta(hours=1)).submit_sync(Order(1, datetime(2026, 1, 1)))
        with pytest.raises(AssertionError) as caught:
            queue.assert_enqueued(send, args=("bob",))
        assert str(caught.value) == (
            "expected a job send('bob'); there is none. What was submitted:\n"
            "  send(to='ada', urgent=True)  queued\n"
            "  ship(order=Order(number=1, when=datetime.datetime(2026, 1, 1, 0, 0)))"
            "  scheduled in 1:00:00"
        )
        with pytest.raises(AssertionError, match=r"no job of send; there is one"):
            queue.refute_enqueued(send)
        for _ in range(30):
            send.submit_sync("x")
        with pytest.raises(AssertionError, match="… and 12 more"):
            queue.refute_enqueued()


def test_where_and_status_narrow() -> None:
    with fake_queue() as queue:
        send.options(priority=5, key="k", deadline=60).submit_sync("ada")
        cancelled = send.submit_sync("bob")
        assert cancelled.cancel_sync("changed my mind")
        [urgent] = queue.assert_enqueued(send, where=lambda job: job.priority > 0)
        assert (urgent.key, urgent.delay) == ("k", 0)
        assert urgent.deadline is not None
        assert urgent.deadline - urgent.created_at == timedelta(seconds=60)
        queue.assert_enqueued(send, status=JobStatus.CANCELLED, count=1)
        queue.assert_cancelled(send, reason="changed my mind", count=1)
        with pytest.raises(AssertionError, match="that is cancelled because 'another'"):
            queue.assert_cancelled(send, reason="another")
        with pytest.raises(AssertionError, match="that `where` accepts; there is none"):
            queue.assert_enqueued(send, where=lambda job: job.priority > 5)


def test_ends_are_told_apart() -> None:
    with inline() as queue:
        send.submit_sync("ada")
        queue.assert_completed(send, args=("ada",), result=3, count=1)
        queue.assert_all_completed()
        with pytest.raises(AssertionError, match="that is complete with the result 4"):
            queue.assert_completed(send, result=4)
        fail.submit_sync("no luck")
        queue.assert_failed(fail, error=ValueError, count=1)
        queue.assert_failed(fail, error="no luck")
        for wrong in (KeyError, "good luck"):
            with pytest.raises(AssertionError, match=r"(?s)that failed with .*ValueError: no luck"):
                queue.assert_failed(fail, error=wrong)
        with pytest.raises(AssertionError) as caught:
            queue.assert_all_completed()
        assert "1 of 2 jobs are not complete" in str(caught.value)
        assert "in fail\n    raise ValueError(text)" in str(caught.value)


def test_no_job_is_not_all_jobs() -> None:
    with fake_queue() as queue, pytest.raises(AssertionError, match="no job was submitted"):
        queue.assert_all_completed()
