"""Has the jobs of crons made when they are due."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from math import inf

import anyio
from attrs import define, evolve, field
from redis.exceptions import RedisError

from upnext.model.cron import MOST_AT_ONCE, CronPlan
from upnext.model.schedule import (
    Fired,
    Firing,
    FiringVerdict,
    Schedule,
    ScheduleAction,
    ScheduleOrder,
)
from upnext.tasks.definition import TaskDefinition
from upnext.worker.log import logger
from upnext.worker.ports import CronPort
from upnext.worker.store_clock import StoreClock

SWEEP_INTERVAL = 60.0
"""Seconds after which a worker with crons reads its schedules unbidden, in case a message was
lost. One without crons never does."""
RETRY_INTERVAL = 0.5
"""Seconds after which it tries again what the broker refused."""
FULL_INTERVAL = 5.0
"""Seconds after which it tries again what there was no room for."""
STAND_BY = (0.1, 0.3)
"""Seconds by which a scheduler lets the one go first that was faster the last time; when that one
has gone, the others fill in so much later."""

Key = tuple[str, str]
"""A function and the name of one of its schedules."""


@define(eq=False)
class _Plan:
    """One schedule, and when to act on it by the event loop's clock."""

    schedule: Schedule
    rules: CronPlan | None
    """None: this release cannot use it."""
    at: float = inf
    leads: bool = True
    """Whether this worker goes first."""


