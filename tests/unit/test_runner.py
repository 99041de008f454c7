"""What `upnext.run` refuses, before it reads a setting or opens a socket."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

import upnext
from upnext import ConfigurationError, Worker


@pytest.mark.parametrize("wrong", ["worker", Worker, None])
def test_what_is_no_worker_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match=r"upnext.run\(\) runs workers and APIs, not"):
        upnext.run(Worker("test"), wrong)  # type: ignore[arg-type]


def test_there_must_be_something_to_run() -> None:
    with pytest.raises(ConfigurationError, match="there is no worker and no API to run"):
        upnext.run()
    with pytest.raises(ConfigurationError, match="there is no worker and no API to run"):
        upnext.run(Worker("test"), only=["other"])


def test_a_child_process_that_only_imports_the_program_runs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "__mp_main__", ModuleType("__mp_main__"))
    with pytest.raises(ConfigurationError, match='if __name__ == "__main__"'):
        upnext.run(Worker("test"))
