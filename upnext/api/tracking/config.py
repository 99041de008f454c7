"""What one API sets differently from the environment."""

from __future__ import annotations

import math
from typing import Any

from attrs import asdict, evolve, field, frozen

from upnext.settings import ApiTrackingSettings


def _between(least: float, most: float = math.inf) -> Any:
    def check(instance: object, attribute: Any, value: float | None) -> None:
        if value is not None and not least <= value <= most:
            limit = f"{least} or more" if most == math.inf else f"from {least} to {most}"
            raise ValueError(f"{attribute.name} must be {limit}, not {value!r}")

    return check


@frozen(kw_only=True)
class ApiTrackingConfig:
    """Overrides of the settings of request tracking; None leaves a setting as it is.

    Args:
        normalize_paths: Count by the routes' templates; False: by the paths that were asked for.
        events_enabled: Keep single requests, too.
        events_sample_rate: The part of the requests that is kept, from 0 to 1; errors and slow
            ones always are.
        events_slow_ms: Milliseconds from which on a request is slow.
        events_stream_max_len: How many are kept, the newest; the shared stream of all processes
            of the API.

    Raises:
        ValueError: a number is out of its range.
    """

    normalize_paths: bool | None = None
    events_enabled: bool | None = None
    events_sample_rate: float | None = field(default=None, validator=_between(0, 1))
    events_slow_ms: float | None = field(default=None, validator=_between(0))
    events_stream_max_len: int | None = field(default=None, validator=_between(1))

    def over(self, settings: ApiTrackingSettings) -> ApiTrackingSettings:
        """The settings with these overrides."""
        overrides = {name: value for name, value in asdict(self).items() if value is not None}
        return evolve(settings, **overrides)
