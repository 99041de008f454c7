"""Find the queue: from a worker's URL, the settings, or the embedded server; or as tests say."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

import anyio
import anyio.to_thread
from anyio import NoEventLoopError
from anyio.lowlevel import EventLoopToken, current_token
from attrs import define, field, frozen

from upnext.client.client import Client
from upnext.client.ports import BlockingQueue, Origin, Queue
from upnext.contracts.keys import Keys
from upnext.errors import ConfigurationError
from upnext.redis.embedded import embedded_url
from upnext.redis.link import Link
from upnext.redis.loops import LoopVar
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
        dead_ttl=queue.dead_letter_ttl_seconds * 1000,
        dead_most=queue.dlq_stream_maxlen,
    )


async def connect(url: str | None = None, origin: Origin | None = None) -> Client:
    """This event loop's client of a queue. The first call finds the queue; later ones look it up.

    Args:
        url: The server; None: UPNEXT_REDIS_URL, else the embedded server.
        origin: Who declared the task that is about to be submitted, for a test's stand-in.

    Raises:
        ConfigurationError: a setting cannot be used.
        EmbeddedServerError: no URL is given and no server can run here.
    """
    if (client := client_here(url, origin)) is not None:
        return client
    known = _known.get()
    if known is None:
        _known.set(known := _Known())
    async with known.search:  # of those who come first together, one looks for all
        found = known.queues.get(url)
        if found is None:
            where = await anyio.to_thread.run_sync(locate, url)
            found = known.queues[url] = _Found(where)
    return found.client()


def client_here(url: str | None, origin: Origin | None) -> Client | None:
    """What `connect` returns, where the queue is known already."""
    if (_bound.get() is not None or _everywhere) and (client := bound_client(origin)) is not None:
        return client
    known = _known.get()
    if known is None or (found := known.queues.get(url)) is None:
        return None
    return found.client()


@contextmanager
def bind(
    store: Queue, *, blocking: BlockingQueue | None = None, everywhere: bool = False
) -> Generator[Client]:
    """Let everything submitted inside the block go to a given store, on this event loop.

    For tests and for whoever has a store of his own. Tasks started inside the block belong to it;
    so do the `*_sync` calls of worker threads started from there.

    Args:
        store: The queue, such as `upnext.testing.MemoryStore()`.
        blocking: The same queue for `*_sync` calls on the event loop's own thread.
        everywhere: Let whatever else runs in this process belong to it, too: other tasks of the
            event loop, and threads of any making. Another event loop is refused.
    """
    client = Client(store)
    binding = _Binding(store, blocking, everywhere, current_token(), client)
    try:
        with _bind(binding):
            yield client
    finally:
        client.close()


@contextmanager
def stand_in(
    store: Queue, blocking: BlockingQueue, meet: Callable[[Origin], None]
) -> Generator[None]:
    """Let everything submitted in this process go to a store that belongs to no event loop.

    For tests. The innermost block counts; the end of the block undoes it, whatever happened.

    Args:
        store: The queue. It may be called from several event loops and threads.
        blocking: The same queue for the `*_sync` calls.
        meet: Told who declared a task, before it is submitted.
    """
    with _bind(_Binding(store, blocking, everywhere=True, meet=meet)):
        yield


@contextmanager
def _bind(binding: _Binding) -> Generator[None]:
    token = _bound.set(binding)
    if binding.everywhere:
        _everywhere.append(binding)
    try:
        yield
    finally:
        binding.over = True  # for contexts that were copied meanwhile
        if binding.everywhere:
            _everywhere.remove(binding)
        _bound.reset(token)


def bound_client(origin: Origin | None = None) -> Client | None:
    """The client of the block around that names the queue, if there is one on this event loop.

    Raises:
        RuntimeError: a test's queue belongs to another event loop.
    """
    binding = _binding()
    if binding is None:
        return None
    if binding.loop is None:
        return binding.any_client(origin)
    if binding.loop == current_token():
        return binding.client
    # A context can be copied to another event loop, where the store is of no use.
    return binding.refuse_stranger()


def bound_loop() -> EventLoopToken | None:
    """The event loop of the block around that names the queue; a thread belongs to the block
    that its starter was in."""
    binding = _binding()
    return None if binding is None else binding.loop


def is_of_everybody() -> bool:
    """Whether the block around counts in threads of any making."""
    binding = _binding()
    return binding is not None and binding.everywhere


def bound_blocking(origin: Origin | None = None) -> BlockingQueue | None:
    """The queue that a block around names for calls which do not await.

    Raises:
        RuntimeError: a test's queue belongs to another event loop than this thread's.
    """
    binding = _binding()
    if binding is None or binding.loop is None:
        return None if binding is None else binding.any_blocking(origin)
    try:
        here = current_token()
    except NoEventLoopError:
        return None
    return binding.blocking if here == binding.loop else binding.refuse_stranger()


@define(eq=False)
class _Binding:
    """What a block says about the queue."""

    store: Queue
    blocking: BlockingQueue | None = None
    everywhere: bool = False
    loop: EventLoopToken | None = None
    """None: any."""
    client: Client | None = None
    meet: Callable[[Origin], None] | None = None
    over: bool = False

    def any_client(self, origin: Origin | None) -> Client:
        """A client for whichever event loop this is."""
        self._meet(origin)
        return Client(self.store)

    def any_blocking(self, origin: Origin | None) -> BlockingQueue | None:
        self._meet(origin)
        return self.blocking

    def refuse_stranger(self) -> None:
        """Rather than let a test submit to a server that it never meant."""
        if self.everywhere:
            raise RuntimeError(
                "the queue of this test belongs to another event loop: submit from the test's own,"
                " or use upnext.testing.fake_queue() or inline(), which belong to none"
            )

    def _meet(self, origin: Origin | None) -> None:
        if origin is not None and self.meet is not None:
            self.meet(origin)


def _binding() -> _Binding | None:
    binding = _bound.get()
    if binding is not None and not binding.over:
        return binding
    return _everywhere[-1] if _everywhere else None


@define(eq=False)
class _Found:
    """A queue that was found, and the client of the link that is open now."""

    where: Whereabouts
    _client: Client | None = None
    _link: Link | None = None

    def client(self) -> Client:
        if self._client is None or self._link is None or self._link.closed:
            self._link = current_link(self.where.address)
            self._client = Client(self.where.store())
        return self._client


@define(eq=False)
class _Known:
    """The queues that this event loop has found, by URL."""

    queues: dict[str | None, _Found] = field(factory=dict[str | None, _Found], init=False)
    search: anyio.Lock = field(factory=anyio.Lock, init=False)


_known: LoopVar[_Known] = LoopVar("upnext.client.known")
_bound: ContextVar[_Binding | None] = ContextVar("upnext_bound_store", default=None)
_everywhere: list[_Binding] = []
"""The blocks that count where no context says otherwise; the innermost one last."""
