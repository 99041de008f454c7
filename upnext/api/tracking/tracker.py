"""The tracking of one API, put together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus
from attrs import frozen

from upnext.api.tracking.backlog import Backlog
from upnext.api.tracking.book import Book
from upnext.api.tracking.config import ApiTrackingConfig
from upnext.api.tracking.middleware import Middleware
from upnext.api.tracking.ports import ASGIApp, TrackPort
from upnext.api.tracking.presence import Presence
from upnext.api.tracking.reporter import INTERVAL, Reporter
from upnext.settings import ApiTrackingSettings


@frozen
class TrackerStatistics:
    """A snapshot."""

    unwritten: int
    """Requests whose counts were gathered and are not known to be written."""
    waiting: int
    """Single requests that wait to be written."""
    dropped: int
    """Single requests that there was no room for; they are counted all the same."""


class Tracker:
    """Counts what an API serves, and says that it is there.

    Args:
        api: The API's name.
        id: This instance's; of no other process and no earlier start of this one.
        store: Where it is written.
        settings: What the environment says.
        config: What the API sets differently.
        host: Where it listens.
        port: Where it listens.
        endpoints: Tells its routes, method and template: `GET /orders/{id}`.
        clock: Seconds, from wherever.
        interval: Seconds between two writes.
    """

    def __init__(
        self,
        api: str,
        id: str,  # noqa: A002 - what it is called everywhere
        store: TrackPort,
        *,
        settings: ApiTrackingSettings | None = None,
        config: ApiTrackingConfig | None = None,
        host: str = "",
        port: int = 0,
        endpoints: Callable[[], Sequence[str]] = tuple,
        clock: Callable[[], float] = time.monotonic,
        interval: float = INTERVAL,
    ) -> None:
        settings = ApiTrackingSettings() if settings is None else settings
        self.settings = settings if config is None else config.over(settings)
        self._clock = clock
        self._book = Book(self.settings)
        self._backlog = Backlog(self._book, self.settings.events_stream_max_len)
        self._reporter = Reporter(store, api, id, self._backlog, clock, interval)
        self._presence = Presence(store, api, id, host, port, endpoints)

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """An ASGI application that counts what `app` serves. It goes outermost.

        It counts from the first request on, be `run` there yet or not.
        """
        normalize = self.settings.normalize_paths
        return Middleware(app, self._book, self._clock, normalize=normalize)

    def listens_at(self, host: str, port: int) -> None:
        """Say where the API listens, where that is known only now: for port 0."""
        self._presence.host, self._presence.port = host, port

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Write what is counted, and beat. Never returns.

        Cancel it when the API serves no more: then it writes the rest, and takes the instance off
        the roll, both within bounds of their own. A store that is away does not end it.
        """
        async with anyio.create_task_group() as group:
            group.start_soon(self._reporter.run)
            group.start_soon(self._presence.run)
            task_status.started()

    def statistics(self) -> TrackerStatistics:
        """How the writing goes."""
        return TrackerStatistics(self._backlog.requests, self._book.sightings, self._book.dropped)
