"""Present: say that an API is served here, or no longer."""

from __future__ import annotations

from upnext.contracts.keys import Keys
from upnext.model.traffic import Period
from upnext.redis.library import Call


def present_calls(keys: Keys, api: str, instance: str, record: bytes, ttl: int) -> list[Call]:
    """Put an instance on its API's roll for `ttl` milliseconds.

    The API itself stays on the roll of APIs for as long as its counts are kept.
    """
    return [
        Call("present", (keys.apis,), (api, api, Period.HOUR.kept)),
        Call("present", (keys.api(api),), (instance, record, ttl)),
    ]


def leave_call(keys: Keys, api: str, instance: str) -> Call:
    """Take an instance off the roll."""
    return Call("present", (keys.api(api),), (instance, b"", 0))
