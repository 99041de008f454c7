"""Panels and tables, and what they do with hostile text."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import RenderableType

from upnext.cli import declared, panel, render
from upnext.cli.diagnosis import Diagnosis, read_heartbeat
from upnext.model.job import JobRecord
from upnext.model.status import JobStatus
from upnext.worker.worker import Worker

HOSTILE = "\x1b]0;title\x07[red]x[/red]\u202e:smile:\r\nError: all is lost"
SHOWN = r"\x1b]0;title\x07[red]x[/red]\u202e:smile:"


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this process is attached to."""
    monkeypatch.setenv("COLUMNS", "200")


def printed(renderable: RenderableType, capsys: pytest.CaptureFixture[str]) -> str:
    render.open_console().print(renderable)
    return capsys.readouterr().out


def worker(name: str = "email", *tasks: str, **options: Any) -> Any:
    definition = SimpleNamespace(
        retries=2, timeout=30.0, is_async=options.pop("is_async", False), place="/app/jobs.py:7"
    )
    return SimpleNamespace(
        name=name,
        concurrency=8,
        sync_executor=SimpleNamespace(value="thread"),
        tasks={task: SimpleNamespace(definition=definition) for task in tasks},
        events=options.pop("events", {}),
        crons=[],
        **options,
    )


def the_panel(workers: list[Any], *, broker: str, backend: str) -> RenderableType:
    """The panel, of facts that went through JSON as those of a child process do."""
    facts = panel.declare(workers, brokers=[broker], backend=backend).as_facts()
    return panel.running(panel.Declared.from_facts(json.loads(json.dumps(facts))))


def record(**fields: Any) -> JobRecord:
    base: dict[str, Any] = {
        "id": "add-01994e8a7c5a7c3f8d3e5b7a9c1d2e4f",
        "function": "add",
        "status": JobStatus.COMPLETE,
        "arguments": b'{"a":9007199254740993,"b":[]}',
        "attempt": 1,
        "delivery": 1,
        "priority": 0,
        "created_at": 1_790_000_000_000,
        "started_at": 1_790_000_001_000,
        "finished_at": 1_790_000_001_250,
        "result": b"3",
    }
    return JobRecord(**(base | fields))


def test_the_panel_says_what_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(
        the_panel(
            [worker("email", "send", "digest"), worker("idle")],
            broker="redis://box:6379/0",
            backend="trio",
        ),
        capsys,
    )

    for part in ("email", "8", "send, digest", "no tasks", "redis://box:6379/0", "trio", "Ctrl+C"):
        assert part in text


def test_the_list_and_the_inspection(capsys: pytest.CaptureFixture[str]) -> None:
    both = [worker("email", "send", is_async=True), worker("reports", "build")]

    listing = printed(declared.listing(both), capsys)
    inspection = printed(declared.inspection(both), capsys)

    assert [line.split()[0] for line in listing.splitlines()[2:]] == ["email", "reports"]
    assert inspection.splitlines()[2].split() == [
        *("email", "│", "send", "│", "2", "│", "30", "s", "│", "async", "│", "/app/jobs.py:7")
    ]
    assert "thread" in inspection.splitlines()[3]


def test_crons_are_shown_with_their_schedules(capsys: pytest.CaptureFixture[str]) -> None:
    reports = Worker("reports")
    reports.task(name="by_hand")(lambda: None)
    reports.cron("0 7 * * mon", name="weekly", timezone="Europe/Berlin", jitter=30)(lambda: None)

    panel = printed(the_panel([reports], broker="b", backend="trio"), capsys)
    listing = printed(declared.listing([reports]), capsys)
    inspection = printed(declared.inspection([reports]), capsys)

    for text in (panel, listing):
        assert "by_hand" in text
        assert "weekly (0 7 * * mon Europe/Berlin)" in text
    assert "schedule" in inspection.splitlines()[0]
    assert inspection.splitlines()[-1].endswith("0 7 * * mon Europe/Berlin")
    [described] = declared.described([reports])["workers"]
    assert [task["name"] for task in described["tasks"]] == ["by_hand"]
    assert described["crons"] == [
        {
            "name": "weekly",
            "schedule": "0 7 * * mon",
            "timezone": "Europe/Berlin",
            "jitter": 30.0,
            "missed_run_policy": "latest_only",
            "max_catch_up_seconds": None,
            "overlap": "allow",
            "retries": 0,
            "timeout": 1800.0,
        }
    ]


def test_the_inspection_as_json() -> None:
    assert declared.described([worker("email", "send")]) == {
        "apis": [],
        "workers": [
            {
                "name": "email",
                "concurrency": 8,
                "tasks": [{"name": "send", "retries": 2, "timeout": 30.0}],
                "crons": [],
                "events": [],
            }
        ],
    }


