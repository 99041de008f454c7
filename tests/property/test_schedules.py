"""Schedules on a real server do what their model does, whatever is asked of them in what order."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.property.rig import FUNCTIONS, Rig
from tests.support.clocked import START, ClockedServer, clock_shim
from tests.support.servers import find_binary
from upnext.model.cron import CronPlan, MissedRunPolicy, Overlap
from upnext.model.job import Held
from upnext.model.outcome import Ending, Outcome
from upnext.model.schedule import (
    Firing,
    FiringVerdict,
    OrderVerdict,
    Schedule,
    ScheduleAction,
    ScheduleOrder,
)

EXAMPLES = int(os.environ.get("UPNEXT_PROPERTY_EXAMPLES", "150"))
FUNCTION = FUNCTIONS[0]

names = st.sampled_from(("mail", "mail", "für Ada"))
plans = st.builds(
    CronPlan,
    expression=st.sampled_from(("* * * * * *", "*/10 * * * * *", "* * * * *")),
    jitter=st.sampled_from((0, 0, 3_000)),
    missed_run_policy=st.sampled_from(MissedRunPolicy),
    overlap=st.sampled_from(Overlap),
)
SETTING = (
    ScheduleAction.DECLARE,
    ScheduleAction.RESTORE,
    ScheduleAction.ADD,
    ScheduleAction.CHANGE,
)


class ScheduleMachine(RuleBasedStateMachine):
    """Every rule does one thing to the store and to its model, and compares."""

    known = Bundle("known")
    """Schedules as somebody once saw them: old ones are drawn for ever."""
    claims = Bundle("claims")

    def __init__(self, rig: Rig) -> None:
        super().__init__()
        self.rig = rig
        # What is due, and the jitter, come of the time: each history begins at the same one.
        self.rig.server.advance(START - self.rig.server.now)
        self.rig.begin()
        self.made: dict[str, int] = {}

    @initialize(target=known, plan=plans)
    def declare_one(self, plan: CronPlan) -> Schedule:
        ordered = self._order(ScheduleAction.DECLARE, "mail", plan)
        assert ordered.verdict is OrderVerdict.DONE
        return ordered.schedule

    @initialize(target=claims)
    def hold_nothing(self) -> Held:
        return Held(FUNCTION, f"{FUNCTION}-" + "f" * 32, 1)

    @rule(target=known, action=st.sampled_from(SETTING), name=names, plan=plans)
    def put(self, action: ScheduleAction, name: str, plan: CronPlan) -> Any:
        return self._seen(self._order(action, name, plan).schedule)

    @rule(
        target=known,
        action=st.sampled_from([one for one in ScheduleAction if one not in SETTING]),
        name=names,
        seen=known,
        picky=st.booleans(),
    )
    def change(self, action: ScheduleAction, name: str, seen: Schedule, picky: bool) -> Any:
        revision = seen.revision if picky else None
        return self._seen(self._order(action, name, None, revision).schedule)

    @rule(target=known, seen=known, ahead=st.sampled_from((0, 0, 0, 0, 5_000)))
    def fire(self, seen: Schedule, ahead: int) -> Any:
        firing = Firing.of(seen, seen.plan, self.rig.server.now + ahead)
        [fired] = self.rig.both(lambda side: side.fire([firing]))
        if fired.verdict is FiringVerdict.FIRED:
            assert firing.following == fired.schedule.next_at
        if fired.made:
            for one in firing.occurrences:
                self.made[one.id] = one.instant
                assert one.instant <= self.rig.server.now, "nothing is made early"
        return self._seen(fired.schedule)

    @rule(target=claims, count=st.integers(1, 3))
    def claim(self, count: int) -> Any:
        claimed = self.rig.both(lambda side: side.claim("w1", [(FUNCTION, count)]))
        return multiple(*(Held(job.function, job.id, job.delivery) for job in claimed.jobs))

    @rule(held=claims, ending=st.sampled_from(Ending), delay=st.sampled_from((0, 2_000)))
    def settle(self, held: Held, ending: Ending, delay: int) -> None:
        again = ending in (Ending.RETRY, Ending.SNOOZE)
        outcome = Outcome(held=held, ending=ending, delay=delay if again else 0)
        self.rig.both(lambda side: side.settle("w1", [outcome]))

    @rule(seen=known)
    def cancel(self, seen: Schedule) -> None:
        if seen.last_job:
            self.rig.both(lambda side: side.cancel(seen.last_job, "no"))

    @rule()
    def stage(self) -> None:
        self.rig.both(lambda side: side.stage([FUNCTION]))

    @rule(milliseconds=st.sampled_from((1, 700, 1_000, 10_000, 61_000, 3_600_000)))
    def wait(self, milliseconds: int) -> None:
        self.rig.server.advance(milliseconds)

    @invariant()
    def nothing_differs(self) -> None:
        self.rig.both(lambda side: side.schedules([FUNCTION]))
        self.rig.lookup(list(self.made))
        self.rig.check_events()

    def teardown(self) -> None:
        # Whatever waits in a line comes out of it in the end.
        for _ in range(200):
            self.rig.server.advance(5_000)
            self.rig.both(lambda side: side.stage([FUNCTION]))
            claimed = self.rig.both(lambda side: side.claim("w1", [(FUNCTION, 50)]))
            outcomes = [
                Outcome(held=Held(FUNCTION, job.id, job.delivery), ending=Ending.COMPLETE)
                for job in claimed.jobs
            ]
            if not outcomes:
                break
            self.rig.both(lambda side, outcomes=outcomes: side.settle("w1", outcomes))
        waiting = [
            job_id
            for job_id, record in self.rig.lookup(list(self.made)).items()
            if record is not None and record.status in ("scheduled", "queued")
        ]
        running = any(
            record is not None and record.status == "running"
            for record in self.rig.lookup(list(self.made)).values()
        )
        assert running or not waiting, "somebody stands in line for nobody"
        self.rig.end()

    def _order(
        self, action: ScheduleAction, name: str, plan: CronPlan | None, revision: int | None = None
    ) -> Any:
        now = self.rig.server.now
        cron = (plan or CronPlan(expression="* * * * * *")).cron
        order = ScheduleOrder(
            action=action,
            function=FUNCTION,
            name=name,
            revision=revision,
            next_at=cron.next_after(now),
            plan=plan,
            arguments=b'{"n":9007199254740993}',
            origin=f"machine {action}",
        )
        return self.rig.both(lambda side: side.order(order))

    def _seen(self, schedule: Schedule | None) -> Any:
        return multiple() if schedule is None else multiple(schedule)


@pytest.mark.hard_limit(600)  # a failure is first shrunk, which may take five minutes
def test_schedules_do_what_their_model_does() -> None:
    if find_binary("redis") is None:
        pytest.skip("no redis server program on this machine")
    if clock_shim() is None:
        pytest.skip("no C compiler on this machine, or not Linux: the server's clock stays real")
    with ClockedServer("redis") as server, Rig.on(server) as rig:
        run_state_machine_as_test(
            lambda: ScheduleMachine(rig),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=40,
                deadline=None,
                print_blob=True,
                report_multiple_bugs=False,
            ),
        )
