"""A paused function accepts jobs and gives none out, until it is resumed or its time is over."""

from __future__ import annotations

from tests.conformance.subject import KEYS, Subject, claim, new, record_of, submit
from tests.conformance.test_limits import ear, ids, limit
from upnext.model.status import JobStatus
from upnext.store.store import Store

NEWS = f"work {KEYS.function('work')}".encode()


async def test_it_accepts_jobs_and_gives_none_out(store: Store) -> None:
    heard = await ear(store, "w1")
    assert await claim(store, "w1") == []
    assert await store.pause(["work"]) == 0
    job = new()
    await submit(store, job)
    assert await claim(store, "w1") == []
    assert (await record_of(store, job.id)).status is JobStatus.QUEUED
    heard.clear()
    assert await store.resume(["work"]) == 1
    await store.now()
    assert heard == [NEWS]
    assert ids(await claim(store, "w1")) == [job.id]
    assert await store.resume(["work"]) == 0


async def test_it_ends_by_itself_and_says_when(store: Store, subject: Subject) -> None:
    await submit(store, new())
    until = subject.now + 60_000
    assert await store.pause(["work"], until) == until
    claimed = await store.claim("w1", [("work", 1)])
    assert claimed.jobs == []
    assert 59_900 <= claimed.later["work"] <= 60_000
    assert await store.paused(["work"]) == {"work": until}
    subject.advance(60_000)
    assert len(await claim(store, "w1")) == 1
    assert await store.paused(["work"]) == {}


async def test_it_ends_some_time_from_now(store: Store, subject: Subject) -> None:
    until = await store.pause(["work"], delay=1_000)
    assert 0 <= until - (subject.now + 1_000) <= 50
    await submit(store, new())
    assert await claim(store, "w1") == []
    subject.advance(1_000)
    assert len(await claim(store, "w1")) == 1


async def test_a_later_pause_takes_the_place_of_an_earlier_one(
    store: Store, subject: Subject
) -> None:
    await submit(store, new())
    await store.pause(["work"], subject.now + 1_000)
    heard = await ear(store, "w1")
    await claim(store, "w1")
    await store.pause(["work"])
    await store.now()
    assert heard == [NEWS]
    subject.advance(5_000)
    claimed = await store.claim("w1", [("work", 1)])
    assert (claimed.jobs, claimed.later) == ([], {})


async def test_everything_is_paused_and_what_is_declared_meanwhile(store: Store) -> None:
    await store.declare({"work": b"{}", "mail": b"{}"})
    await submit(store, new(), new("mail"))
    await store.pause(None)
    await store.declare({"new": b"{}", "mail": b"{}"})
    await submit(store, new("new"))
    for name in ("work", "mail", "new"):
        assert await claim(store, "w1", name=name) == []
    assert await store.paused() == dict.fromkeys(("work", "mail", "new"), 0)
    assert await store.resume(None) == 3
    assert len(await claim(store, "w1")) == 1
    await store.declare({"other": b"{}"})
    await submit(store, new("other"))
    assert len(await claim(store, "w1", name="other")) == 1


async def test_a_function_resumed_out_of_a_pause_of_all_stays_resumed(store: Store) -> None:
    await store.declare({"work": b"{}"})
    await store.pause(None)
    await store.resume(["work"])
    await store.declare({"work": b"{}"})  # its worker starts again
    await submit(store, new())
    assert len(await claim(store, "w1")) == 1


async def test_workers_hear_of_it_to_hand_back_what_has_not_started(store: Store) -> None:
    heard: list[bytes] = []
    await store.subscribe(KEYS.due_channel("work"), heard.append, lambda: None).ready()
    await store.pause(["work"])
    await store.now()
    assert heard == [b"pause"]


async def test_a_declaration_does_not_undo_a_pause(store: Store) -> None:
    await store.declare({"work": b"{}"})
    await store.pause(["work"])
    await limit(store, max_concurrency=3)
    await limit(store)
    await submit(store, new())
    assert await claim(store, "w1") == []


async def test_history_hears_of_it(store: Store, subject: Subject) -> None:
    await store.pause(["work"], subject.now + 1_000)
    await store.resume(["work"])
    await store.pause(["work"], subject.now + 1_000)
    subject.advance(1_000)
    await submit(store, new())
    await claim(store, "w1")
    told = [(e["type"], e.get("reason")) for e in subject.events() if e["id"] == b"-"]
    assert told == [
        (b"paused", None),
        (b"resumed", b"resumed"),
        (b"paused", None),
        (b"resumed", b"its time was over"),
    ]


async def test_once_resumed_a_function_without_limits_hands_jobs_over_again(store: Store) -> None:
    await store.pause(["work"])
    await store.resume(["work"])
    heard = await ear(store, "w1")
    await claim(store, "w1")
    await submit(store, new())
    await store.now()
    assert [message[:4] for message in heard] == [b"job "]


async def test_neither_limits_nor_a_pause_wear_off(store: Store, subject: Subject) -> None:
    await limit(store, max_concurrency=1)
    await store.pause(["work"])
    await submit(store, new(), new())
    subject.advance(60 * 24 * 3_600_000)
    assert await store.paused(["work"]) == {"work": 0}
    assert await claim(store, "w1") == []
    await store.resume(["work"])
    assert len(await claim(store, "w1", count=2)) == 1
    assert await claim(store, "w2", count=2) == []
