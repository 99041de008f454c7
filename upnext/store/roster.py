"""Roster: which APIs there are, and which instances serve one of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from upnext.contracts.api_instances import ApiInstance
from upnext.contracts.keys import Keys
from upnext.redis.library import Call


def roster_call(prefix: str) -> Call:
    """Read the roll under `Keys.apis` or `Keys.api`."""
    return Call("roster", (prefix,))


def apis_call(keys: Keys) -> Call:
    """All APIs of which something is kept."""
    return roster_call(keys.apis)


def parse_apis(reply: Sequence[bytes]) -> list[str]:
    return [name.decode() for name in reply]


def parse_instances(reply: Sequence[bytes]) -> list[ApiInstance]:
    """The instances whose records can be read: another release's may be unlike ours."""
    found: list[ApiInstance] = []
    for record in reply:
        with suppress(ValueError):
            found.append(ApiInstance.parse(record))
    return found
