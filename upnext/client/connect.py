"""Find the queue: from a worker's URL, the settings, or the embedded server; or as tests say."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

import anyio.to_thread
from anyio.lowlevel import EventLoopToken, RunVar, current_token
from attrs import define, frozen

from upnext.client.client import Client
from upnext.client.ports import Queue
from upnext.contracts.keys import Keys
from upnext.errors import ConfigurationError
from upnext.redis.embedded import embedded_url
from upnext.redis.pool import current_link
from upnext.redis.url import Address
from upnext.settings import Settings
from upnext.store.blocking import BlockingStore
from upnext.store.bounds import Bounds
from upnext.store.store import Store


@frozen
class Whereabouts:
    """Where a queue is, and what its scripts keep."""

    address: Address
    keys: Keys
    bounds: Bounds

    def store(self) -> Store:
        """The queue, over this event loop's link to it."""
        return Store(current_link(self.address), self.keys, self.bounds)

    def blocking_store(self) -> BlockingStore:
        """The queue, for code that does not await."""
        return BlockingStore(self.address.blocking_client(), self.keys, self.bounds)


def locate(url: str | None = None, settings: Settings | None = None) -> Whereabouts:
    """Where the queue is. Blocks while the embedded server starts.

    Args:
        url: The server; None: UPNEXT_REDIS_URL, else the embedded server.
        settings: Everything else; None: what the environment says.

    Raises:
        ConfigurationError: a setting cannot be used.
        EmbeddedServerError: no URL is given and no server can run here.
    """
    settings = settings or Settings.load()
    try:
        return Whereabouts(
            Address.parse(url or settings.redis_url or embedded_url()),
            Keys(settings.workspace_id),
            bounds_of(settings),
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def bounds_of(settings: Settings) -> Bounds:
    """What the scripts keep, as the settings say."""
    queue = settings.queue
    return Bounds(
        record_ttl=queue.job_ttl_seconds * 1000,
        events_kept=settings.events_kept,
        most_waiting=queue.stream_maxlen,
        most_rescues=queue.max_deliveries,
    )


async def connect(url: str | None = None) -> Client:
    """This event loop's client of a queue. The first call finds the queue; later ones look it up.

    Args:
        url: The server; None: UPNEXT_REDIS_URL, else the embedded server.

    Raises:
        ConfigurationError: a setting cannot be used.
        EmbeddedServerError: no URL is given and no server can run here.
    """
    if (client := bound_client()) is not None:
        return client
    known = _known.get(None)
    if known is None:
        _known.set(known := {})
    found = known.get(url)
    if found is None:
        where = await anyio.to_thread.run_sync(locate, url)
        found = known.setdefault(url, _Found(where))
    return found.client()


@contextmanager
def bind(store: Queue) -> Generator[Client]:
    """Let everything submitted inside the block go to a given store, on this event loop.

    For tests and for whoever has a store of his own. Tasks started inside the block belong to it;
    so do the `*_sync` calls of worker threads started from there.

    Args:
        store: The queue, such as `upnext.testing.MemoryStore()`.
    """
    client = Client(store)
    token = _bound.set(_Binding(client, current_token()))
    try:
        yield client
    finally:
        _bound.reset(token)
        client.close()


def bound_client() -> Client | None:
    """The client of the `bind` block around, if there is one on this event loop."""
    binding = _bound.get()
    # A context can be copied to another event loop, where the store is of no use.
    if binding is None or binding.loop != current_token():
        return None
    return binding.client


def is_bound() -> bool:
    """Whether there is a `bind` block around; in a worker thread, around what started it."""
    return _bound.get() is not None


@frozen
class _Binding:
    client: Client
    loop: EventLoopToken


@define(eq=False)
class _Found:
    """A queue that was found, and the client of the link that is open now."""

    where: Whereabouts
    _client: Client | None = None
    _link: object = None

    def client(self) -> Client:
        link = current_link(self.where.address)
        if self._client is None or link is not self._link:  # `close_links` was called
            self._client, self._link = Client(self.where.store()), link
        return self._client


_known: RunVar[dict[str | None, _Found]] = RunVar("upnext.client.known")
_bound: ContextVar[_Binding | None] = ContextVar("upnext_bound_store", default=None)
