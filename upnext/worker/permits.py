"""Holds a worker to the limits of its groups.

A group spans functions, which no one script can look at together. So a worker asks the group for
permits before it claims, claims no more jobs than it has permits, and gives back those that it
does not need. Permits live as long as leases do, and are renewed with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import anyio
from attrs import define, field

from upnext.model.event import Taken
from upnext.model.job import Claimed, Held, Job, Picked, Revoked
from upnext.model.limits import Limits
from upnext.model.outcome import Outcome, Settled
from upnext.redis.waiter import Waiter
from upnext.worker.ports import BlockingRenewPort, StorePort, Subscription
from upnext.worker.settlement.leases import Leases

LEAVE_LINE, RENEW, GIVE_BACK = 0, -1, -2
"""What may be asked of a group besides more permits."""


def groups_of(limits: Mapping[str, Limits]) -> dict[str, tuple[int | None, list[str]]]:
    """Group -> its limit as far as this worker knows it, and this worker's functions in it."""
    groups: dict[str, tuple[int | None, list[str]]] = {}
    for name, one in limits.items():
        if one.group is not None:
            most, names = groups.get(one.group, (None, []))
            known = [number for number in (most, one.group_most) if number is not None]
            groups[one.group] = (min(known, default=None), [*names, name])
    return groups


