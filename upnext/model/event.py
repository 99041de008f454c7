"""An event at each border it crosses: sent, taken to be routed, concluded, looked at."""

from __future__ import annotations

from enum import StrEnum

from attrs import define, field, frozen


@define(kw_only=True, eq=False)  # not frozen, as NewJob
class NewEvent:
    """What a sender hands to the store."""

    id: str
    name: str
    data: bytes
    """A JSON object, opaque to the scripts: the arguments of every handler."""
    key: str = ""
    """Idempotency key: a second event of this name with it is not stored, for a time."""
    parent_id: str = ""
    """The job it was sent in."""
    root_id: str = ""
    deadline: int | None = None
    """That of the job it was sent in; Unix milliseconds."""


@frozen
class Sent:
    """The store's answer to one event."""

    id: str
    """The event's own id, or that of the one which holds the key."""
    created: bool


@define(kw_only=True, eq=False)
class TakenEvent:
    """One event that a router holds for the length of a lease."""

    entry: str
    """Its place in the stream; with the router's id the fence of its conclusion."""
    id: str
    name: str
    data: bytes
    sent_at: int
    """Unix milliseconds of the store's clock."""
    parent_id: str = ""
    root_id: str = ""
    deadline: int | None = None
    done: frozenset[str] = frozenset()
    """Handlers that have their job from an earlier routing, which others refused."""


@frozen(kw_only=True)
class Taken:
    """The answer to one take."""

    events: list[TakenEvent] = field(factory=list[TakenEvent])
    version: str = ""
    """Names the state of the register of handlers."""
    handlers: dict[str, bytes] | None = None
    """The register, function -> JSON; None when the caller has this version of it."""
    more: bool = False
    """It is what was asked for: probably more waits."""


class Routing(StrEnum):
    """What became of one event."""

    ROUTED = "routed"
    """Every handler has its job."""
    UNHANDLED = "unhandled"
    """No handler matches: it is set aside, to be seen for a time."""
    PARTIAL = "partial"
    """A handler's queue was full: the event stays, to be routed again after the lease."""


@define(kw_only=True)
class Concluded:
    """What a router says of one event it took."""

    entry: str
    id: str
    routing: Routing
    done: frozenset[str] = frozenset()
    """Of a partial routing: the handlers that have their job."""


@frozen(kw_only=True)
class StoredEvent:
    """One event as a look into the store shows it."""

    id: str
    name: str
    data: bytes
    sent_at: int
    parent_id: str = ""


@frozen(kw_only=True)
class EventsView:
    """What the store holds of events."""

    waiting: int
    """Events that no router has concluded yet."""
    oldest: int | None
    """When the first of them was sent, Unix milliseconds."""
    handlers: dict[str, bytes]
    """Function -> JSON of what it listens to."""
    unhandled: list[StoredEvent]
    """Newest first."""
