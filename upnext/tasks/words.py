"""What a job says, as bytes: log lines, states, chunks."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from typing import Any

import orjson

from upnext.contracts.codec.text import dumps, loads
from upnext.errors import CodecError

LONGEST_TEXT = 8_192
"""Characters of a log line's message, and of its traceback; the rest is cut off."""
LONGEST_EXTRA = 8_192
"""Bytes of JSON of the facts beside a log line; more are left out."""
LONGEST_CHUNK = 1 << 16
"""Bytes of one chunk of output."""

_LEVELS = {
    "debug": "DEBUG",
    "info": "INFO",
    "warning": "WARNING",
    "warn": "WARNING",
    "error": "ERROR",
    "critical": "CRITICAL",
    "fatal": "CRITICAL",
}
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OF_THE_JOB = frozenset({"job_id", "function", "attempt"})


def level_of(level: str | int) -> str:
    """The name of a log level.

    Raises:
        ValueError: there is no such level.
    """
    name = logging.getLevelName(level) if type(level) is int else _LEVELS.get(str(level).lower())
    if name is None:
        raise ValueError(
            f"no log level {level!r}: say debug, info, warning, error, critical, or a number"
        )
    return name


def line_of(
    level: str, logger: str, message: str, extra: Mapping[str, Any], error: str = ""
) -> bytes:
    """A log line as JSON. Never fails: what JSON cannot say is written as its text."""
    line: dict[str, Any] = {"level": level, "logger": logger, "message": _cut(message)}
    if error:
        line["error"] = _cut(error)
    if extra:
        line["extra"] = _facts(extra)
    try:
        return orjson.dumps(line)
    except orjson.JSONEncodeError:  # a lone surrogate, which is not valid Unicode
        told = {name: _valid(text) for name, text in line.items() if name != "extra"}
        return orjson.dumps(told | {"extra": line.get("extra", {})})


def line_of_record(record: logging.LogRecord) -> bytes:
    """A record of the logging module as a log line."""
    try:
        message = record.getMessage()
    except Exception as problem:  # a user's format and arguments that do not fit together
        message = f"{record.msg} (its arguments do not fit: {problem})"
    extra = {
        name: value
        for name, value in vars(record).items()
        if name not in _STANDARD and name not in _OF_THE_JOB
    }
    error = ""
    if record.exc_info and record.exc_info[1] is not None:
        error = "".join(traceback.format_exception(record.exc_info[1]))
    return line_of(record.levelname, record.name, message, extra, error)


def state_of(state: Any) -> bytes:
    """A checkpoint's state as JSON.

    Raises:
        CodecError: it cannot be written, or would not come back the same.
    """
    return dumps(state, "state")


def state_read(payload: bytes) -> Any:
    """The state of a checkpoint; None when there is none."""
    return loads(payload, "state") if payload else None


def chunk_of(chunk: Any) -> tuple[bytes, str]:
    """A chunk of output, and how it is written: `raw` bytes, or `json`.

    Raises:
        CodecError: it cannot be written, or is too large.
    """
    if isinstance(chunk, bytes | bytearray):
        payload, kind = bytes(chunk), "raw"
    else:
        payload, kind = dumps(chunk, "chunk"), "json"
    if len(payload) > LONGEST_CHUNK:
        raise CodecError(
            "chunk", f"{len(payload):,} bytes are more than {LONGEST_CHUNK:,}: stream smaller ones"
        )
    return payload, kind


def chunk_read(payload: bytes, kind: str) -> Any:
    """A chunk as it was streamed."""
    return payload if kind == "raw" else loads(payload, "chunk")


def _cut(text: object) -> str:
    shown = _text(text)
    if len(shown) > LONGEST_TEXT:
        shown = f"{shown[:LONGEST_TEXT]}… ({len(shown) - LONGEST_TEXT:,} characters more)"
    return shown


def _facts(extra: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    size = 0
    for name, value in extra.items():
        written = _json(value)
        size += len(written) + len(name)
        if size > LONGEST_EXTRA:
            facts["…"] = f"{len(extra) - len(facts)} facts more are too long"
            break
        facts[_valid(str(name))] = orjson.Fragment(written)
    return facts


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value, default=_text, option=orjson.OPT_NON_STR_KEYS)
    except Exception:  # nested too deep, an integer of more than 64 bits, a lone surrogate
        return orjson.dumps(_valid(_text(value)))


def _valid(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # whatever a user's own class raises
        return f"a {type(value).__qualname__} that has no text"
