"""The error of a job as JSON."""

from __future__ import annotations

from typing import Any

import orjson

from upnext.model.outcome import Failure
from upnext.model.status import FailureReason

LONGEST_MESSAGE = 10_000
LONGEST_TRACEBACK = 50_000
"""Characters. An error must never be what a job cannot be settled for."""


def encode_failure(failure: Failure) -> bytes:
    """Write a failure; never fails itself, whatever is in its texts."""
    return orjson.dumps(
        {
            "type": _clean(failure.type, LONGEST_MESSAGE),
            "message": _clean(failure.message, LONGEST_MESSAGE),
            "traceback": _clean(failure.traceback, LONGEST_TRACEBACK),
            "reason": failure.reason.value,
        }
    )


def decode_failure(data: bytes) -> Failure | None:
    """Read a failure; None where there is none."""
    return failure_of(orjson.loads(data)) if data else None


def failure_of(value: Any) -> Failure | None:
    """A failure whose JSON was parsed already."""
    if not isinstance(value, dict):
        return None
    known: dict[str, Any] = {"type": "", "message": "", "traceback": "", "reason": "", **value}
    try:
        reason = FailureReason(known["reason"])
    except ValueError:  # of a later release
        reason = FailureReason.UNKNOWN
    return Failure(
        type=str(known["type"]),
        message=str(known["message"]),
        traceback=str(known["traceback"]),
        reason=reason,
    )


def _clean(text: str, most: int) -> str:
    text = text.encode(errors="replace").decode()
    if len(text) <= most:
        return text
    # The beginning says where, the end says what.
    half = most // 2
    return f"{text[:half]}\n… {len(text) - most:,} characters left out …\n{text[-half:]}"
