"""The form of the log: one record, one line."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from upnext.cli.logs import JsonFormatter, LineFormatter, configure_logging


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("upnext")
    handlers, level, our_level = list(root.handlers), root.level, ours.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(our_level)


def record(message: str = "job failed", *args: Any, **extra: Any) -> logging.LogRecord:
    logger = logging.getLogger("upnext.worker")
    made = logger.makeRecord(
        logger.name, logging.WARNING, __file__, 1, message, args, None, extra=extra
    )
    made.created = 1_790_000_000.25
    return made


def with_error(message: str, error: Exception) -> logging.LogRecord:
    made = record(message)
    try:
        raise error
    except Exception:
        made.exc_info = sys.exc_info()
    return made


def test_json_has_time_level_logger_message_and_facts() -> None:
    line = JsonFormatter().format(record("attempt %d failed", 2, job_id="add-1", attempt=2))

    assert json.loads(line) == {
        "time": "2026-09-21T14:13:20.250Z",
        "level": "WARNING",
        "logger": "upnext.worker",
        "message": "attempt 2 failed",
        "job_id": "add-1",
        "attempt": 2,
    }


def test_a_fact_never_replaces_what_every_record_has() -> None:
    entry = json.loads(JsonFormatter().format(record(level="fatal", time="never", logger="x")))

    assert (entry["level"], entry["logger"]) == ("WARNING", "upnext.worker")
    assert entry["time"] == "2026-09-21T14:13:20.250Z"


def test_json_has_the_error_with_its_traceback() -> None:
    line = JsonFormatter().format(with_error("failed", ValueError("no\nluck")))

    entry = json.loads(line)
    assert "\n" not in line
    assert entry["error_type"] == "ValueError"
    assert entry["error"] == "no\nluck"
    assert entry["traceback"].startswith("Traceback (most recent call last)")
    assert "in with_error" in entry["traceback"]


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\nb", "\x1b[2J", "a\u2028b", "\u202eb", "\x85", "\ud800"]
)
def test_a_json_record_is_one_line_whatever_a_job_says(text: str) -> None:
    line = JsonFormatter().format(record("said %s", text, function=text))

    assert len(line.splitlines()) == 1
    assert line.isprintable()
    assert json.loads(line)["function"] == text


def test_json_takes_any_fact() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    cycle: list[Any] = []
    cycle.append(cycle)

    for value in (Broken(), {1, 2}, float("nan"), cycle, {(1, 2): 3}, object()):
        entry = json.loads(JsonFormatter().format(record(thing=value)))
        assert entry["message"] == "job failed"
        assert "thing" in entry


def test_a_message_that_does_not_fit_its_arguments_is_written_all_the_same() -> None:
    line = LineFormatter(stamped=True).format(record("%d jobs", "many"))

    assert "%d jobs" in line
    assert "'many'" in line


def test_a_line_has_facts_behind_the_message() -> None:
    line = LineFormatter(stamped=True).format(record("failed", job_id="add-1", error="no luck"))

    assert line == (
        '2026-09-21T14:13:20.250Z WARNING  upnext.worker: failed job_id=add-1 error="no luck"'
    )


def test_no_text_can_pass_for_another_record() -> None:
    forged = "x\n2026-09-21T14:13:20.250Z ERROR upnext.worker: all jobs lost"

    line = LineFormatter(stamped=True).format(with_error(forged, ValueError(forged)))

    first, *below = line.splitlines()
    assert first.startswith("2026-09-21T14:13:20.250Z WARNING")
    assert below
    assert all(one.startswith("    ") for one in below)


def test_logs_go_to_stderr_and_one_handler_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("text")
    configure_logging("json")

    logging.getLogger("upnext.worker").info("started", extra={"worker": "email"})
    logging.getLogger("shop").info("a user's own line")

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["logger"], line["message"]) for line in lines] == [
        ("upnext.worker", "started"),
        ("shop", "a user's own line"),
    ]
    assert lines[0]["worker"] == "email"


def test_verbose_shows_our_debug_records_and_nobody_elses(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("json", verbose=False)
    logging.getLogger("upnext.worker").debug("quiet")
    configure_logging("json", verbose=True)
    logging.getLogger("upnext.worker").debug("loud")
    logging.getLogger("asyncio").debug("noise")

    assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == [
        "loud"
    ]


def test_a_terminal_gets_rich_lines_without_control_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")

    configure_logging("text")
    logging.getLogger("upnext.job").warning("[red]see[/red] \x1b]0;title\x07", extra={"attempt": 2})

    shown = terminal.getvalue()
    assert r"WARNING  [red]see[/red] \x1b]0;title\x07 attempt=2" in shown
    assert "\x1b]0;" not in shown


def test_a_line_says_each_fact_once() -> None:
    said = ("%s (%s), attempt %d of %d: %s%s", "add", "add-1", 2, 4, "failed", ": no luck")
    told = {"job_id": "add-1", "function": "add", "attempt": 2, "delivery": 2, "ending": "failed"}

    line = LineFormatter(stamped=False).format(record(*said, **told, worker="w.1"))

    assert line == "add (add-1), attempt 2 of 4: failed: no luck delivery=2 worker=w.1"
    entry = json.loads(JsonFormatter().format(record(*said, **told)))
    assert told.items() <= entry.items()


def test_a_line_keeps_facts_that_only_look_like_what_it_says() -> None:
    line = LineFormatter(stamped=False).format(
        record("%s: attempt %d", "", 12, attempt=1, flag="", other=12)
    )

    assert line == ': attempt 12 attempt=1 flag="" other=12'
