"""The deadline that jobs inherit from a request they are submitted in."""

from __future__ import annotations

import math
import time
from contextvars import ContextVar

request_deadline: ContextVar[float | None] = ContextVar("request_deadline", default=None)
"""When the request must be answered, on `time.monotonic`, which threads can read as well; None:
there is no request, or it may take as long as it likes."""


def inherited_budget() -> int | None:
    """Milliseconds that the request has left in which a job is submitted; None: no limit."""
    deadline = request_deadline.get()
    return None if deadline is None else max(0, math.ceil((deadline - time.monotonic()) * 1000))
