"""What the log of a program run by the CLI looks like.

The library logs to `logging.getLogger("upnext.…")` and passes facts as `extra={…}`: `job_id`,
`function`, `worker`, `attempt`, `delivery` and the like. Any other logger's records come out in
the same form, so that a program has one log. Logs go to stderr; stdout belongs to answers.

- `text` on a terminal: Rich, with facts behind the message.
- `text` elsewhere: one plain line a record; the lines of a traceback follow, indented, so that no
  text inside a record can pass for another record.
- `json`: one object a line.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Literal

from upnext.cli.visible import one_line, visible, within_json

LogFormat = Literal["text", "json"]

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure_logging(format: LogFormat = "text", verbose: bool = False) -> None:  # noqa: A002
    """Send every record to stderr in this form; a second call replaces the first.

    Args:
        format: `text` or `json`.
        verbose: Show the debug records of `upnext.*`; other loggers stay at INFO.
    """
    handler = _handler(format)
    handler.set_name("upnext")
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.get_name() == "upnext"]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("upnext").setLevel(logging.DEBUG if verbose else logging.INFO)


def facts(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller passed as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """One record, one line, one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": _iso_time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        for name, value in facts(record).items():
            entry.setdefault(name, value)
        if record.exc_info and (error := record.exc_info[1]) is not None:
            entry.setdefault("error_type", type(error).__qualname__)
            entry.setdefault("error", _text(error))
            entry["traceback"] = "".join(traceback.format_exception(error))
        if record.stack_info:
            entry["stack"] = record.stack_info
        return within_json(_dump(entry))


class LineFormatter(logging.Formatter):
    """One record, one line; a traceback below it, indented.

    Args:
        stamped: Begin with time, level and logger; a terminal handler shows those itself.
    """

    def __init__(self, *, stamped: bool) -> None:
        super().__init__()
        self._stamped = stamped

    def format(self, record: logging.LogRecord) -> str:
        parts = [one_line(_message(record))]
        if self._stamped:
            parts[:0] = [_iso_time(record), f"{record.levelname:<8}", f"{one_line(record.name)}:"]
        parts += [f"{one_line(name)}={_word(value)}" for name, value in _unsaid(record).items()]
        line = " ".join(parts)
        if record.exc_info and (error := record.exc_info[1]) is not None:
            line += _below("".join(traceback.format_exception(error)))
        if record.stack_info:
            line += _below(record.stack_info)
        return line


def _handler(format: LogFormat) -> logging.Handler:  # noqa: A002
    if format == "json":
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.highlighter import NullHighlighter
        from rich.logging import RichHandler

        handler = RichHandler(
            console=Console(stderr=True),
            show_path=False,
            highlighter=NullHighlighter(),
            log_time_format="[%X]",
            omit_repeated_times=False,
        )
        handler.setFormatter(LineFormatter(stamped=False))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(LineFormatter(stamped=True))
    return handler


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # a wrong format string must not cost the record
        return f"{record.msg!s} (arguments {_text(record.args)} do not fit: {_text(error)})"


def _unsaid(record: logging.LogRecord) -> dict[str, Any]:
    """The facts that the message does not have: a person reads each once."""
    said = record.args if isinstance(record.args, tuple) else ()
    texts = {arg for arg in said if isinstance(arg, str) and arg}
    message = f"{_message(record)} " if texts else ""
    return {
        name: value
        for name, value in facts(record).items()
        if not (isinstance(value, str) and value in texts)
        # A number may be another one by chance: it counts behind its name alone.
        and not (isinstance(value, int) and f"{name} {value} " in message)
    }


def _iso_time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dump(entry: dict[str, Any]) -> str:
    try:
        return json.dumps(entry, ensure_ascii=False, allow_nan=False, default=_text)
    except (ValueError, TypeError, RecursionError):  # NaN, a cycle, a key that is no text
        return json.dumps({name: _text(value) for name, value in entry.items()})


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # whatever a user's __str__ does, the record is written
        return f"<{type(value).__qualname__} whose text raised {type(error).__qualname__}>"


def _word(value: object) -> str:
    text = one_line(_text(value))
    return json.dumps(text, ensure_ascii=False) if not text or " " in text else text


def _below(text: str) -> str:
    return "".join(f"\n    {line}" for line in visible(text).splitlines())
