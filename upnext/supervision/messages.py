"""What a child and its parent say to each other: one JSON object a line, over a socket pair."""

from __future__ import annotations

import json
from typing import Any, cast

from attrs import define, field

__all__ = ["DECLARED", "EMBED", "LISTEN", "NOW", "READY", "VARIABLE", "Lines", "encode"]

VARIABLE = "UPNEXT_SUPERVISED_BY"
"""Holds the number of the child's file descriptor; the child removes it at once."""

LISTEN = "listen"
"""Child: give me the sockets of (name, host, port). Answered with their descriptors or an error."""
EMBED = "embed"
"""Child: keep the embedded server up for all of us. Answered, perhaps with an error."""
DECLARED = "declared"
"""Child: this is what I am going to run."""
READY = "ready"
"""Child: I take jobs and requests."""
NOW = "now"
"""Parent: stop at once."""

LONGEST = 1 << 20
"""Bytes of one message; more cannot be one of ours."""


def encode(kind: str, **facts: Any) -> bytes:
    """One message."""
    return json.dumps({"kind": kind, **facts}).encode() + b"\n"


@define
class Lines:
    """Owns what was read and is not a whole message yet."""

    _partial: bytes = field(default=b"", init=False)

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The messages that are complete now.

        Raises:
            ValueError: This is not what a process of ours would say.
        """
        *whole, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > LONGEST:
            raise ValueError("a message without an end")
        return [_read(line) for line in whole]


def _read(line: bytes) -> dict[str, Any]:
    message: object = json.loads(line)
    if not isinstance(message, dict) or "kind" not in message:
        raise ValueError(f"not a message: {line[:80]!r}")
    return cast("dict[str, Any]", message)
