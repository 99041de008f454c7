"""The composition root: settings → link → store → workers, and the signals that end them."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from math import inf
from typing import Literal

import anyio
from anyio.abc import TaskStatus
from attrs import define, evolve, field
from redis.exceptions import RedisError

from upnext.client.connect import bounds_of
from upnext.contracts.keys import Keys
from upnext.errors import CodecError, ConfigurationError
from upnext.redis.embedded import EmbeddedServer, EmbeddedServerError, embedded
from upnext.redis.pool import current_link
from upnext.redis.url import Address
from upnext.settings import Settings
from upnext.store.blocking import BlockingStore
from upnext.store.bounds import Bounds
from upnext.store.store import Store
from upnext.tasks.modules import is_importing
from upnext.tasks.registry import Registry, merge
from upnext.worker.compose import compose_worker
from upnext.worker.lifespan import LifespanError
from upnext.worker.shutdown import Shutdown
from upnext.worker.supervisor import run_worker
from upnext.worker.worker import Worker, only_named

__all__ = ["run"]

logger = logging.getLogger("upnext.runner")

REVIVE_INTERVAL = 1.0
"""Seconds between two looks at whether the embedded server is connected; a look costs nothing."""
ONE_SIGNAL = 0.5
"""Seconds within which signals count as one: many tools send theirs to the process and to its
group."""
JOIN_LIMIT = 1.0
"""Seconds that abandoned job threads get at the very end."""


def run(
    *components: Worker,
    redis_url: str | None = None,
    backend: Literal["asyncio", "trio"] = "asyncio",
    use_uvloop: bool = False,
    only: Sequence[str] | None = None,
    worker_timeout: float = 30.0,
) -> int:
    """Run workers until SIGTERM or SIGINT, and return the exit code.

    The first signal stops intake; what runs gets `worker_timeout` seconds. A second signal, or
    the end of that time, cancels what still runs; those jobs go back to the queue without
    spending an attempt.

    Args:
        *components: The workers.
        redis_url: The broker of all of them; by default what each worker names itself, else
            UPNEXT_REDIS_URL, else an embedded Valkey in `.upnext/`.
        backend: The event loop.
        use_uvloop: Run asyncio on uvloop.
        only: Names of the workers to run; the others are declared only.
        worker_timeout: Seconds of grace after the first signal.

    Returns:
        0 after a clean drain, 1 when a worker failed or results could not be written.

    Raises:
        ConfigurationError: The workers cannot run as they are; one line says why.
        redis.exceptions.RedisError: The broker cannot be reached at the start.
    """
    for component in components:
        if not isinstance(component, Worker):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"upnext.run() runs workers, not {component!r}")
    if "__mp_main__" in sys.modules or is_importing():
        raise ConfigurationError(
            "upnext.run() was reached while the file was only being imported:"
            ' put the call under `if __name__ == "__main__":`'
        )
    _speak_up()
    for component in components:
        component.discover()
    _check_crons(merge(worker.registry for worker in components))
    workers = only_named(components, only)
    for component in components:
        component.redis_url = redis_url or component.redis_url
    if not workers:
        raise ConfigurationError("there is no worker to run")
    settings = Settings.load()
    with ExitStack() as stack:
        url, server = redis_url or settings.redis_url, None
        if url is None and any(worker.redis_url is None for worker in workers):
            server = stack.enter_context(embedded())
            logger.info(server.describe())
            url = server.url
            for name, value in server.environment.items():
                stack.enter_context(_environment(name, value))
        if url is not None:
            # For worker processes, and for whatever the jobs themselves start or submit.
            stack.enter_context(_environment("UPNEXT_REDIS_URL", url))
        service = _Service(workers, settings, url, server, worker_timeout)
        options = {"use_uvloop": True} if use_uvloop else {}
        anyio.run(service.run, backend=backend, backend_options=options)
    _leave_abandoned_threads(1 if service.failed else 0)
    return 1 if service.failed else 0


def _check_crons(definitions: Registry) -> None:
    """See that the jobs of crons can be made, before anything is started."""
    for definition in definitions:
        if definition.schedule is not None:
            try:
                definition.scheduled_call  # noqa: B018
            except (CodecError, NameError) as error:
                raise ConfigurationError(
                    f"cron {definition.name!r} ({definition.place}): {error}"
                ) from None


def _speak_up() -> None:
    """Show the log of a program that did not set logging up; one that did keeps its own."""
    ours = logging.getLogger("upnext")
    if not ours.hasHandlers():
        logging.basicConfig(format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        ours.setLevel(logging.INFO)


@contextmanager
def _environment(name: str, value: str) -> Generator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@define(eq=False)
class _Service:
    """The workers of one process, in one event loop."""

    workers: Sequence[Worker]
    settings: Settings
    url: str | None
    server: EmbeddedServer | None
    grace: float
    failed: bool = field(default=False, init=False)
    _shutdowns: list[Shutdown] = field(factory=list[Shutdown], init=False)

    async def run(self) -> None:
        """Run all workers; when one ends by itself, drain the others too."""
        self._shutdowns = [Shutdown(self.grace) for _ in self.workers]
        async with anyio.create_task_group() as group:
            await group.start(self._heed_signals)
            if self.server is not None:
                group.start_soon(self._revive, self.server)
            async with anyio.create_task_group() as running:
                for worker, shutdown in zip(self.workers, self._shutdowns, strict=True):
                    running.start_soon(self._run_worker, worker, shutdown, name=worker.name)
            group.cancel_scope.cancel()

    async def _run_worker(self, worker: Worker, shutdown: Shutdown) -> None:
        address = Address.parse(worker.redis_url or self.url or "")
        queue = worker.queue_config.over(self.settings.queue)
        keys = Keys(self.settings.workspace_id)
        bounds = bounds_of(evolve(self.settings, queue=queue))
        store = Store(current_link(address, name=f"upnext-{worker.name}"), keys, bounds)
        try:
            logger.info("worker %s connects to %s", worker.name, address.describe())
            await store.now()  # an unreachable broker is found out before anything is started
            parts = compose_worker(
                worker,
                store=store,
                keys=keys,
                queue=queue,
                open_blocking_store=partial(_open_blocking_store, address, keys, bounds),
                pace=self.settings.pace,
            )
            logger.info("worker %s started as %s", worker.name, parts.worker)
            report = await run_worker(parts, shutdown, _give_up)
        except (RedisError, LifespanError) as error:
            logger.error("worker %s: %s", worker.name, error)
            self.failed = True
        except Exception:  # the other workers are drained before the process ends
            logger.exception("worker %s crashed", worker.name)
            self.failed = True
        else:
            self.failed |= not report.clean
            logger.info("worker %s stopped", worker.name)
        for other in self._shutdowns:
            other.begin_drain()

    async def _revive(self, server: EmbeddedServer) -> None:
        """Start the embedded server again when it died: nobody else will."""
        link = current_link(Address.parse(server.url))
        while True:
            await anyio.sleep(REVIVE_INTERVAL)
            if link.statistics().connected:
                continue
            try:
                await anyio.to_thread.run_sync(server.revive)
            except EmbeddedServerError as error:
                logger.error("%s", error)

    async def _heed_signals(self, *, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            first = inf
            async for number in signals:
                again = any(shutdown.draining for shutdown in self._shutdowns)
                if again and anyio.current_time() - first < ONE_SIGNAL:
                    continue
                first = min(first, anyio.current_time())
                name = signal.Signals(number).name
                logger.info("%s: %s", name, "stopping now" if again else "draining")
                for shutdown in self._shutdowns:
                    shutdown.stop()


def _open_blocking_store(address: Address, keys: Keys, bounds: Bounds) -> BlockingStore:
    return BlockingStore(address.blocking_client(), keys, bounds)


async def _give_up(names: list[str]) -> None:
    """End a process that jobs which swallow their cancellation would keep for ever."""
    logging.shutdown()
    os._exit(1)


def _leave_abandoned_threads(code: int) -> None:
    """Jobs in threads cannot be interrupted, and the interpreter would wait for them."""
    left = [
        thread
        for thread in threading.enumerate()
        if thread is not threading.current_thread()
        and not thread.daemon
        and thread.name.startswith("AnyIO worker thread")
    ]
    for thread in left:
        thread.join(JOIN_LIMIT / len(left))
    if any(thread.is_alive() for thread in left):
        logger.error("%d jobs in threads do not end; leaving them behind", len(left))
        logging.shutdown()
        os._exit(code)
