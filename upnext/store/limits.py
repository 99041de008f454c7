"""Limits: tell the store how a function is limited."""

from __future__ import annotations

from typing import Any

import orjson

from upnext.contracts.keys import Keys
from upnext.model.limits import Limits
from upnext.redis.library import Call


def limits_call(keys: Keys, function: str, definition: bytes) -> Call:
    """Have a function limited as its description says, and in no other way."""
    arguments: list[Any] = []
    for name, value in Limits.of(orjson.loads(definition)).fields.items():
        arguments += (name, value)
    return Call("limits", (keys.function(function),), arguments)
