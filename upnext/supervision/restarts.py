"""Whether, and when, a process that ended is started again."""

from __future__ import annotations

from attrs import define, field

__all__ = ["FIRST_DELAY", "LONGEST_DELAY", "START_ATTEMPTS", "STEADY", "Restarts"]

FIRST_DELAY = 0.2
LONGEST_DELAY = 30.0
"""Seconds between an end and the next start: doubled by each end, up to the longest."""
STEADY = 60.0
"""Seconds of work after which earlier ends no longer count."""
START_ATTEMPTS = 3
"""Starts without any success after which a service is given up."""
USAGE = 2
"""The exit code of a process that cannot run as it was asked to."""


@define
class Restarts:
    """The ends of one process in a row. Pure: time and chance are passed in."""

    _ends: int = field(default=0, init=False)

    def after(
        self, code: int, *, worked: float | None, proven: bool, chance: float
    ) -> float | None:
        """Decide what follows an end that nobody asked for.

        Args:
            code: The exit code; negative: the signal.
            worked: Seconds since it was ready; None: it never was.
            proven: Whether any process of this service was ever ready. A service that was is
                started again for ever: what it lacks now may come back.
            chance: From 0 to 1, so that many do not start at the same moment.

        Returns:
            Seconds to wait before the next start; None: give up.
        """
        if worked is not None and worked >= STEADY:
            self._ends = 0
        self._ends += 1
        if not proven and (code == USAGE or self._ends >= START_ATTEMPTS):
            return None
        # Above some exponent the cap holds anyhow, and a float does not.
        delay = FIRST_DELAY * 2.0 ** min(self._ends - 1, 32)
        return min(delay, LONGEST_DELAY) * (0.5 + chance / 2)
