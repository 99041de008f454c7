"""What one worker sets differently from the environment."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

from attrs import asdict, evolve, field, frozen

from upnext.settings import QueueSettings

SHORTEST = 0.1
"""Milliseconds: the shortest `flush_interval_ms`."""


class SyncExecutor(StrEnum):
    """Where sync functions run. Async functions always run on the worker's event loop."""

    THREAD = "thread"
    """In threads. Cancelling asks: the function must call `upnext.check_cancelled()`."""
    PROCESS = "process"
    """In reusable processes. Cancelling kills."""


def _at_least(least: int) -> Any:
    def check(instance: object, attribute: Any, value: object) -> None:
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(
                f"{attribute.name} must be a whole number, {least} or more, not {value!r}"
            )

    return check


def _duration(instance: object, attribute: Any, value: object) -> None:
    if value is None:
        return
    number = 0 if isinstance(value, bool) or not isinstance(value, int | float) else value
    if not SHORTEST <= number < math.inf:
        raise ValueError(f"{attribute.name} must be {SHORTEST} or more, not {value!r}")


@frozen(kw_only=True)
class WorkerQueueConfig:
    """Overrides of the `UPNEXT_QUEUE_*` settings; None leaves a setting as it is."""

    batch_size: int | None = field(default=None, validator=_at_least(1))
    inbox_size: int | None = field(default=None, validator=_at_least(0))
    outbox_size: int | None = field(default=None, validator=_at_least(1))
    flush_interval_ms: float | None = field(default=None, validator=_duration)
    claim_timeout_ms: int | None = field(default=None, validator=_at_least(100))
    job_ttl_seconds: int | None = field(default=None, validator=_at_least(1))
    stream_maxlen: int | None = field(default=None, validator=_at_least(0))

    def over(self, settings: QueueSettings) -> QueueSettings:
        """The settings with these overrides."""
        overrides = {name: value for name, value in asdict(self).items() if value is not None}
        return evolve(settings, **overrides)
