"""Somebody who waits on a link: for replies, or for a push."""

from __future__ import annotations

from collections.abc import Callable


class Waiter:
    """What one caller waits for.

    Belongs to one event loop: use it from that loop's thread only.

    Attributes:
        done: True once what was waited for is there.
    """

    __slots__ = ("_resume", "done")

    def __init__(self) -> None:
        self.done = False
        self._resume: Callable[[], None] | None = None

    def wake(self) -> None:
        """Say that what was waited for is there. Never blocks; waking twice is allowed."""
        self.done = True
        self.resume()

    def resume(self) -> None:
        """Let the caller look at the link again, without saying that it is done."""
        resume, self._resume = self._resume, None
        if resume is not None:
            resume()

    def resume_with(self, resume: Callable[[], None] | None) -> None:
        """Set what gets the caller out of its present wait. The link alone calls this."""
        self._resume = resume
