"""How long to wait before the next try: pure, so that it can be tested without waiting."""

from __future__ import annotations

import random
from collections.abc import Callable

from attrs import frozen


@frozen
class Backoff:
    """Exponential waiting with a cap and jitter.

    The jitter keeps at least half of each delay: many clients that lost the same server at the
    same moment spread out, and none of them hammers it with delays near zero.

    Attributes:
        base: Seconds before the first repeated try.
        cap: Most seconds between two tries.
        random: Gives a number in [0, 1).
    """

    base: float = 0.05
    cap: float = 1.0
    random: Callable[[], float] = random.random

    def delay(self, failures: int) -> float:
        """Seconds to wait after this many failures in a row; none of them, no waiting."""
        if failures <= 0:
            return 0.0
        # An exponent beyond 30 is past every cap and would overflow a float in the end.
        full = min(self.cap, self.base * 2.0 ** min(failures - 1, 30))
        return full * (0.5 + self.random() / 2)
