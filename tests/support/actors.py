"""Children that are no processes: they act as they are told, in virtual time."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from math import inf

import anyio
import anyio.lowlevel
from attrs import define, field


@define
class Role:
    """How a child behaves."""

    ready_after: float | None = 1.0
    """Seconds until it is ready; None: never."""
    lives: float = inf
    """Seconds until it ends by itself, ready or not."""
    code: int = 0
    """Its exit code then."""
    drains: float = 0.5
    """Seconds from SIGTERM to its end."""
    hands_back: float = 0.25
    """Seconds from being told to stop now to its end."""


@define(eq=False)
class Actor:
    number: int
    pid: int
    role: Role
    log: list[tuple[float, str]]
    code: int = 0
    _ends_at: float = inf
    _changed: anyio.Event = field(factory=anyio.Event)

    @property
    def ended(self) -> bool:
        return anyio.current_time() >= self._ends_at

    async def attend(self, on_ready: Callable[[], None]) -> int:
        if self.role.ready_after is not None:
            with anyio.move_on_after(self.role.ready_after):
                await self.wait()
            if not self.ended:
                self.note("ready")
                on_ready()
        return await self.wait()

    async def wait(self) -> int:
        while not self.ended:
            with anyio.move_on_after(self._ends_at - anyio.current_time()):
                await self._changed.wait()
        await anyio.lowlevel.checkpoint()
        return self.code

    def stop(self) -> None:
        self.note("stop")
        self.end_within(self.role.drains, 0)

    def stop_now(self) -> None:
        self.note("stop now")
        self.end_within(self.role.hands_back, 0)

    def kill(self) -> None:
        self.note("kill")
        self.end_within(0, -signal.SIGKILL)

    def end_within(self, seconds: float, code: int) -> None:
        at = anyio.current_time() + seconds
        if at < self._ends_at:
            self._ends_at, self.code = at, code
            self._changed.set()
            self._changed = anyio.Event()

    def note(self, what: str) -> None:
        self.log.append((round(anyio.current_time(), 3), f"{what} {self.number}/{self.pid}"))


@define(eq=False)
class Company:
    """Starts actors, each in the next role of its number; the last role is played on."""

    roles: dict[int, list[Role | OSError]] = field(factory=dict)
    log: list[tuple[float, str]] = field(factory=list)
    actors: list[Actor] = field(factory=list)
    began: float = field(factory=anyio.current_time)

    def begin(self) -> None:
        self.log.append((round(anyio.current_time(), 3), "begin"))

    def settle(self) -> None:
        self.log.append((round(anyio.current_time(), 3), "settle"))

    async def start(self, number: int) -> Actor:
        await anyio.lowlevel.checkpoint()
        mine = self.roles.get(number, [Role()])
        role = mine.pop(0) if len(mine) > 1 else mine[0]
        if isinstance(role, OSError):
            raise role
        actor = Actor(number, len(self.actors) + 1, role, self.log)
        actor.note("start")
        actor.end_within(role.lives, role.code)
        self.actors.append(actor)
        return actor

    def said(self) -> Iterator[tuple[float, str]]:
        """What happened, in seconds since the beginning."""
        for at, what in self.log:
            yield round(at - self.began, 2), what

    def times(self, what: str) -> list[float]:
        return [at for at, said in self.said() if said.startswith(what)]
