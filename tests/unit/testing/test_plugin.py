"""The pytest plugin, in suites of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--strict-markers")
PLUGIN = "upnext.testing.plugin"
TASKS = """
    import anyio, upnext
    worker = upnext.Worker("mail", redis_url="redis://127.0.0.1:1")
    runs = []

    @worker.task(retries=3, retry_delay=86_400)
    async def send(to: str) -> int:
        runs.append(to)
        if len(runs) % 2:
            raise ConnectionError("down")
        return len(to)

    @worker.task
    def log(text: str) -> str:
        return text.upper()
"""
Suite = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.hard_limit(300)  # each test is a whole run of pytest


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Runs pytest on these files, as in a project that has UpNext installed."""
    installed = entry_points(group="pytest11", name="upnext")
    plugin = [] if installed else ["-p", PLUGIN]

    def run(*options: str, **files: str) -> subprocess.CompletedProcess[str]:
        for name, text in files.items():
            lines = text.splitlines()
            (tmp_path / f"{name}.py").write_text("\n".join(line[4:] for line in lines))
        (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
        # Where CI is set, pytest says more in its summary.
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("UPNEXT_") and name not in {"CI", "BUILD_NUMBER"}
        }
        path = [str(ROOT), str(tmp_path), os.environ.get("PYTHONPATH", "")]
        return subprocess.run(
            [*PYTEST, *plugin, *options, str(tmp_path)],
            cwd=tmp_path,
            env=env | {"PYTHONPATH": os.pathsep.join(path)},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    return run


def test_it_is_an_entry_point_of_the_package() -> None:
    assert (
        f'[project.entry-points.pytest11]\nupnext = "{PLUGIN}"'
        in (ROOT / "pyproject.toml").read_text()
    )


def test_fixtures_by_marker_on_both_backends(suite: Suite) -> None:
    done = suite(
        tasks=TASKS,
        test_mail="""
    import pytest, upnext.testing
    from tasks import worker, send, log, runs
    pytestmark = [pytest.mark.anyio, pytest.mark.upnext_worker(worker)]

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(request):
        return upnext.testing.virtual_backend(request.param)

    async def test_retry(upnext_worker, drain):
        await send.submit("ada")
        await drain(scheduled=True)
        upnext_worker.assert_completed(send, args=("ada",), count=1, result=3)

    async def test_wait(upnext_worker):
        assert (await log.wait("a")).value == "A"
        upnext_worker.refute_enqueued(send)

    async def test_message(upnext_worker, drain):
        log.submit_sync("b")
        await drain()
        upnext_worker.assert_enqueued(send)
    """,
    )
    assert "2 failed, 4 passed" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("AssertionError: expected a job of send; there is none") == 2
    assert "log(text='b')  complete, attempt 1" in done.stdout
    assert "ExceptionGroup" not in done.stdout


def test_fixtures_by_override_and_in_sync_tests(suite: Suite) -> None:
    done = suite(
        tasks=TASKS,
        conftest="""
    import pytest
    from tasks import worker

    @pytest.fixture
    def upnext_workers():
        return [worker]
    """,
        test_mail="""
    import pytest
    from tasks import send, log

    @pytest.mark.anyio
    async def test_async(upnext_worker, drain):
        await log.submit("a")
        await drain()
        upnext_worker.assert_all_completed()

    def test_fake(upnext_fake_queue):
        send.submit_sync("ada")
        upnext_fake_queue.assert_enqueued(send, kwargs={"to": "ada"}, count=1)

    def test_inline(upnext_inline):
        assert send.wait_sync("ada").value == 3
        upnext_inline.assert_completed(send, count=1)
    """,
    )
    assert "4 passed" in done.stdout, done.stdout + done.stderr  # asyncio and trio, and two


def test_the_guides_example_runs(suite: Suite, tmp_path: Path) -> None:
    mail, test_mail, *_ = (ROOT / "docs/testing.md").read_text().split("```python\n")[1:]
    for block in (mail, test_mail):
        name, _, code = block.partition("```")[0].partition("\n")
        (tmp_path / name.removeprefix("# ")).write_text(code)
    done = suite()
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_mistakes_are_said_in_one_line(suite: Suite) -> None:
    done = suite(
        tasks=TASKS,
        test_mail="""
    import pytest
    from tasks import worker, log

    @pytest.mark.upnext_worker(worker)
    def test_sync(upnext_worker):
        pass

    @pytest.mark.anyio
    async def test_nameless(upnext_worker):
        pass
    """,
    )
    assert "4 errors" in done.stdout, done.stdout + done.stderr
    assert "upnext_worker needs an async test" in done.stdout
    assert "which worker? Mark the test with @pytest.mark.upnext_worker(worker)" in done.stdout


def test_a_suite_that_does_not_ask_for_it_imports_nothing(suite: Suite) -> None:
    done = suite(
        test_other="""
    import sys

    def test_nothing():
        ours = [name for name in sys.modules if name.startswith("upnext")]
        assert sorted(ours) in ([], ["upnext", "upnext.testing", "upnext.testing.plugin"])
    """,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