@define(eq=False)
class CronScheduler:
    """Sleeps until the next occurrence of any schedule of its functions, and has its jobs made.

    Every worker does so for its own functions: the script makes each job once, so racing is
    harmless and none has to be elected. The schedules in the store count, not what this release
    declares: after a worker with another schedule has started, all go by that one.

    `hear` is called with what is published about schedules, `note_all` when messages may be
    missing, `note_lost` when the store may have lost its data.
    """

    store: CronPort
    worker: str
    """The worker's name, for the note of where a schedule came from."""
    definitions: Mapping[str, TaskDefinition]
    clock: StoreClock
    chance: Callable[[float, float], float] = random.uniform
    every: float = SWEEP_INTERVAL
    """Seconds between two sweeps."""
    declared: anyio.Event = field(factory=anyio.Event, init=False)
    """Set once the store knows the schedules that the code declares."""
    _plans: dict[Key, _Plan] = field(factory=dict[Key, _Plan], init=False)
    _stale: dict[str, None] = field(factory=dict[str, None], init=False)
    """Functions whose schedules are to be read."""
    _undeclared: ScheduleAction | None = field(default=ScheduleAction.DECLARE, init=False)
    """What to do about the declared ones that are not known to be in the store."""
    _missed: bool = field(default=False, init=False)
    _sweep_at: float = field(default=inf, init=False)
    _changed: anyio.Event = field(factory=anyio.Event, init=False)

    def hear(self, function: str, payload: bytes) -> None:
        """Something was published about a schedule of this function."""
        verb, _, rest = payload.decode(errors="replace").partition(" ")
        revision, _, rest = rest.partition(" ")
        following, _, name = rest.partition(" ")
        plan = self._plans.get((function, name)) if verb == "cron" else None
        if plan is None or not following.isdecimal() or revision != str(plan.schedule.revision):
            self._stale[function] = None
        elif int(following) > plan.schedule.next_at:  # another scheduler was faster
            self._go_on(plan, int(following), leads=False)
        self._changed.set()

    def note_all(self) -> None:
        """Messages may be missing."""
        self._missed = True
        self._changed.set()

    def note_lost(self) -> None:
        """The store may have lost its data: what is declared here must be there."""
        if self._undeclared is None:
            self._undeclared = ScheduleAction.RESTORE
        self._changed.set()

    async def run(self) -> None:
        while True:
            try:
                await self._step()
            except RedisError as error:
                logger.warning("cannot see to crons: %s", error)
                self._missed = True
                await anyio.sleep(RETRY_INTERVAL)

    async def _step(self) -> None:
        """Do the most urgent thing there is, or wait for one."""
        now = anyio.current_time()
        if self._undeclared is not None:
            action = self._undeclared
            await self._declare(action)
            await self._look_around(starts=action is ScheduleAction.DECLARE)
            self._undeclared = None  # from here on the last one to start decides
            self.declared.set()
        elif self._missed:
            await self._look_around()
        elif self._stale:
            functions, self._stale = list(self._stale), {}
            await self._read(functions)
        elif due := [plan for plan in self._plans.values() if plan.at <= now]:
            await self._fire(due[:MOST_AT_ONCE])
        elif now >= self._sweep_at:
            await self._read({function: None for function, _ in self._plans})
        else:
            self._changed = anyio.Event()
            first = min((plan.at for plan in self._plans.values()), default=inf)
            with anyio.move_on_at(min(first, self._sweep_at)):
                await self._changed.wait()

    async def _declare(self, action: ScheduleAction) -> None:
        """Say what the code declares."""
        declared = [one for one in self.definitions.values() if one.schedule is not None]
        if not declared:
            return
        now = await self.store.now()
        for definition in declared:
            plan = definition.schedule
            assert plan is not None
            await self.store.order(
                ScheduleOrder(
                    action=action,
                    function=definition.name,
                    name=definition.name,
                    next_at=plan.cron.next_after(now),
                    plan=plan,
                    arguments=definition.scheduled_call,
                    origin=f"code: {definition.place}, worker {self.worker}",
                )
            )

    async def _look_around(self, *, starts: bool = False) -> None:
        """Read all schedules of this worker's functions; a function may have come to have one."""
        self._missed = False
        known = await self.store.scheduled_functions()
        mine = [name for name in known if name in self.definitions]
        self._plans = {key: plan for key, plan in self._plans.items() if key[0] in mine}
        await self._read(mine)
        if starts:
            await self._retract()

    async def _read(self, functions: Sequence[str] | Mapping[str, None]) -> None:
        if not functions:
            self._sweep_at = inf
            return
        found = await self.store.schedules(list(functions))
        self.clock.set(found.now)
        before = self._plans
        self._plans = {key: plan for key, plan in before.items() if key[0] not in functions}
        for schedule in found.schedules:
            self._plan(schedule, before)
        self._sweep_at = anyio.current_time() + self.every if self._plans else inf

    async def _retract(self) -> None:
        """Take back what an older release declared and this one does not."""
        for (function, name), plan in list(self._plans.items()):
            if plan.schedule.is_declared and self.definitions[function].schedule is None:
                logger.info("%s is no cron any more: its schedule is removed", function)
                await self.store.order(
                    ScheduleOrder(action=ScheduleAction.RETRACT, function=function, name=name)
                )
                self._plans.pop((function, name), None)

    def _plan(self, schedule: Schedule, before: Mapping[Key, _Plan]) -> None:
        key = (schedule.function, schedule.name)
        old = before.get(key)
        if old is not None and old.schedule.plan_text == schedule.plan_text:
            plan = self._plans[key] = _Plan(schedule, old.rules, leads=old.leads)
        else:
            plan = self._plans[key] = _Plan(schedule, self._understand(schedule))
        self._go_on(plan, schedule.next_at, leads=plan.leads)

    def _understand(self, schedule: Schedule) -> CronPlan | None:
        try:
            return schedule.plan
        except (ValueError, KeyError, TypeError) as problem:
            logger.error(
                "schedule %r of %s cannot be used by this worker: %s",
                schedule.name,
                schedule.function,
                problem,
            )
            return None

    def _go_on(self, plan: _Plan, next_at: int, *, leads: bool) -> None:
        """Wait for an occurrence."""
        plan.schedule, plan.leads = evolve(plan.schedule, next_at=next_at), leads
        if plan.schedule.paused or plan.rules is None:
            plan.at = inf
            return
        # Half a millisecond late is right on time; half a millisecond early is a round trip.
        plan.at = self.clock.loop_time(next_at) + 0.0005
        if not leads:
            plan.at += self.chance(*STAND_BY)

    async def _fire(self, plans: Sequence[_Plan]) -> None:
        now = round(self.clock.store_time(anyio.current_time()) * 1000)
        firings = [
            Firing.of(plan.schedule, plan.rules or plan.schedule.plan, now) for plan in plans
        ]
        answers = await self.store.fire(firings)
        for plan, firing, fired in zip(plans, firings, answers, strict=True):
            self._answered(plan, firing, fired)

    def _answered(self, plan: _Plan, firing: Firing, fired: Fired) -> None:
        self.clock.set(fired.now)
        key = (firing.function, firing.schedule)
        if self._plans.get(key) is not plan:
            return
        schedule = fired.schedule
        if schedule is None or schedule.revision != plan.schedule.revision:
            del self._plans[key]
            self._stale[firing.function] = None
            return
        leads = fired.verdict in (FiringVerdict.FIRED, FiringVerdict.EARLY)
        plan.schedule = schedule
        self._go_on(plan, schedule.next_at, leads=leads)
        if fired.verdict is FiringVerdict.FULL:
            logger.warning("the queue of %s is full: occurrences of its cron wait", firing.function)
            plan.at = anyio.current_time() + FULL_INTERVAL
