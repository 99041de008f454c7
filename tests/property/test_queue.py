"""The queue on a real server does what its model does, whatever is asked of it in what order."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from tests.property.books import check_books, check_step, check_what_is_left
from tests.property.drawn import (
    cachings,
    dedupes,
    functions,
    limits,
    payloads,
    reports_of,
    times,
    workers,
)
from tests.property.machine import run_machine
from tests.property.rig import FUNCTIONS, KEYS, Rig, Verb
from upnext.model.identity import function_tag
from upnext.model.job import Held, Job, JobRecord, NewJob, ReplayVerdict
from upnext.model.lineage import Member, child_path
from upnext.model.outcome import Ending, Outcome, Settled
from upnext.model.report import ReportKind, Reports

LEASE = 3_000
DAY = 24 * 3_600_000


class QueueMachine(RuleBasedStateMachine):
    """Every rule does one thing to the store and to its model, and compares."""

    jobs = Bundle("jobs")
    claims = Bundle("claims")
    """(worker, what it held): those stay drawn from for ever, so old fences come back."""

    def __init__(self, rig: Rig) -> None:
        super().__init__()
        self.rig = rig
        self.rig.begin()
        self.news: dict[str, NewJob] = {}
        self.records: dict[str, JobRecord | None] = {}
        self.letters: set[str] = set()
        self.applied: Counter[tuple[str, int]] = Counter()
        self.starts = 0
        self.workers = ["", ""]
        self.sound = True
        for place in range(2):
            self._start(place)

    # Something to draw from at the start.

    @initialize(target=jobs)
    def submit_one(self) -> str:
        new = NewJob(id="mail-" + "0" * 32, function="mail", arguments=b"[0]")
        self.news[new.id], self.records[new.id] = new, None
        self.rig.both(lambda side: side.enqueue([new]))
        return new.id

    @initialize(target=claims)
    def hold_nothing(self) -> tuple[str, Held]:
        return "w0", Held("mail", "mail-" + "f" * 32, 1)

    # What producers do.

    @rule(
        target=jobs,
        function=functions,
        arguments=payloads,
        priority=st.sampled_from((0, 0, 0, 1, -1, 9, -9)),
        delay=times,
        at=times,
        deadline=limits,
        budget=limits,
        key=st.sampled_from(("", "", "", "k1", "k2 é")),
        parent=st.none() | jobs,
        waiter=st.sampled_from(("", "ch1", "ch2")),
        dedupe=st.none() | dedupes,
        caching=st.sampled_from((None, None, True)).flatmap(
            lambda wanted: cachings if wanted else st.none()
        ),
    )
    def enqueue(
        self,
        function: str,
        at: int | None,
        deadline: int | None,
        parent: str | None,
        **fields: Any,
    ) -> Any:
        now = self.rig.server.now
        new = NewJob(
            id=f"{function_tag(function)}-{len(self.news) + 1:032x}",
            function=function,
            at=None if at is None else now + at,
            deadline=None if deadline is None else now + deadline,
            parent_id=parent or "",
            root_id=self._root(parent) if parent else "",
            path=self._path(parent) if parent else "",
            **fields,
        )
        self.news[new.id] = new
        [answer] = self.rig.both(lambda side: side.enqueue([new]))
        if not getattr(answer, "created", False):
            return multiple()
        self.records[new.id] = None
        return new.id

    @rule(batch=st.lists(jobs, min_size=1, max_size=3))
    def enqueue_again(self, batch: list[str]) -> None:
        known = [self.news[job_id] for job_id in batch if self.records[job_id] is not None]
        self.rig.both(lambda side: side.enqueue(known))

    @rule(job=jobs, reason=st.sampled_from(("", "no more", 'a "b" é')))
    def cancel(self, job: str, reason: str) -> None:
        self.rig.both(lambda side: side.cancel(job, reason))

    @rule(batch=st.lists(jobs, min_size=1, max_size=2), whole=st.booleans())
    def cancel_trees(self, batch: list[str], whole: bool) -> None:
        """All below some jobs, mostly in the middle of trees."""
        heads = [self._root(job) for job in batch] if whole else batch
        # A job that never ran can have no children; this machine gives it some all the same. And
        # of one whose record is gone nobody knows the root.
        known = [head for head in heads if (r := self.records[head]) is not None and r.delivery]
        below = {job for job in self.records if any(self._is_below(job, head) for head in known)}
        self.rig.both(lambda side: side.cancel_trees(heads, "the tree"))
        self.nothing_differs_and_nothing_is_lost()
        for job_id in below:
            record = self.records[job_id]
            over = record is None or record.status.is_terminal()
            assert over or record.cancel_requested, "one below it was not reached"

    @rule(job=jobs, channel=st.sampled_from(("ch1", "ch2")))
    def unwind(self, job: str, channel: str) -> None:
        new = self.news[job]
        member = Member(job, new.root_id or job, new.path)
        self.rig.both(lambda side: side.unwind(member, "the tree", channel))

    @rule(job=jobs)
    def living(self, job: str) -> None:
        below = self.rig.both(lambda side: side.living(job))
        found = self.rig.lookup(list(self.records))
        live = [i for i, r in found.items() if r is not None and not r.status.is_terminal()]
        if found[job] is not None or self._root(job) == job:
            assert below == sorted(i for i in live if self._is_below(i, job))

    @rule(target=jobs, batch=st.lists(jobs, min_size=1, max_size=3))
    def replay(self, batch: list[str]) -> Any:
        """Any job: those that are no dead letters, and those that were replayed, as well."""
        function = self.news[batch[0]].function
        pairs = list[tuple[str, str]]()
        for old in batch:
            if self.news[old].function == function:
                new = f"{function_tag(function)}-{len(self.news) + 1:032x}"
                self.news[new] = NewJob(id=new, function=function, arguments=b"")
                pairs.append((old, new))
        answers = self.rig.both(lambda side: side.replay(function, pairs))
        made = [a.id for a in answers if a.verdict is ReplayVerdict.REPLAYED]
        self.records.update(dict.fromkeys(made))
        return multiple(*made)

    @rule(batch=st.lists(jobs, min_size=1, max_size=3))
    def purge(self, batch: list[str]) -> None:
        function = self.news[batch[0]].function
        self.rig.both(lambda side: side.purge(function, batch))
        for job_id in batch:
            if job_id in self.letters and self.news[job_id].function == function:
                self.records[job_id] = None

    @rule(function=functions, count=st.integers(1, 3), since=times, behind=st.booleans())
    def read_the_dead(self, function: str, count: int, since: int | None, behind: bool) -> None:
        back = None if since is None else self.rig.server.now - since
        page = self.rig.both(lambda side: side.dead_letters(function, count, back))
        if behind and page.letters:
            last = page.letters[-1]
            place = (last.at, last.record.id)
            self.rig.both(lambda side: side.dead_letters(function, count, back, None, place))

    @rule(job=jobs, channel=st.sampled_from(("ch1", "ch2")))
    def watch(self, job: str, channel: str) -> None:
        self.rig.both(lambda side: side.watch(job, channel))

    # What workers do.

    @rule(
        target=claims,
        place=workers,
        wants=st.lists(
            st.tuples(functions, st.integers(1, 4)),
            min_size=1,
            max_size=2,
            unique_by=lambda w: w[0],
        ),
        lost=st.sampled_from((False, False, False, True)),
    )
    def claim(self, place: int, wants: list[tuple[str, int]], lost: bool) -> Any:
        worker = self.workers[place]
        claimed = self.rig.both(lambda side: side.claim(worker, wants))
        return self._held(worker, [] if lost else claimed.jobs)

    @rule(
        target=claims,
        place=workers,
        batch=st.lists(jobs, min_size=1, max_size=4),
        most=st.integers(1, 3),
    )
    def pick(self, place: int, batch: list[str], most: int) -> Any:
        """Of jobs of two functions those of one are found."""
        worker, function = self.workers[place], self.news[batch[0]].function
        picked = self.rig.both(lambda side: side.pick(worker, function, most, batch))
        return self._held(worker, picked.jobs)

    @rule(target=claims, place=workers, known=st.lists(jobs, max_size=3))
    def recover(self, place: int, known: list[str]) -> Any:
        worker = self.workers[place]
        claimed = self.rig.both(lambda side: side.recover(worker, FUNCTIONS, known))
        return self._held(worker, claimed.jobs)

    @rule(batch=st.lists(claims, min_size=1, max_size=4), impostor=st.booleans(), place=workers)
    def renew(self, batch: list[tuple[str, Held]], impostor: bool, place: int) -> None:
        worker = self.workers[place] if impostor else batch[0][0]
        self.rig.both(lambda side: side.renew(worker, [held for _, held in batch]))

    @rule(
        batch=st.lists(claims, min_size=1, max_size=3),
        ending=st.sampled_from(Ending),
        delay=st.sampled_from((0, 0, 1_000, 20_000)),
        result=payloads,
        error=payloads,
        duration=st.sampled_from((0, 700)),
        reason=st.sampled_from(("", "why")),
        dead_letter=st.booleans(),
    )
    def settle(self, batch: list[tuple[str, Held]], **fields: Any) -> None:
        self._settle(batch[0][0], [Outcome(held=held, **fields) for _, held in batch])

    @rule(
        claim=claims,
        said=st.lists(st.tuples(st.sampled_from(ReportKind), payloads), min_size=1, max_size=4),
        first=st.integers(1, 6),
    )
    def report(self, claim: tuple[str, Held], said: list[tuple[Any, bytes]], first: int) -> None:
        batch = [Reports(claim[1], self.rig.server.now, reports_of(said, first))]
        self.rig.both(lambda side: side.report(claim[0], batch))

    @rule(job=jobs, what=st.sampled_from(("log", "out", "")), after=st.sampled_from(("", "1-2")))
    def follow(self, job: str, what: str, after: str) -> None:
        self.rig.both(lambda side: side.follow(job, what, after, 3))

    @rule(target=claims, claim=claims)
    def take_back(self, claim: tuple[str, Held]) -> Any:
        """The same worker hands a job back and claims it again: its old fence is void."""
        worker, held = claim
        self._settle(worker, [Outcome(held=held, ending=Ending.RELEASE)])
        self.nothing_differs_and_nothing_is_lost()
        claimed = self._then(lambda side: side.claim(worker, [(held.function, 1)]))
        return self._held(worker, claimed.jobs)

    @rule(place=workers)
    def die(self, place: int) -> None:
        """Its claims stay, and act on as those of a worker that was only frozen."""
        self._start(place)

    @rule(place=workers)
    def retire(self, place: int) -> None:
        worker = self.workers[place]
        self.rig.both(lambda side: side.retire(worker, FUNCTIONS))

    @rule(function=functions)
    def lose_a_worker(self, function: str) -> None:
        self._then(lambda side: side.claim("lost", [(function, 3)]))
        self._sweep()

    # What the sweeps do.

    @rule(names=st.lists(functions, min_size=1, max_size=2, unique=True))
    def stage(self, names: list[str]) -> None:
        self.rig.both(lambda side: side.stage(names))

    @rule(place=workers, behind=st.sampled_from((0, 0, 0, 500, 501)))
    def rescue(self, place: int, behind: int) -> None:
        worker, as_of = self.workers[place], self.rig.server.now - behind
        self.rig.both(lambda side: side.rescue(worker, FUNCTIONS, LEASE, as_of))

    # What befalls the server.

    @rule(ms=st.sampled_from((1, 999, 1_000, 2_000, LEASE, LEASE, 30_000, 61_000, DAY)))
    def advance(self, ms: int) -> None:
        self.rig.server.advance(ms)

    @rule()
    def lose_the_library(self) -> None:
        self.rig.client.function_flush()

    # What always holds.

    @invariant()
    def nothing_differs_and_nothing_is_lost(self) -> None:
        self.sound = False
        found = self.rig.lookup(list(self.records))
        for job_id, after in found.items():
            check_step(self.rig, self.records[job_id], after, letter=job_id in self.letters)
        self.records = found
        self.rig.check_events()
        records = [record for record in found.values() if record is not None]
        self.letters = self._check_books(records)
        self.sound = True

    def _check_books(self, records: list[JobRecord]) -> set[str]:
        """The queue's own bookkeeping fits; the answer is its dead letters."""
        return {i for name in FUNCTIONS for i in check_books(self.rig, name, records)}

    def teardown(self) -> None:
        try:
            if self.sound:
                self._drain()
        finally:
            self.rig.end()

    def _drain(self) -> None:
        """Let everything end; then nothing but permanent keys may be left."""
        self._then(lambda side: side.stage(FUNCTIONS), after=DAY)
        self._sweep()
        while claimed := self._claim_all():
            over = [Outcome(held=job.held, ending=Ending.COMPLETE) for job in claimed]
            self._settle("last", over)
            self.nothing_differs_and_nothing_is_lost()
        assert all(r is None or r.status.is_terminal() for r in self.records.values())
        self.rig.server.advance(8 * DAY)
        check_what_is_left(self.rig)

    def _claim_all(self) -> list[Job]:
        """What one worker may have at once, of all that waits."""
        wants = [(name, 50) for name in FUNCTIONS]
        self._then(lambda side: side.stage(FUNCTIONS), after=DAY)
        return self._then(lambda side: side.claim("last", wants)).jobs

    def _sweep(self) -> None:
        def rescue(side: Any) -> Any:
            return side.rescue("sweeper", FUNCTIONS, LEASE, self.rig.server.now)

        self._then(rescue, after=LEASE)

    def _then(self, verb: Verb, after: int = 0) -> Any:
        self.rig.server.advance(after)
        answer = self.rig.both(verb)
        self.nothing_differs_and_nothing_is_lost()
        return answer

    def _start(self, place: int) -> None:
        self.starts += 1
        self.workers[place] = f"w{self.starts}"
        self.rig.listen(KEYS.worker_channel(self.workers[place]))

    def _settle(self, worker: str, outcomes: list[Outcome]) -> None:
        answers = self.rig.both(lambda side: side.settle(worker, outcomes))
        for outcome, answer in zip(outcomes, answers, strict=True):
            if answer is Settled.APPLIED:
                fence = (outcome.held.id, outcome.held.delivery)
                self.applied[fence] += 1
                assert self.applied[fence] == 1, "one delivery settled twice"

    def _root(self, job_id: str) -> str:
        return self.news[job_id].root_id or job_id

    def _path(self, parent: str) -> str:
        return child_path(parent, self._root(parent), self.news[parent].path)

    def _is_below(self, job_id: str, head: str) -> bool:
        while job_id := self.news[job_id].parent_id:
            if job_id == head:
                return True
        return False

    def _held(self, worker: str, jobs: list[Any]) -> Any:
        return multiple(*((worker, Held(job.function, job.id, job.delivery)) for job in jobs))


@pytest.mark.hard_limit(600)  # a failure is first shrunk, which may take five minutes
def test_the_queue_does_what_its_model_does() -> None:
    run_machine(QueueMachine)
