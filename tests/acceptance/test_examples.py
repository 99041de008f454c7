"""Each example as it stands, on a machine with no Redis: exit code, output, nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import find_binary
from upnext.redis.embedded_place import Place

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

OUTPUT = {
    "quickstart": [
        "Hello, world! (complete, attempt 1)",
        "Good morning, Ada!",
        "['Hello, Barbara!', 'Hello, Edsger!', 'Hello, Grace!']",
    ],
    "pipeline": [
        "done: stored 204",
        "late: ",  # expired, or failed with its expired parts: whichever is heard of first
        "withdrawn: cancelled: the order was withdrawn",
        "left running: 0",
    ],
    "retries": [
        "https://example.org: 200 OK, attempts: 3",
        "customer 42 after 2 attempts",
        "failed after 1 attempt: ValueError: 'example.org' is not a URL",
        "cancelled after 1 attempt: cancelled: there is no customer -1",
    ],
    "around_jobs": ["3 of pen: 6", "cancelled: cancelled: there is no 'car'", "ink pen"],
    "progress_and_output": [
        "the quick brown fox jumps over the lazy dog (1 restart)",
        "WARNING out of ink in attempt 1",
        "100 %: dog",
    ],
    "workflow_tree": ["Ann: 244.50", "Ben: 60.00", "Eve: 211.50"],
    "groups": [
        "served: soup, roast, cake",
        "sent back: RuntimeError: it collapsed",
        "the roast is cancelled",
        "first on the table: omelette",
    ],
    "cancel_and_deadlines": [
        "harbour: we stopped waiting; the job is running",
        "harbour: TaskExecutionError, cancelled: ",
        "street: TaskTimeoutError, failed: ",
        "river: TaskExecutionError, expired: ",
        "moon: TaskExecutionError, expired: ",
    ],
    "sync_code": [
        "ann 8fab1c09cf34",
        "ben ed09248087c5",
        "digest 51ab2f4699e7",
        "digest 7587e365021f",
        "digest 0aa9d23b91f5",
        "upnext.TaskTimeoutError: ",
    ],
    "testing": [
        "paid after 2 days",
        "paid after 2 days",
        "charge(customer=7)  scheduled in 30 days, 0:00:00",
    ],
    "limits": [
        "8 jobs at 5/s took 0.",
        "small, month 1: True that it waited less than a second",
        "paused: export",
        "resumed: 1",
    ],
    "events": [
        "send_receipt: order 7: 130.00, attempts: 1",
        "reserve: order 7 is reserved, attempts: 2",
        "audit: order.paid ['order_id', 'total'], attempts: 1",
    ],
    "crons": [
        "Oslo at second ",
        "Bergen at second ",
        "Bergen by hand",
        "measure: * * * * * * goes on, from code: ",
        "forecast: 0 7 * * mon-fri goes on, from code: ",
        "harbour: */2 * * * * * paused, from api: ",
    ],
    "typed_arguments": ["(Decimal('130.00'), True)", "invoice.lines[2].price: "],
}
"""How each line of an example's output begins."""

ELSEWHERE = {"census", "client", "fastapi_app", "quart_app", "service", "streaming"}
"""Those with tests of their own, here or in `test_example_services.py`."""

SOURCES = {
    "mod.py": (
        b"# one\n\ndef outer():\n    if True:\n        async def inner(): ...\n"
        b"        class Local: ...\n    return '''a\nb'''  # two\n"
    ),
    "pkg/__init__.py": b"",
    "pkg/deep/one.py": b"class A:\n    def f(self):\n        pass\n",
    "pkg/deep/two.py": b"x = (\n    # three\n    1,\n)\n",
    "pkg/syntax.py": b"def (:\n",
    "pkg/coding.py": b"# coding: no-such\n",
    "pkg/bytes.py": b"x = '\xff'\n",
    "pkg/notes.txt": b"def f(): ...\n",
    "pkg/site-packages/other.py": b"y = 1\n",
}


def run(script: Path, *words: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a script to its end in an empty directory, with the environment of a fresh machine."""
    if find_binary("valkey") is None and find_binary("redis") is None:
        pytest.skip("no server program on this machine")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UPNEXT_")}
    path = os.pathsep.join([str(ROOT), str(EXAMPLES)])
    done = subprocess.run(
        [sys.executable, script, *words],
        cwd=cwd,
        env=kept | {"PYTHONPATH": path, "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    with Place.open(cwd).server() as alive:
        assert alive.try_exclusive(), "the embedded server was left running"
    return done


def test_every_example_is_tested() -> None:
    scripts = {script.stem for script in EXAMPLES.glob("[!_]*.py")}

    assert scripts == {*OUTPUT, *ELSEWHERE}


@pytest.mark.hard_limit(120)
@pytest.mark.parametrize("name", OUTPUT)
def test_example(name: str, tmp_path: Path) -> None:
    done = run(EXAMPLES / f"{name}.py", cwd=tmp_path)

    lines = done.stdout.splitlines()
    assert len(lines) == len(OUTPUT[name]), done.stdout
    for line, beginning in zip(lines, OUTPUT[name], strict=True):
        assert line.startswith(beginning)
    # A job that fails for good shows its own frames in the log, never ours.
    assert str(EXAMPLES.parent / "upnext") not in done.stderr


@pytest.mark.hard_limit(120)
def test_census(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name, content in SOURCES.items():
        file = source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    done = run(EXAMPLES / "census.py", str(source), cwd=tmp_path)

    rows = [line.strip("│").split("│") for line in done.stdout.splitlines() if line[:1] == "│"]
    table = {name.strip(): [cell.strip() for cell in cells] for name, *cells in rows}
    assert table == {
        "(modules)": ["1", "8", "6", "2", "2", "1", "6 lines, mod.py: outer"],
        "pkg": ["3", "7", "6", "1", "1", "1", "2 lines, one.py: f"],
        "total": ["4", "15", "12", "3", "3", "2", "6 lines, mod.py: outer"],
    }
    _, _, unreadable = done.stdout.partition("3 of the files cannot be read:\n")
    told = [line.strip() for line in unreadable.splitlines()]
    assert [line.partition(": ")[0] for line in told] == [
        "pkg/bytes.py",
        "pkg/coding.py",
        "pkg/syntax.py",
    ]
    assert all("SyntaxError: " in line for line in told)


@pytest.mark.hard_limit(120)
@pytest.mark.parametrize(
    ("at_import", "in_job", "said"),
    [
        ("if __name__ != '__main__': raise RuntimeError('no luck')", "", "did not start"),
        ("", "os._exit(3)", "ended by itself"),
    ],
)
def test_a_broken_worker_keeps_nobody_waiting(
    at_import: str, in_job: str, said: str, tmp_path: Path
) -> None:
    script = tmp_path / "broken.py"
    script.write_text(
        "import os\nimport anyio, upnext\nfrom _beside import beside\n"
        f"{at_import}\n"
        "worker = upnext.Worker('broken')\n"
        f"@worker.task\nasync def work() -> None: {in_job or '...'}\n"
        "if __name__ == '__main__':\n"
        "    with beside(__file__):\n"
        "        anyio.run(work.wait)\n"
    )

    done = run(script, cwd=tmp_path, code=1)

    assert f"The worker {said}" in done.stderr
