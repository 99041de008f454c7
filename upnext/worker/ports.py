"""What the worker needs of the store, verb by verb.

`upnext.store.Store` has all of it on Redis, `upnext.testing.MemoryStore` without sockets; the
tree knows neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from upnext.errors import JobRefusedError
from upnext.model.event import Concluded, Taken
from upnext.model.job import (
    Claimed,
    Enqueued,
    Held,
    JobRecord,
    NewJob,
    Picked,
    Rescued,
    Revoked,
    Staged,
)
from upnext.model.lineage import Member
from upnext.model.outcome import Outcome, Settled
from upnext.model.report import Reports, Written
from upnext.model.schedule import Fired, Firing, Ordered, ScheduleOrder, Schedules
from upnext.redis.waiter import Waiter


class Subscription(Protocol):
    """An open ear on a channel."""

    def close(self) -> None: ...


class ClaimPort(Protocol):
    """Take jobs in."""

    async def claim(
        self, worker: str, wants: Sequence[tuple[str, int]], *, prompt: bool = False
    ) -> Claimed: ...
    async def pick(self, worker: str, function: str, count: int, ids: Sequence[str]) -> Picked: ...
    async def recover(
        self, worker: str, functions: Sequence[str], known: Iterable[str]
    ) -> Claimed: ...


class RescuePort(Protocol):
    """Requeue what dead workers held."""

    async def now(self) -> int: ...
    async def rescue(
        self,
        worker: str,
        functions: Sequence[str],
        lease: int,
        as_of: int,
        most: Mapping[str, int] | None = None,
    ) -> Rescued: ...


class StagePort(Protocol):
    """Move due jobs to where they are claimed."""

    async def stage(self, functions: Sequence[str]) -> list[Staged]: ...


class TakePort(Protocol):
    """Lend events to a router."""

    async def take(
        self,
        worker: str,
        count: int,
        lease: int,
        version: str = "",
        *,
        own: bool = False,
        left: bool = False,
    ) -> Taken: ...


class RoutePort(TakePort, Protocol):
    """Make events their handlers' jobs."""

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued | JobRefusedError]: ...
    async def conclude(self, worker: str, concluded: Sequence[Concluded]) -> list[bool]: ...
    async def enlist(
        self, handlers: Mapping[str, bytes], *, starts: bool = False, off: Sequence[str] = ()
    ) -> int: ...


class CronPort(Protocol):
    """Declare and read schedules, and have their jobs made."""

    async def now(self) -> int: ...
    async def fire(self, firings: Sequence[Firing]) -> list[Fired]: ...
    async def schedules(self, functions: Sequence[str]) -> Schedules: ...
    async def order(self, order: ScheduleOrder) -> Ordered: ...
    async def scheduled_functions(self) -> list[str]: ...


class SettlePort(Protocol):
    """Write down how attempts ended."""

    async def settle(self, worker: str, outcomes: Sequence[Outcome]) -> list[Settled | str]: ...


class ReportPort(Protocol):
    """Write down what running jobs say."""

    async def report(self, worker: str, batch: Sequence[Reports]) -> list[Written | str]: ...


class RenewPort(Protocol):
    """Keep leases from the event loop's side."""

    async def renew(self, worker: str, held: Iterable[Held]) -> list[Revoked]: ...


class PermitPort(Protocol):
    """Hold permits of groups."""

    async def permit(
        self, group: str, worker: str, holding: int, wanting: int, ttl: int, most: int | None
    ) -> int | None: ...


class BlockingRenewPort(Protocol):
    """Keep leases from a thread, over a socket of its own."""

    def permit(
        self, group: str, worker: str, holding: int, wanting: int, ttl: int, most: int | None
    ) -> int | None: ...
    def renew(self, worker: str, held: Iterable[Held]) -> list[Revoked]: ...
    def withdraw(self, worker: str, functions: Sequence[str]) -> None: ...
    def close(self) -> None: ...


class HearPort(Protocol):
    """Hear channels; somebody must attend for messages to arrive."""

    def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_gap: Callable[[], None]
    ) -> Subscription: ...
    async def attend(self, waiter: Waiter) -> None: ...


class ControlPort(HearPort, ClaimPort, TakePort, Protocol):
    """Hear what others want, and pass on what this worker has no room for."""


class UnwindPort(HearPort, Protocol):
    """See a cancellation through."""

    async def unwind(self, member: Member, reason: str, channel: str) -> list[str]: ...
    async def watch(self, job_id: str, channel: str) -> JobRecord | None: ...


class PresencePort(Protocol):
    """Say that this worker is there, what it runs, and that it leaves."""

    async def declare(self, definitions: Mapping[str, bytes]) -> None: ...
    async def beat(self, worker: str, record: bytes, ttl: int) -> bool: ...
    async def retire(self, worker: str, functions: Sequence[str]) -> int: ...


class StorePort(
    ClaimPort,
    RescuePort,
    StagePort,
    RoutePort,
    CronPort,
    SettlePort,
    ReportPort,
    RenewPort,
    UnwindPort,
    PresencePort,
    PermitPort,
    Protocol,
):
    """All of it, as the composition root hands it over."""
