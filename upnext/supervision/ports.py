"""What the supervisor needs of a child process; tests have children that are none."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

__all__ = ["Changes", "Child", "Children"]


class Child(Protocol):
    """A process that was started."""

    @property
    def pid(self) -> int: ...

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        ...

    async def attend(self, on_ready: Callable[[], None]) -> int:
        """Answer what it asks and hear when it is ready, until it ends; return its exit code.

        Cancelling this leaves the process as it is.
        """
        ...

    async def wait(self) -> int:
        """Wait for its end; return its exit code. Cancelling this leaves it as it is."""
        ...

    def stop(self) -> None:
        """Let it finish what it does."""
        ...

    def stop_now(self) -> None:
        """Let it hand back what it does, after `stop`."""
        ...

    def kill(self) -> None:
        """End it, whatever it does."""
        ...


class Children(Protocol):
    """What starts them."""

    def begin(self) -> None:
        """All that are started from here on run the code as it is now."""
        ...

    async def start(self, number: int) -> Child:
        """Start one; it is not ready yet. Number 1 speaks for all.

        Raises:
            OSError: There is no room for one more process.
        """
        ...

    def settle(self) -> None:
        """The first one since `begin` is ready."""
        ...


Changes = Callable[[], AsyncGenerator[str]]
"""Each time files have changed: which ones, for people."""
