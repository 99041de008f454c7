"""Names that travel: the tag of a function, the id of a job, the id of a worker."""

from __future__ import annotations

import hashlib
import os
import re
import time
from functools import lru_cache

from upnext.errors import MalformedJobIdError

_UNSAFE = re.compile(r"[^A-Za-z0-9_.]+")
_JOB_ID = re.compile(r"([A-Za-z0-9_.~]{1,64})-([0-9a-f]{32})")
_TAG_LENGTH = 48
_DRAWN_AT_ONCE = 64
"""Random parts of job ids: each look into the kernel costs more than an id does otherwise."""
_TAIL = 10
"""Bytes of a UUID behind its timestamp."""
_VERSION_7 = bytes(0x70 | byte & 0x0F for byte in range(256))
_VARIANT = bytes(0x80 | byte & 0x3F for byte in range(256))


@lru_cache(4096)  # every submit asks
def function_tag(name: str) -> str:
    """The short, key-safe form of a function's name, used in Redis keys and job ids.

    A name made of ASCII letters, digits, `_` and `.` is its own tag. Any other name is
    shortened to those characters and gets a digest, so two names never share a tag.
    """
    slug = _UNSAFE.sub("_", name)
    if slug == name and 0 < len(name) <= _TAG_LENGTH:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    return f"{slug[:_TAG_LENGTH]}~{digest}"


def new_job_id(tag: str) -> str:
    """A job id: the function's tag, a dash, and a UUIDv7 in hex (RFC 9562, section 5.7).

    The tag lets anyone find the job's keys from the id alone; the UUID's leading
    timestamp makes ids of one function sort by the time of submission.
    """
    try:
        random = _drawn.pop()
    except IndexError:
        random = _draw()
    return f"{tag}-{time.time_ns() // 1_000_000:012x}{random}"


_drawn: list[str] = []
"""What follows the timestamp in ids that are still to come. Threads may take from it at once."""
if hasattr(os, "register_at_fork"):  # where there are forks, which must not make the same ids
    os.register_at_fork(after_in_child=_drawn.clear)


def _draw() -> str:
    """Random bits for some ids, with the version and the variant in place; returns one of them.

    All 74 bits that the RFC leaves free are random.
    """
    tails = bytearray(os.urandom(_TAIL * _DRAWN_AT_ONCE))
    tails[0::_TAIL] = tails[0::_TAIL].translate(_VERSION_7)
    tails[2::_TAIL] = tails[2::_TAIL].translate(_VARIANT)
    drawn = tails.hex(" ", _TAIL).split()
    last = drawn.pop()
    _drawn.extend(drawn)
    return last


def occurrence_id(tag: str, schedule: str, instant: int) -> str:
    """The id of the one job that a schedule makes for an instant, whoever makes it.

    The tag, a dash, and a UUID of version 8 (RFC 9562, section 5.8): the instant in Unix
    milliseconds where version 7 has the time of submission, then a digest of the schedule's name.
    """
    digest = hashlib.sha256(schedule.encode()).hexdigest()
    return f"{tag}-{instant:012x}8{digest[:3]}8{digest[3:18]}"


def tag_of(job_id: str) -> str:
    """The function tag in a job id.

    Raises:
        MalformedJobIdError: this is not a job id.
    """
    match = _JOB_ID.fullmatch(job_id)
    if match is None:
        raise MalformedJobIdError(job_id)
    return match[1]


def new_worker_id(name: str) -> str:
    """A worker id, unique for every start: a restarted worker never looks like its old self."""
    return f"{_UNSAFE.sub('_', name)[:_TAG_LENGTH]}.{os.urandom(5).hex()}"


_EVENT = "evt_"
_EVENT_ID = re.compile(_EVENT + "[0-9a-f]{32}")


def new_event_id() -> str:
    """An event id: `evt_` and a UUIDv7 in hex."""
    return _EVENT + new_job_id("")[1:]


def handler_job_id(tag: str, event_id: str) -> str:
    """The id of the job that an event makes for a handler: the same however often it is made.

    Args:
        tag: The tag of the handler's function.
        event_id: The event.
    """
    return f"{tag}-{event_id.removeprefix(_EVENT)}"


def is_event_id(text: str) -> bool:
    """Whether this is the id of an event."""
    return _EVENT_ID.fullmatch(text) is not None