@define(eq=False)
class Permits:
    """The store, as a worker with groups sees it. Owns the count of what it holds of each group."""

    store: StorePort
    worker: str
    groups: Mapping[str, tuple[int | None, list[str]]]
    leases: Leases
    ttl: int
    """Milliseconds; that of a lease."""
    _group_of: dict[str, str] = field(init=False)
    _holds: dict[str, set[tuple[str, int]]] = field(init=False)
    """Group -> (job id, delivery) of what was claimed and is not settled."""
    _doubtful: dict[str, int] = field(factory=dict[str, int], init=False)
    """Group -> permits at a claim whose reply never came."""
    _asking: anyio.Lock = field(factory=anyio.Lock, init=False)
    """Counts are told to the store one after another."""

    def __attrs_post_init__(self) -> None:
        self._group_of = {
            name: group for group, (_, names) in self.groups.items() for name in names
        }
        self._holds = {group: set() for group in self.groups}

    async def claim(
        self, worker: str, wants: Sequence[tuple[str, int]], *, prompt: bool = False
    ) -> Claimed:
        """Take up to so many jobs of each function, as far as there are permits."""
        wanted = Counter[str]()
        for name, count in wants:
            if (group := self._group_of.get(name)) is not None:
                wanted[group] += count
        if not wanted:
            return await self.store.claim(worker, wants, prompt=prompt)
        async with self._asking:
            room: dict[str, int] = {}
            for group, count in wanted.items():
                room[group] = await self._ask(group, count)
            allowed, cut = self._cut(wants, room)
            claimed = Claimed()
            if allowed:
                claimed = await self.store.claim(worker, allowed, prompt=prompt)
            self._note(claimed.jobs)
            for group in wanted:
                if await self._give_spare(group):
                    # What got no permit may have those that others did not need.
                    claimed.more.extend(name for name in cut if self._group_of[name] == group)
        return claimed

    async def pick(self, worker: str, function: str, count: int, ids: Sequence[str]) -> Picked:
        """Claim up to `count` of certain jobs of a function, as far as there are permits."""
        if (group := self._group_of.get(function)) is None:
            return await self.store.pick(worker, function, count, ids)
        async with self._asking:
            room = await self._ask(group, count)
            if room:
                picked = await self.store.pick(worker, function, room, ids)
            else:
                picked = Picked([], 0, len(ids), {})
            self._note(picked.jobs)
            await self._give_spare(group)
        return picked

    async def recover(self, worker: str, functions: Sequence[str], known: Iterable[str]) -> Claimed:
        """The jobs this worker owns besides those it knows of."""
        claimed = await self.store.recover(worker, functions, known)
        self._note(claimed.jobs)
        for group, (_, names) in self.groups.items():
            if group in self._doubtful and set(names) <= set(functions):
                async with self._asking:
                    self._doubtful.pop(group, None)
                    await self._permit(group, self._count(group, unleased=True), GIVE_BACK)
        return claimed

    async def settle(self, worker: str, outcomes: Sequence[Outcome]) -> list[Settled | str]:
        """Write down how attempts ended, and give back their permits."""
        answers = await self.store.settle(worker, outcomes)
        ended: set[str] = set()
        for outcome in outcomes:
            group = self._group_of.get(outcome.held.function)
            if group is not None:
                self._holds[group].discard((outcome.held.id, outcome.held.delivery))
                ended.add(group)
        if ended:
            async with self._asking:
                for group in ended:
                    await self._permit(group, self._count(group), GIVE_BACK)
        return answers

    async def renew(self, worker: str, held: Iterable[Held]) -> list[Revoked]:
        """Keep the leases of held jobs, and their permits."""
        held = list(held)
        revoked = await self.store.renew(worker, held)
        for group, count in Counter(self._groups_of(held)).items():
            await self._permit(group, count, RENEW)
        return revoked

    async def retire(self, worker: str, functions: Sequence[str]) -> int:
        """Forget this worker; nothing of it runs any more."""
        requeued = await self.store.retire(worker, functions)
        for group in self.groups:
            self._holds[group].clear()
            await self._permit(group, 0, LEAVE_LINE)
        return requeued

    def blocking(self, store: BlockingRenewPort) -> BlockingRenewPort:
        """The renewal thread's store, which renews the permits, too."""
        return _BlockingPermits(store, self)

    def renewals(self, held: Iterable[Held]) -> list[tuple[str, int, int | None]]:
        """Group, jobs held of it, and its limit, of the held jobs that need permits."""
        counts = Counter(self._groups_of(held))
        return [(group, count, self.groups[group][0]) for group, count in counts.items()]

    # What needs no permit.

    async def declare(self, definitions: Mapping[str, bytes]) -> None:
        await self.store.declare(definitions)

    async def beat(self, worker: str, record: bytes, ttl: int) -> bool:
        return await self.store.beat(worker, record, ttl)

    async def take(
        self,
        worker: str,
        count: int,
        lease: int,
        version: str = "",
        *,
        own: bool = False,
        left: bool = False,
    ) -> Taken:
        return await self.store.take(worker, count, lease, version, own=own, left=left)

    def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_gap: Callable[[], None]
    ) -> Subscription:
        return self.store.subscribe(channel, on_message, on_gap)

    async def attend(self, waiter: Waiter) -> None:
        await self.store.attend(waiter)

    def _cut(
        self, wants: Sequence[tuple[str, int]], room: dict[str, int]
    ) -> tuple[list[tuple[str, int]], list[str]]:
        """What may be claimed with these permits, and the functions that are left none."""
        allowed: list[tuple[str, int]] = []
        cut: list[str] = []
        for name, count in wants:
            group = self._group_of.get(name)
            part = count if group is None else min(count, room[group])
            if group is not None:
                room[group] -= part
            if part or not count:
                allowed.append((name, part))
            if count and not part:
                cut.append(name)
        return allowed, cut

    async def _ask(self, group: str, count: int) -> int:
        """For how many more jobs of a group there are permits, of so many."""
        before = self._count(group)
        granted = await self._permit(group, before, count)
        room = count if granted is None else max(0, granted - before)
        self._doubtful[group] = before + room
        return room

    async def _give_spare(self, group: str) -> bool:
        """What was claimed is noted: give back the permits it did not need, if there are any."""
        spare = self._doubtful.pop(group) - self._count(group, unleased=True)
        if spare > 0:
            await self._permit(group, self._count(group, unleased=True), LEAVE_LINE)
        return spare > 0

    async def _permit(self, group: str, holding: int, wanting: int) -> int | None:
        most = self.groups[group][0]
        return await self.store.permit(group, self.worker, holding, wanting, self.ttl, most)

    def _count(self, group: str, *, unleased: bool = False) -> int:
        """How many permits are in use; `unleased`: jobs of this moment have no lease here yet."""
        holds = self._holds[group]
        if not unleased:  # what was lost to another worker never ends here
            holds &= {(held.id, held.delivery) for held in self.leases.held()}
        return max(len(holds), self._doubtful.get(group, 0))

    def _note(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            if (group := self._group_of.get(job.function)) is not None:
                self._holds[group].add((job.id, job.delivery))

    def _groups_of(self, held: Iterable[Held]) -> Iterable[str]:
        for one in held:
            if (group := self._group_of.get(one.function)) is not None:
                yield group


@define(eq=False)
class _BlockingPermits:
    """Renews leases and permits from a thread."""

    store: BlockingRenewPort
    permits: Permits

    def renew(self, worker: str, held: Iterable[Held]) -> list[Revoked]:
        held = list(held)
        revoked = self.store.renew(worker, held)
        for group, count, most in self.permits.renewals(held):
            self.store.permit(group, worker, count, RENEW, self.permits.ttl, most)
        return revoked

    def permit(
        self, group: str, worker: str, holding: int, wanting: int, ttl: int, most: int | None
    ) -> int | None:
        return self.store.permit(group, worker, holding, wanting, ttl, most)

    def withdraw(self, worker: str, functions: Sequence[str]) -> None:
        self.store.withdraw(worker, functions)

    def close(self) -> None:
        self.store.close()
