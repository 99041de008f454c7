"""A hook may be anything that can be called, with as many arguments as it likes."""

from __future__ import annotations

import functools
import threading

import pytest

from upnext.tasks.context import Context, current_context
from upnext.tasks.hooks import call_hook


class Calls:
    def __init__(self) -> None:
        self.seen = []

    async def anything(self, *args):
        self.seen.append(args)

    def two(self, context, error):
        self.seen.append((context, error))

    async def one(self, context):
        self.seen.append((context,))

    def none(self):
        self.seen.append(())

    def with_default(self, context, error=None, *, named=1):
        self.seen.append((context, error))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("anything", (1, 2)),
        ("two", (1, 2)),
        ("one", (1,)),
        ("none", ()),
        ("with_default", (1, 2)),
    ],
)
async def test_gets_what_it_takes(name: str, expected: tuple) -> None:
    calls = Calls()
    await call_hook(getattr(calls, name), 1, 2)
    assert calls.seen == [expected]


async def test_partials_lambdas_and_unhashable_objects() -> None:
    class Unhashable(list):
        def __call__(self, context):
            self.append(context)

    calls, unhashable = Calls(), Unhashable()
    await call_hook(functools.partial(calls.two, 0), 1, 2)
    await call_hook(functools.partial(calls.one), 1, 2)
    await call_hook(lambda context: calls.one(context), 3, 4)
    await call_hook(unhashable, 5)
    assert calls.seen == [(0, 1), (1,), (3,)]
    assert unhashable == [5]


async def test_a_sync_hook_runs_in_a_thread_and_sees_the_job() -> None:
    seen = []

    def hook():
        seen.append((threading.current_thread(), current_context.get()))

    context = Context(job_id="a-1")
    token = current_context.set(context)
    await call_hook(hook)
    current_context.reset(token)
    ((thread, inside),) = seen
    assert thread is not threading.current_thread()
    assert inside is context


async def test_what_it_raises_passes() -> None:
    def hook():
        raise KeyError("a")

    with pytest.raises(KeyError):
        await call_hook(hook)
