"""One API of a process: its frontends, its server, and the counting of what it serves."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from functools import partial
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskGroup, TaskStatus
from attrs import frozen

from upnext.api.api import Api
from upnext.api.serve import serve_api
from upnext.api.tracking import Tracker
from upnext.client.connect import bounds_of
from upnext.errors import UpNextError
from upnext.service.ending import Ending
from upnext.service.surroundings import Surroundings
from upnext.store.store import Store

__all__ = ["serve"]

logger = logging.getLogger("upnext.runner")

ANSWER_LIMIT = 0.5
"""Seconds in which requests whose time is over are answered so."""


async def serve(
    api: Api,
    around: Surroundings,
    *,
    sockets: Sequence[socket.socket] = (),
    stopping: anyio.Event,
    timeout: float,
    dev: bool,
    skip_build: bool,
    task_status: TaskStatus[None],
) -> bool:
    """Serve an API until it is told to stop; return whether it ended as it should.

    Args:
        api: As it was declared.
        around: What it shares.
        sockets: Listening already, if somebody else listens for it.
        stopping: Set when it shall end.
        timeout: Seconds that open requests get then.
        dev: Run the dev servers of its frontends instead of building them.
        skip_build: Build nothing.
        task_status: Told when it takes requests.
    """
    settings = around.settings
    store = around.store(around.address(api.redis_url), api.name, bounds_of(settings))
    tracker = Tracker(
        api.name,
        api.api_id,
        store,
        settings=settings.api_tracking,
        config=api.tracking,
        host=api.host,
        port=api.port,
        endpoints=partial(_endpoints_of, api),
    )
    ending = Ending()
    try:
        if not await _prepare(api, stopping, dev=dev, skip_build=skip_build):
            return True
        async with anyio.create_task_group() as beside:
            beside.start_soon(_end_requests, ending, stopping, timeout)
            if dev:
                await beside.start(api.static_files.run_dev)
            await serve_api(
                api,
                sockets=sockets,
                stopping=stopping,
                timeout=timeout + ANSWER_LIMIT,
                store=_Broker(store),
                outer=[tracker.middleware, ending.middleware],
                task_status=_Listening(api, tracker, beside, task_status),
            )
            beside.cancel_scope.cancel()
    except* UpNextError as errors:
        for error in _leaves(errors):
            logger.error("api %s: %s", api.name, str(error).removeprefix(f"api {api.name}: "))
    except* Exception:  # the other components are ended before the process is
        logger.exception("api %s crashed", api.name)
    else:
        if stopping.is_set():
            logger.info("api %s stopped", api.name)
            return True
        logger.error("api %s ended unexpectedly", api.name)
    return False


def _endpoints_of(api: Api) -> list[str]:
    """Its routes: `GET /orders/{id}`."""
    return [f"{method} {route.path.template}" for route in api.routes for method in route.methods]


def _leaves(errors: BaseExceptionGroup[UpNextError]) -> list[UpNextError]:
    found: list[UpNextError] = []
    for error in errors.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def _end_requests(ending: Ending, stopping: anyio.Event, timeout: float) -> None:
    await stopping.wait()
    ending.begin(timeout)


async def _prepare(api: Api, stopping: anyio.Event, *, dev: bool, skip_build: bool) -> bool:
    """Build the frontends; return False if it is time to stop instead."""
    if not len(api.static_files):
        return True
    done = False
    async with anyio.create_task_group() as building:

        async def stop() -> None:
            await stopping.wait()
            building.cancel_scope.cancel()

        building.start_soon(stop)
        await api.static_files.prepare(dev=dev, skip_build=skip_build)
        done = True
        building.cancel_scope.cancel()
    return done


@frozen
class _Broker:
    """What readiness asks, of the store."""

    store: Store

    async def ping(self) -> None:
        await self.store.now()


@frozen
class _Listening:
    """Hears where the server listens, from when on the instance is there for others."""

    api: Api
    tracker: Tracker
    beside: TaskGroup
    outer: TaskStatus[None]

    def started(self, value: list[str] | None = None) -> None:
        for url in value or ():
            logger.info("api %s listens at %s", self.api.name, url)
            place = urlsplit(url)
            self.tracker.listens_at(place.hostname or self.api.host, place.port or self.api.port)
        self.beside.start_soon(self.tracker.run, name="tracking")
        self.outer.started()
