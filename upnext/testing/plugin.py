"""Fixtures for pytest. Installed with UpNext; a suite that asks for none of them pays nothing.

    @pytest.mark.anyio
    @pytest.mark.upnext_worker(worker)
    async def test_welcome(upnext_worker, drain):
        await welcome.submit("ada@example.org")
        await drain()
        upnext_worker.assert_completed(welcome)

Nothing of UpNext is imported until a fixture is asked for.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from upnext.testing.harness import Harness
    from upnext.testing.jobs import Jobs
    from upnext.worker.worker import Worker


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "upnext_worker(*workers, **options): the workers that the fixture of this name runs, and"
        " options of upnext.testing.run_worker",
    )


@pytest.fixture
def upnext_workers(request: pytest.FixtureRequest) -> tuple[Worker, ...]:
    """The workers that `upnext_worker` runs: those of the marker nearest to the test.

    Override it to have the same ones in a whole suite.
    """
    marker = request.node.get_closest_marker("upnext_worker")
    if marker is None or not marker.args:
        pytest.fail(
            "which worker? Mark the test with @pytest.mark.upnext_worker(worker), or override the"
            " fixture upnext_workers to return a list of them",
            pytrace=False,
        )
    return marker.args


@pytest.fixture
async def upnext_worker(
    request: pytest.FixtureRequest,
    upnext_workers: tuple[Worker, ...],
    anyio_backend: Any,
) -> AsyncGenerator[Harness]:
    """The workers, running on a queue in memory; see `upnext.testing.run_worker`."""
    from upnext.testing.harness import run_worker

    marker = request.node.get_closest_marker("upnext_worker")
    options: dict[str, Any] = {} if marker is None else dict(marker.kwargs)
    async with run_worker(*upnext_workers, **options) as harness:
        yield harness


@pytest.fixture
def drain(upnext_worker: Harness) -> Callable[..., Awaitable[None]]:
    """Wait until no job is queued or running: `await drain()`, `await drain(scheduled=True)`."""
    return upnext_worker.drain


@pytest.fixture
def upnext_fake_queue() -> Generator[Jobs]:
    """A queue that keeps what is submitted and runs nothing; see `upnext.testing.fake_queue`."""
    from upnext.testing.fake import fake_queue

    with fake_queue() as jobs:
        yield jobs


@pytest.fixture
def upnext_inline() -> Generator[Jobs]:
    """A queue that runs jobs where they are submitted; see `upnext.testing.inline`."""
    from upnext.testing.immediate import inline

    with inline() as jobs:
        yield jobs


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a sync test that asks for running workers: its event loop would stand still."""
    if "upnext_worker" not in getattr(item, "fixturenames", ()):
        return
    function = getattr(item, "obj", None)
    function = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    if not inspect.iscoroutinefunction(function):
        pytest.fail(
            "upnext_worker needs an async test: workers run while a test awaits. In a sync test"
            " use upnext_inline or upnext_fake_queue",
            pytrace=False,
        )
