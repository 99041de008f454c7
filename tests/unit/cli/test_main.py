"""Exit codes and the one line on stderr."""

from __future__ import annotations

from typing import Any

import pytest

from upnext import __version__
from upnext.cli import arguments, broker
from upnext.cli.explain import FAILURE, USAGE
from upnext.cli.main import INTERRUPTED, main

COMMANDS = ("call", "cancel", "health", "inspect", "list", "run", "status")


def one_line_of(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    return err.removeprefix("Error: ").rstrip("\n")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_names_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0

    out = capsys.readouterr().out
    for command in COMMANDS:
        assert f"│ {command} " in out
    assert "upnext run app.py" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0

    out = capsys.readouterr().out
    assert f"Usage: upnext {command}" in out
    assert f"\n  upnext {command}" in out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["rnu", "app.py"], 'Unknown command "rnu". Did you mean "run"?'),
        (["run", "app.py", "--bogus"], "--bogus"),
        (["run", "app.py", "--async-backend", "curio"], '"asyncio", "trio"'),
        (["run", "app.py", "--concurrency", "many"], "--concurrency"),
        (["run", "app.py", "--concurrency", "0"], "--concurrency must be 1 or more"),
        (["run", "app.py", "--uvloop", "--async-backend", "trio"], "--uvloop is for the asyncio"),
        (["run", "app.py", "--log-format", "xml"], '"text", "json"'),
        (["run"], "Name at least one file or module"),
        (["list"], "Name at least one file or module"),
        (["inspect"], "Name at least one file or module"),
        (["call", "app.py"], "FUNCTION"),
        (["call", "app.py", "add", "--json", "{oops"], "--json is not JSON"),
        (["call", "app.py", "add", "oops"], "not of the form key=value"),
        (["call", "app.py", "add", "--redis-url", "nowhere"], "is no Redis URL"),
        (["status"], "JOB_ID"),
        (["status", "x", "--redis-url", "http://box"], "'http://box' is no Redis URL"),
        (["status", "x", "--redis-url", "redis://u:secret@box/zero"], "***@box/zero' is no Redis"),
        (["cancel", "x", "--redis-url", "redis://box:port"], "is no Redis URL"),
        (["status", "what?", "--redis-url", "redis://box"], "'what?' is not a job id"),
        (["cancel", "what?", "--redis-url", "redis://box"], "'what?' is not a job id"),
    ],
)
def test_what_cannot_be_done_as_asked(
    words: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(words)

    line = one_line_of(capsys)
    assert part in line
    assert "secret" not in line
    assert code == USAGE


def test_a_setting_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UPNEXT_QUEUE_JOB_TTL_SECONDS", "soon")

    assert main(["health", "--redis-url", "redis://box"]) == USAGE
    assert one_line_of(capsys).startswith("UPNEXT_QUEUE_JOB_TTL_SECONDS='soon'")


def test_a_workspace_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UPNEXT_WORKSPACE_ID", "my shop")

    assert main(["health", "--redis-url", "redis://box"]) == USAGE
    assert "UPNEXT_WORKSPACE_ID" in one_line_of(capsys)


@pytest.mark.parametrize("command", [["health"], ["status", f"add-{'0' * 32}"]])
def test_a_broker_that_is_not_there(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(broker, "PATIENCE", 0.0)

    code = main([*command, "--redis-url", "unix:///nowhere/at/all.sock"])

    assert code == FAILURE
    line = one_line_of(capsys)
    assert line.startswith("The broker cannot be reached: ")
    assert "/nowhere/at/all.sock" in line


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise error

    monkeypatch.setattr(arguments, "read_arguments", fail)


def test_a_defect_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("UPNEXT_DEBUG", raising=False)
    fail_with(KeyError("a\nb\x1b[2J"), monkeypatch)

    assert main(["call", "app.py", "add"]) == FAILURE
    line = one_line_of(capsys)
    assert line.startswith("upnext itself failed: KeyError: ")
    assert "UPNEXT_DEBUG=1" in line
    assert "\x1b" not in line


def test_a_defect_shows_its_place_to_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPNEXT_DEBUG", "1")
    fail_with(KeyError("x"), monkeypatch)

    with pytest.raises(KeyError):
        main(["call", "app.py", "add"])


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(KeyboardInterrupt(), monkeypatch)

    assert main(["call", "app.py", "add"]) == INTERRUPTED
    assert capsys.readouterr() == ("", "")
