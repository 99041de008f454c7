"""The composition root: settings → broker → the components of one process."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal, TypeVar

import anyio

from upnext.errors import CodecError, ConfigurationError
from upnext.redis.embedded import embedded
from upnext.service.health_file import HealthFile
from upnext.service.surroundings import Surroundings
from upnext.service.tree import Service
from upnext.settings import Settings
from upnext.supervision.lifeline import Lifeline
from upnext.tasks.modules import is_importing
from upnext.tasks.registry import Registry, merge
from upnext.worker.worker import Worker

if TYPE_CHECKING:
    from upnext.api.api import Api  # costs too much where there is none

__all__ = ["run", "run_components"]

logger = logging.getLogger("upnext.runner")

C = TypeVar("C", bound="Worker | Api")

JOIN_LIMIT = 1.0
"""Seconds that abandoned job threads get at the very end."""


def run(
    *components: Worker | Api,
    redis_url: str | None = None,
    backend: Literal["asyncio", "trio"] = "asyncio",
    use_uvloop: bool = False,
    only: Sequence[str] | None = None,
    worker_timeout: float = 30.0,
    api_timeout: float = 10.0,
) -> int:
    """Run workers and APIs until SIGTERM or SIGINT, and return the exit code.

    At the first signal APIs take no more requests, and those that are open get `api_timeout`
    seconds, while the workers go on. Then the workers claim no more jobs, and those that run get
    `worker_timeout` seconds. A second signal, or the end of that time, cancels what still runs;
    those jobs go back to the queue without spending an attempt. A component that fails ends the
    others the same way.

    Args:
        *components: The workers and APIs.
        redis_url: The broker of all of them; by default what each one names itself, else
            UPNEXT_REDIS_URL, else an embedded Valkey in `.upnext/`.
        backend: The event loop.
        use_uvloop: Run asyncio on uvloop.
        only: Names of the components to run; the others are declared only.
        worker_timeout: Seconds of grace for running jobs.
        api_timeout: Seconds of grace for open requests.

    Returns:
        0 after a clean drain, 1 when a component failed or results could not be written.

    Raises:
        ConfigurationError: The components cannot run as they are; one line says why.
        redis.exceptions.RedisError: The broker cannot be reached at the start.
    """
    return run_components(
        components,
        redis_url=redis_url,
        backend=backend,
        use_uvloop=use_uvloop,
        only=only,
        worker_timeout=worker_timeout,
        api_timeout=api_timeout,
    )


def run_components(
    components: Sequence[Worker | Api],
    *,
    redis_url: str | None,
    backend: Literal["asyncio", "trio"],
    use_uvloop: bool,
    only: Sequence[str] | None,
    worker_timeout: float,
    api_timeout: float,
    dev: bool = False,
    skip_build: bool = False,
    lifeline: Lifeline | None = None,
    on_started: Callable[[], None] | None = None,
) -> int:
    """`run`, with what the command line knows besides.

    Args:
        dev: Serve frontends by their dev servers.
        skip_build: Build no frontends.
        lifeline: The way to the process that supervises this one.
        on_started: Called once, when all take jobs and requests.
    """
    workers, apis = _sorted(components)
    # Whoever imports multiprocessing has an `__mp_main__`: elsewhere it is the program itself.
    spawned = getattr(sys.modules.get("__mp_main__"), "__name__", "") == "__mp_main__"
    if spawned or is_importing():
        raise ConfigurationError(
            "upnext.run() was reached while the file was only being imported:"
            ' put the call under `if __name__ == "__main__":`'
        )
    _speak_up()
    for worker in workers:
        worker.discover()
    _check_crons(merge(worker.registry for worker in workers))
    for component in components:
        component.redis_url = redis_url or component.redis_url
    workers, apis = _only_named(workers, only), _only_named(apis, only)
    if not workers and not apis:
        raise ConfigurationError("there is no worker and no API to run")
    settings = Settings.load()
    with ExitStack() as stack:
        url, server = redis_url or settings.redis_url, None
        if url is None and any(component.redis_url is None for component in (*workers, *apis)):
            if lifeline is not None:
                lifeline.hold_embedded()
            server = stack.enter_context(embedded())
            if lifeline is None:
                logger.info(server.describe())
            url = server.url
            for name, value in server.environment.items():
                stack.enter_context(_environment(name, value))
        if url is not None:
            # For worker processes, and for whatever the jobs themselves start or submit.
            stack.enter_context(_environment("UPNEXT_REDIS_URL", url))
        sockets = {}
        if lifeline is not None:
            sockets = {api: lifeline.listen(api.name, api.host, api.port) for api in apis}
        service = Service(
            workers=workers,
            apis=apis,
            around=Surroundings(settings, url),
            server=server,
            worker_timeout=worker_timeout,
            api_timeout=api_timeout,
            health_file=HealthFile.at(settings.health_file),
            dev=dev,
            skip_build=skip_build,
            sockets=sockets,
            lifeline=lifeline,
            on_started=on_started,
        )
        options = {"use_uvloop": True} if use_uvloop else {}
        anyio.run(service.run, backend=backend, backend_options=options)
    _leave_abandoned_threads(1 if service.failed else 0)
    return 1 if service.failed else 0


def _sorted(components: Sequence[Worker | Api]) -> tuple[list[Worker], list[Api]]:
    workers = [component for component in components if isinstance(component, Worker)]
    apis = [component for component in components if not isinstance(component, Worker)]
    if apis:
        from upnext.api.api import Api

        for api in apis:
            if not isinstance(api, Api):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigurationError(f"upnext.run() runs workers and APIs, not {api!r}")
    return workers, apis


def _only_named(components: Sequence[C], names: Sequence[str] | None) -> list[C]:
    """Those with these names, each once, in the order given; all of them for None."""
    distinct = list(dict.fromkeys(components))
    return [component for component in distinct if names is None or component.name in names]


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
