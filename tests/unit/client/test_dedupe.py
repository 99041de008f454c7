"""How callers ask for deduplication and for cached results."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import frozen

from tests.unit.client.conftest import Hand
from upnext.client.client import Client
from upnext.client.declarations import TaskDeclarations
from upnext.client.handle import TaskHandle
from upnext.client.parallel import submit_many
from upnext.errors import JobNotFoundError
from upnext.model.dedupe import Dedupe, DedupeKind
from upnext.testing.memory import MemoryStore


@frozen
class Order:
    id: int
    lines: list[str]


def declare(tasks: TaskDeclarations, **options: Any) -> TaskHandle[..., Any]:
    @tasks.task(**options)
    async def ship(order: int, *, to: str = "home", fast: bool = False) -> str:
        return f"{order} to {to}"

    return ship


def dedupe_of(task: TaskHandle[..., Any], *args: Any, **kwargs: Any) -> Dedupe | None:
    return task.job(args, kwargs).dedupe


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"unique_for": 0}, "unique_for must be more than 0"),
        ({"unique_for": -1}, "unique_for must be 0 or more"),
        ({"unique_for": "1"}, "unique_for must be a number"),
        ({"unique_key": "{order}"}, "unique_key needs unique_for"),
        ({"debounce_key": "{order}"}, "debounce_key needs debounce"),
        ({"debounce_max": 5}, "debounce_max needs debounce"),
        ({"debounce": 5, "debounce_max": 4}, "debounce_max (4 s) must not be shorter"),
        ({"unique_for": 5, "unique_key": "{who}"}, "ship has no parameter who; it has order"),
        ({"rerun_key": "{order"}, "a brace is not closed"),
        ({"rerun_key": ""}, "rerun_key must be a text"),
        ({"unique_for": 5, "debounce": 5}, "unique_for and debounce contradict each other"),
        ({"debounce": 5, "rerun_key": "x"}, "debounce and rerun_key contradict each other"),
        ({"unique_for": 5, "key": "x"}, "either key or unique_for"),
        ({"rerun_key": "x", "key": "x"}, "either key or rerun_key"),
        ({"debounce": 5, "delay": 5}, "debounce says when the job runs"),
        ({"rerun_key": "x", "delay": 5}, "rerun_key says when the job runs"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    tasks: TaskDeclarations, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        declare(tasks).options(**options)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_in_a_chain_the_last_kind_counts(tasks: TaskDeclarations) -> None:
    task = declare(tasks).options(key="k")
    task = task.options(unique_for=5)
    assert task.key == ""
    assert dedupe_of(task.options(rerun_key="all"), 1) == Dedupe(DedupeKind.RERUN, "all")
    assert dedupe_of(task.options(key="k"), 1) is None
    widened = task.options(unique_key="{order}").options(unique_for=timedelta(minutes=1))
    assert dedupe_of(widened, 7) == Dedupe(DedupeKind.UNIQUE, "7", 60_000)
    with pytest.raises(ValueError, match="leave out delay"):
        task.options(delay=1).options(debounce=1)


def test_keys_are_made_of_arguments_however_they_are_passed(tasks: TaskDeclarations) -> None:
    debounced = declare(tasks).options(
        debounce=1.5, debounce_key="{order}/{to}", debounce_max=timedelta(seconds=9)
    )
    expected = Dedupe(DedupeKind.DEBOUNCE, "7/home", 1_500, 9_000)
    assert dedupe_of(debounced, 7) == expected
    assert dedupe_of(debounced, order=7, to="home") == expected
    assert dedupe_of(debounced, 7, to="work") != expected
    assert dedupe_of(declare(TaskDeclarations()).options(debounce=1), 7) == Dedupe(
        DedupeKind.DEBOUNCE, "", 1_000
    )


def test_equal_calls_are_unique_whatever_their_form(tasks: TaskDeclarations) -> None:
    task = declare(tasks).options(unique_for=5)
    first = dedupe_of(task, 7, to="home")
    assert first == dedupe_of(task, to="home", order=7)
    assert first == dedupe_of(task, 7)
    assert first == dedupe_of(task, fast=False, to="home", order=7)
    assert first != dedupe_of(task, 8)
    assert first != dedupe_of(task, 7, fast=True)


def test_equal_objects_are_unique_and_odd_defaults_do_no_harm(tasks: TaskDeclarations) -> None:
    @tasks.task
    def pack(
        order: Order, extra: dict[str, int], how: Any = object, *rest: int, **more: str
    ) -> None:
        pass

    task = pack.options(unique_for=5)
    first = dedupe_of(task, Order(1, ["a"]), {"x": 1, "y": 2})
    assert first == dedupe_of(task, order=Order(1, ["a"]), extra={"y": 2, "x": 1})
    assert first != dedupe_of(task, Order(1, ["b"]), {"x": 1, "y": 2})
    assert first != dedupe_of(task, Order(1, ["a"]), {"x": 1, "y": 2}, "how", 1)
    by_id = pack.options(unique_for=5, unique_key="{order.id}:{extra[x]}")
    found = dedupe_of(by_id, Order(9, []), {"x": 4})
    assert found is not None
    assert found.key == "9:4"


async def test_a_key_that_these_arguments_do_not_make_is_an_error(
    tasks: TaskDeclarations, client: Client
) -> None:
    task = declare(tasks).options(unique_for=5, unique_key="{order.id}")
    with pytest.raises(ValueError, match="has no attribute 'id'"):
        await task.submit(7)


async def test_a_unique_submit_gives_the_job_that_is_there(
    tasks: TaskDeclarations, client: Client, hand: Hand, store: MemoryStore
) -> None:
    task = declare(tasks).options(unique_for=60)
    first = await task.submit(7)
    assert (await task.submit(7)).job_id == first.job_id
    assert (await task.submit(8)).job_id != first.job_id
    await hand.serve(2)
    result = await task.wait(7)
    assert (result.value, result.job_id) == ("7 to home", first.job_id)
    del store.queues[store.keys.of_job(first.job_id)].jobs[first.job_id]
    with pytest.raises(JobNotFoundError):
        await task.wait(7)


async def test_many_submits_are_deduplicated_one_by_one(
    tasks: TaskDeclarations, client: Client
) -> None:
    task = declare(tasks).options(unique_for=60)
    futures = await submit_many(task, [(1,), (2,), (1,)])
    assert futures[0].job_id == futures[2].job_id != futures[1].job_id


async def test_a_cached_result_comes_back_at_once(
    tasks: TaskDeclarations, client: Client, hand: Hand
) -> None:
    task = declare(tasks, cache_key="ship:{order}", cache_ttl=60)
    future = await task.submit(7)
    await hand.serve(1)
    assert await future.value() == "7 to home"
    result = await task.wait(7, to="work")
    assert (result.value, result.attempts) == ("7 to home", 0)
    assert result.job_id != future.job_id
    assert await (await task.submit(7)).value() == "7 to home"
    fresh = await task.options(fresh=True).submit(7, to="work")
    await hand.serve(1)
    assert await fresh.value() == "7 to work"
    assert (await task.wait(7)).value == "7 to work"


async def test_without_a_cache_key_equal_arguments_share_a_result(
    tasks: TaskDeclarations, client: Client, hand: Hand
) -> None:
    task = declare(tasks, cache_ttl=60)
    await task.submit(7)
    await hand.serve(1)
    assert (await task.wait(order=7, to="home")).attempts == 0
    other = await task.submit(8)
    assert [job.id for job in await hand.claim()] == [other.job_id]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cache_key": "x"}, "cache_key needs cache_ttl"),
        ({"cache_key": "{date}", "cache_ttl": 5}, "ship has no parameter date; it has order"),
        ({"cache_key": "{order", "cache_ttl": 5}, "a brace is not closed"),
        ({"max_deliveries": 0}, "max_deliveries must be a whole number, 1 or more"),
    ],
)
def test_a_wrong_declaration_is_refused_in_one_line(
    tasks: TaskDeclarations, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        declare(tasks, **options)
    assert words in str(refused.value)


def test_a_plain_job_has_nothing_of_this(tasks: TaskDeclarations) -> None:
    job = declare(tasks).job((1,), {})
    assert (job.dedupe, job.caching) == (None, None)
