"""What the garbage collector does while a service runs."""

from __future__ import annotations

import gc

from attrs import define, field

ALLOCATIONS = 10_000
"""New objects after which the collector looks through the young ones. A request or a job that is
under way keeps hundreds; where dozens are, looking every few hundred finds them alive again and
again, each time a little later."""

_USUAL = ((700, 10, 10), (2_000, 10, 10), (2_000, 10, 0))
"""What CPython's versions start with."""


@define
class Heap:
    """Owns the collector's settings from when a service is ready to its end."""

    _before: tuple[int, int, int] | None = field(default=None, init=False)

    def settle(self) -> None:
        """Everything is there that lives as long as the process, code above all."""
        # Not to look through it again and again makes collections short, and requests and jobs
        # wait for those.
        gc.freeze()
        usual = gc.get_threshold()
        if usual in _USUAL:  # else somebody knows better
            self._before = usual
            gc.set_threshold(ALLOCATIONS, *usual[1:])

    def restore(self) -> None:
        """As it was."""
        gc.unfreeze()
        if self._before is not None:
            gc.set_threshold(*self._before)
            self._before = None
