"""The command line as a subprocess, and a small program for it to run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

APP = """
import datetime
import upnext

worker = upnext.Worker("shop", concurrency=3)

@worker.task(retries=2, timeout=30)
def add(a: int, b: int = 1) -> int:
    print("adding")
    return a + b

@worker.task
async def greet(name: str) -> dict[str, str]:
    return {"text": f"Hello {name}", "id": upnext.get_current_context().function}

@worker.task
def plan(day: datetime.date) -> str:
    return f"{day:%A}"

@worker.task
def fail(why: str) -> None:
    raise RuntimeError(why)
"""


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UPNEXT_")}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "COLUMNS": "120"} | more


def upnext(
    *words: str, cwd: Path, code: int | None = 0, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; it must end with `code`, and without a traceback of ours."""
    done = subprocess.run(
        [sys.executable, "-m", "upnext", *words],
        cwd=cwd,
        env=environment(**env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == code, done.stderr + done.stdout
    assert f"{ROOT}{os.sep}upnext{os.sep}" not in done.stderr
    return done


def error_of(*words: str, cwd: Path, code: int, **env: str) -> str:
    """The one line that a command says which cannot do what was asked."""
    done = upnext(*words, cwd=cwd, code=code, **env)
    assert done.stdout == ""
    assert done.stderr.startswith("Error: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("Error: ").strip()
