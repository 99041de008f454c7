"""Latencies counted in buckets of equal ratio, and the quantiles read from them.

Counts of several processes and times add up bucket by bucket, so quantiles of any merger are as
good as those of one process. Each bucket is 2^(1/4) times as wide as the one before; a quantile is
given as its bucket's geometric middle, so it is off by less than 9.1 % from 0.1 ms to 62 s. What
is beyond either end is given as that end.

The buckets are part of what is stored: with other ones, old and new counts must not be added.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

SHORTEST = 1e-4
PER_DOUBLING = 4

EDGES = tuple(SHORTEST * 2 ** (i / PER_DOUBLING) for i in range(78))
"""Seconds between the buckets: bucket `i` holds what is from edge `i - 1` up to below edge `i`."""

BUCKETS = len(EDGES) + 1
MIDDLES = (
    EDGES[0],
    *(math.sqrt(low * high) for low, high in pairwise(EDGES)),
    EDGES[-1],
)
"""Seconds that stand for each bucket."""


def bucket_of(seconds: float) -> int:
    """The bucket that counts this latency."""
    return bisect_right(EDGES, seconds)


def quantile(counts: Sequence[int], part: float) -> float:
    """The latency that this part of all those counted does not exceed, in seconds.

    Args:
        counts: How many are in each bucket.
        part: More than 0, at most 1; 0.5 for the median.

    Returns:
        0.0 when nothing was counted.
    """
    total = sum(counts)
    if not total:
        return 0.0
    left = max(1, math.ceil(part * total))
    for bucket, count in enumerate(counts):
        left -= count
        if left <= 0:
            return MIDDLES[bucket]
    return MIDDLES[-1]