def test_a_completed_job(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(render.job(record()), capsys)

    assert "add-01994e8a7c5a7c3f8d3e5b7a9c1d2e4f" in text
    assert "complete" in text
    assert "2026-09-21T14:13:20.000Z" in text
    assert "250 ms" in text
    assert '"a": 9007199254740993' in text
    assert "result\n3\n" in text
    assert "error" not in text


def test_a_failed_job_has_its_error_with_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    error = {"type": "shop.Broken", "message": "no luck", "traceback": "Traceback:\n  File x\n"}
    failed = record(status=JobStatus.FAILED, result=b"", error=json.dumps(error).encode())

    text = printed(render.job(failed), capsys)

    assert "error\nshop.Broken: no luck\nTraceback:\n  File x\n" in text
    assert "result" not in text


@pytest.mark.parametrize("payload", [b"\xff{", b"[" * 5000, b'"\\ud800"', b"[" * 400 + b"]" * 400])
def test_a_payload_that_is_no_sound_json_is_shown_all_the_same(
    payload: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = record(status=JobStatus.FAILED, arguments=payload, result=payload, error=payload)

    assert "arguments" in printed(render.job(strange), capsys)
    render.print_json(render.as_json(strange))
    json.loads(capsys.readouterr().out)


def test_hostile_text_is_escaped_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    text = json.dumps(HOSTILE).encode()
    error = {"type": HOSTILE, "message": HOSTILE, "traceback": HOSTILE}
    hostile = record(
        function=HOSTILE,
        status=JobStatus.FAILED,
        arguments=text,
        result=text,
        error=json.dumps(error).encode(),
        worker=HOSTILE,
        key=HOSTILE,
        reason=HOSTILE,
    )
    living = read_heartbeat({"worker_name": HOSTILE, "hostname": HOSTILE}, 0.0)
    rendered = [
        render.job(hostile),
        declared.listing([worker(HOSTILE, HOSTILE)]),
        declared.inspection([worker(HOSTILE, HOSTILE)]),
        the_panel([worker(HOSTILE, HOSTILE)], broker=HOSTILE, backend="trio"),
        render.diagnosis(Diagnosis(HOSTILE, HOSTILE, 0.1, [living], [], {HOSTILE: 1})),
    ]

    for one in rendered:
        shown = printed(one, capsys)
        assert all(character.isprintable() or character == "\n" for character in shown)
        assert r"\x1b]0;title\x07" in shown
        assert "smile" in shown  # no emoji code, no markup was acted upon
        assert "[red]" in shown

    render.print_json(render.as_json(hostile))
    document = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in document)
    assert json.loads(document)["function"] == HOSTILE


def test_a_record_as_json() -> None:
    error = {"type": "E", "message": "m", "traceback": "", "reason": "exception"}
    told = render.as_json(record(error=json.dumps(error).encode(), deadline=1_790_000_009_000))

    assert told["status"] == "complete"
    assert told["arguments"] == {"a": 9007199254740993, "b": []}
    assert told["result"] == 3
    assert told["error"] == error
    assert told["created_at"] == "2026-09-21T14:13:20.000Z"
    assert told["deadline"] == "2026-09-21T14:13:29.000Z"
    assert told["due_at"] is None
    assert told["parent_id"] is None


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, None),
        (0, None),
        (1_790_000_000_001, "2026-09-21T14:13:20.001Z"),
        (10**17, f"{10**17} ms"),
    ],
)
def test_moments(milliseconds: int | None, text: str | None) -> None:
    assert render.moment(milliseconds) == text


def test_no_color_is_honoured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[32m" in printed(render.job(record()), capsys)

    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in printed(render.job(record()), capsys)


def test_a_file_gets_long_ids_on_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    long = f"{'x' * 48}~0123456789-{'0' * 32}"

    assert long in printed(render.job(record(id=long)), capsys)


def test_a_running_job_shows_when_it_started_and_how_far_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    running = {"status": JobStatus.RUNNING, "finished_at": None, "result": b""}
    quiet = record(**running, claimed_at=1_790_000_000_500, started_at=None)
    told = printed(render.job(quiet), capsys)
    assert "claimed" in told
    assert "started" not in told
    assert "progress" not in told
    assert render.as_json(quiet)["started_at"] is None

    speaking = record(
        **running,
        claimed_at=1_790_000_000_500,
        progress=1 / 3,
        progress_message="a\x1b[2Jthird",
        checkpoint=b'{"n":1}',
        checkpoint_at=1_790_000_001_100,
    )
    told = printed(render.job(speaking), capsys)
    assert "claimed" not in told
    assert "2026-09-21T" in told
    assert "33.33 %, a" in told
    assert "\x1b" not in told
    assert '"n": 1' in told

    before = record(**running, claimed_at=1_790_000_009_000)
    assert render.as_json(before)["started_at"] is None, "that was the attempt before"


def test_a_job_that_is_over_keeps_its_progress_and_not_its_checkpoint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    over = record(progress=0.5, checkpoint=b'{"n":1}', checkpoint_at=1)
    told = printed(render.job(over), capsys)
    assert "50 %" in told
    assert "checkpoint" not in told
    assert render.as_json(over)["checkpoint"] == {"n": 1}
