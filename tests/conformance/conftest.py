"""The same tests on the memory store, on Redis and on Valkey."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conformance.subject import MemorySubject, ServerSubject, Subject
from tests.support.clocked import ClockedServer, clock_shim
from tests.support.servers import Kind, find_binary
from upnext.store.store import Store


def _clocked(kind: Kind) -> Iterator[ClockedServer]:
    if find_binary(kind) is None:
        pytest.skip(f"no {kind} server program on this machine")
    if clock_shim() is None:
        pytest.skip("no C compiler on this machine, or not Linux: a server's clock stays real")
    with ClockedServer(kind) as server:
        yield server


@pytest.fixture(scope="session")
def clocked_redis() -> Iterator[ClockedServer]:
    yield from _clocked("redis")


@pytest.fixture(scope="session")
def clocked_valkey() -> Iterator[ClockedServer]:
    yield from _clocked("valkey")


@pytest.fixture(params=["redis", "valkey"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[ServerSubject]:
    """The real store only: what a test does to its keys has no counterpart in memory."""
    async with ServerSubject.on(request.getfixturevalue(f"clocked_{request.param}")) as subject:
        yield subject


@pytest.fixture(params=["memory", "redis", "valkey"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    """Each store in turn, empty."""
    if request.param == "memory":
        yield MemorySubject()
        return
    async with ServerSubject.on(request.getfixturevalue(f"clocked_{request.param}")) as subject:
        yield subject


@pytest.fixture
def store(subject: Subject) -> Store:
    return subject.store
