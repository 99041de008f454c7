"""Fixtures and rules for every test: both backends, real servers, no silent skip, no hang."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests.support.servers import Kind, RedisServer, find_binary

NO_SKIPS = os.environ.get("UPNEXT_NO_SKIPS") == "1"
"""Continuous integration sets this: what is missing on the machine is then a failure."""

# A busy machine is slow now and then; what hangs is up to the hard limit. Otherwise as it would be,
# which is not the same where CI is set.
settings.register_profile("unhurried", settings(), deadline=None)
settings.load_profile("unhurried")

HARD_LIMIT = 60.0
"""Seconds one test may take, its fixtures included; ``@pytest.mark.hard_limit(n)`` changes it."""


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Every coroutine test runs on asyncio and on Trio."""
    return str(request.param)


def _shared_server(kind: Kind) -> Iterator[RedisServer]:
    if find_binary(kind) is None:
        pytest.skip(f"no {kind} server program on this machine")
    with RedisServer(kind, tcp=True) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One Redis for the whole run; tests that break or reconfigure it make their own."""
    yield from _shared_server("redis")


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[RedisServer]:
    """One Valkey for the whole run; tests that break or reconfigure it make their own."""
    yield from _shared_server("valkey")


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of an empty Redis."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture
def valkey_url(valkey_server: RedisServer) -> str:
    """The address of an empty Valkey."""
    valkey_server.flush()
    return valkey_server.url


@pytest.fixture(params=["redis", "valkey"])
def any_server(request: pytest.FixtureRequest) -> RedisServer:
    """An empty server; the test runs once on Redis and once on Valkey."""
    server: RedisServer = request.getfixturevalue(f"{request.param}_server")
    server.flush()
    return server


@pytest.fixture
def start_server() -> Iterator[Callable[..., RedisServer]]:
    """Start a server that belongs to this test: ``start_server("redis", append_only=True)``."""
    with contextlib.ExitStack() as servers:

        def start(kind: Kind = "redis", **options: Any) -> RedisServer:
            if find_binary(kind) is None:
                pytest.skip(f"no {kind} server program on this machine")
            return servers.enter_context(RedisServer(kind, **options))

        yield start


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "hard_limit(seconds): the most this test may take")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So it is for a shell's background job; the processes of tests would inherit that, and
        # never hear the signals that tests send them.
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where UPNEXT_NO_SKIPS=1 forbids it: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if NO_SKIPS and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped where UPNEXT_NO_SKIPS=1 forbids it: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    marker = item.get_closest_marker("hard_limit")
    limit = float(marker.args[0]) if marker else HARD_LIMIT
    with _hard_limit(limit):
        return (yield)


@contextlib.contextmanager
def _hard_limit(seconds: float) -> Iterator[None]:
    """Fail a test that hangs; end the whole run where even that does not get it loose."""

    def fail(_signal: int, _frame: object) -> None:
        faulthandler.dump_traceback(file=sys.__stderr__)
        pytest.fail(f"the test took longer than its hard limit of {seconds:g} s", pytrace=False)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(seconds + 20, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
