from __future__ import annotations

from typing import Any

import pytest
from attrs import frozen

import upnext
from tests.support.tree import running
from upnext.model.limits import LONGEST_KEY, split_keys
from upnext.tasks.definition import TaskDefinition


@frozen
class Order:
    customer: str


def charge(tenant: str, order: Order, region: str = "eu", *rest: int, **more: Any) -> None: ...


def key(text: str, *args: Any, **kwargs: Any) -> str:
    definition = TaskDefinition(
        name="charge", function=charge, max_concurrency=1, concurrency_key=text
    )
    return split_keys(definition.limit_keys(args, kwargs))[0]


@pytest.mark.parametrize(
    ("text", "args", "rendered"),
    [
        ("{tenant}", ("a", Order("c")), "a"),
        ("{order.customer}", ("a", Order("c")), "c"),
        ("{tenant}:{region}", ("a", Order("c")), "a:eu"),
        ("{tenant}-{{x}}", (7, Order("c")), "7-{x}"),
        ("{rest[1]}", ("a", Order("c"), "eu", 1, 2), "2"),
    ],
)
def test_it_is_filled_in(text: str, args: tuple[Any, ...], rendered: str) -> None:
    assert key(text, *args) == rendered


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{user}", "no parameter user; it has tenant, order, region"),
        ("all", "must name an argument in braces"),
        ("{}", "must name an argument"),
        ("{tenant!r}", "must name an argument"),
        ("{tenant:>3}", "must name an argument"),
        ("{tenant", "a brace is not closed"),
    ],
)
def test_a_template_that_cannot_be_filled_in_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        key(text)
    assert "concurrency_key" in str(raised.value)


def test_a_field_that_is_not_there_fails_the_submit() -> None:
    with pytest.raises(ValueError, match=r"has no attribute 'street'"):
        key("{order.street}", "a", Order("c"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"concurrency_key": "{tenant}"}, "give max_concurrency, too"),
        ({"rate_limit_key": "{tenant}"}, "give rate_limit, too"),
        ({"group_max_concurrency": 3}, "give routing_group, too"),
        ({"rate_limit": "100"}, "must be <count>/<s, m, h or d>"),
        ({"rate_limit": "1/fortnight"}, "must be <count>/<s, m, h or d>"),
        ({"rate_limit": "0/s"}, "never let a job run"),
        ({"rate_limit": f"{10**9}/d"}, "more than can be counted"),
        ({"max_concurrency": 0}, "1 or more"),
    ],
)
def test_a_limit_that_cannot_be_used_is_an_error_at_the_decorator(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        upnext.Worker("w").task(**options)(charge)


def test_a_job_has_the_keys_of_its_arguments() -> None:
    worker = upnext.Worker("w")
    task = worker.task(
        max_concurrency=1,
        concurrency_key="{tenant}",
        rate_limit="1/s",
        rate_limit_key="{order.customer}",
    )(charge)
    job = task.job(("ünal", Order("c")), {})
    assert split_keys(job.limit_keys) == ("ünal", "c")
    long = task.job(("x" * 1_000, Order("c")), {})
    other = task.job(("x" * 999 + "y", Order("c")), {})
    assert long.limit_keys != other.limit_keys
    assert len(split_keys(long.limit_keys)[0]) <= LONGEST_KEY
    plain = worker.task(name="plain", max_concurrency=1)(charge)
    assert plain.job(("a", Order("c")), {}).limit_keys == ""


async def test_a_key_is_declared_with_the_task() -> None:
    worker = upnext.Worker("w")
    worker.task(max_concurrency=3, concurrency_key="{tenant}")(charge)
    async with running(worker) as tree:
        await tree.store.claim("x", [("charge", 1)])
        [queue] = tree.store.queues.values()
        assert queue.ring.limits.fields == {"keymax": 3}
        await tree.stop()
