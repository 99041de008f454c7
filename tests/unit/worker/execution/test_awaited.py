from __future__ import annotations

from upnext.worker.execution.awaited import Awaited


def test_a_job_is_waited_for_until_the_last_who_waits_goes_on() -> None:
    awaited = Awaited()
    awaited.add(["a", "b"])
    awaited.add(["a"])
    awaited.remove(["a", "b"])
    assert list(awaited) == ["a"]
    awaited.remove(["a"])
    assert "a" not in awaited


def test_whoever_asked_is_told_of_every_wait() -> None:
    awaited, told = Awaited(), list[str]()
    awaited.add(["a"])
    awaited.connect(told.append)
    awaited.add(["a", "b"])
    assert told == ["a", "b"]
