"""What `upnext dead` refuses before it asks the broker for anything."""

from __future__ import annotations

import pytest

from upnext.cli.main import main


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["replay"], "say --all"),
        (["purge"], "say --all"),
        (["purge", "add-1", "--all"], "say --all"),
        (["replay", "add-1", "--reason", "x"], "go with --all"),
        (["list", "--since", "soon"], "30m, 2h or 7d"),
        (["replay", "--all", "--until", "2026-13-01"], "--until"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dead", *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert told in said.err
    assert said.err.count("\n") == 1
