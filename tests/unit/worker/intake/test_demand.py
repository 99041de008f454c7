from __future__ import annotations

import anyio
from anyio.lowlevel import checkpoint

from upnext.worker.intake.demand import Demand


def test_room_is_shared_fairly() -> None:
    assert Demand(["a", "b", "c"]).plan(7) == [("a", 3), ("b", 2), ("c", 2)]


def test_with_little_room_everybody_gets_a_turn() -> None:
    demand = Demand(["a", "b", "c"])
    asked: list[str] = []
    for _ in range(6):
        [(name, count)] = demand.plan(1)
        assert count == 1
        asked.append(name)
        demand.filled([name])
    assert asked == ["a", "b", "c", "a", "b", "c"]


def test_whoever_gave_less_than_asked_is_dry() -> None:
    demand = Demand(["a", "b"])
    demand.plan(10)
    demand.filled(["b"])
    assert demand.plan(10) == [("b", 10)]
    assert demand.dry
    assert demand.plan(10) == []


def test_news_that_come_before_the_answer_to_the_claim_are_not_forgotten() -> None:
    demand = Demand(["a"])
    demand.plan(10)
    demand.note("a")
    demand.filled([])
    assert demand.plan(10) == [("a", 10)]


async def test_who_waits_hears_of_work() -> None:
    demand = Demand(["a", "b"])
    demand.plan(10)
    for note, expected in ((lambda: demand.note("b"), ["b"]), (demand.note_all, ["a", "b"])):
        async with anyio.create_task_group() as group:
            group.start_soon(demand.changed)
            await checkpoint()
            await checkpoint()
            note()
        assert [name for name, _ in demand.plan(10)] == expected
