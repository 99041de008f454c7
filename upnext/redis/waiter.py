"""Somebody who waits on a link: for replies, or for a push."""

from __future__ import annotations

from collections.abc import Callable


class Waiter:
    """What one caller waits for.

    Belongs to one event loop: use it from that loop's thread only.

    Attributes:
        done: True once what was waited for is there.
        on_resume: What gets the caller out of its present wait, called once. The link alone sets
            it.
    """

    __slots__ = ("done", "on_resume")

    def __init__(self) -> None:
        self.done = False
        self.on_resume: Callable[[], None] | None = None

    def wake(self) -> None:
        """Say that what was waited for is there. Never blocks; waking twice is allowed."""
        self.done = True
        resume, self.on_resume = self.on_resume, None
        if resume is not None:
            resume()

    def resume(self) -> None:
        """Let the caller look at the link again, without saying that it is done."""
        resume, self.on_resume = self.on_resume, None
        if resume is not None:
            resume()
