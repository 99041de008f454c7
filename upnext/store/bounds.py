"""The limits that a store's owner sets once."""

from __future__ import annotations

from attrs import Factory, field, frozen


def _of_submits(it: Bounds) -> tuple[str, str, str]:
    return str(it.events_kept), str(it.record_ttl), str(it.most_waiting)


@frozen(kw_only=True)
class Bounds:
    """What the scripts keep and for how long."""

    record_ttl: int = 86_400_000
    """Milliseconds that the record of a finished job lives."""
    events_kept: int = 50_000
    """About how many events wait in a function's event stream."""
    most_waiting: int = 0
    """Refuse new jobs of a function when so many wait; 0: no limit. Nothing is ever trimmed."""
    log_bytes: int = 1 << 20
    """Most bytes of a job's log, 100 for each line included; the oldest lines go."""
    output_bytes: int = 8 << 20
    """Most bytes of what a job streams, 100 for each chunk included; the oldest chunks go."""
    most_rescues: int = 3
    """A job that was lost with its worker so often is failed and becomes a dead letter."""
    unhandled_ttl: int = 7 * 86_400_000
    """Milliseconds that an event is kept which nobody handles."""
    unhandled_kept: int = 10_000
    """About how many of those are kept, the newest."""
    handler_ttl: int = 7 * 86_400_000
    """Milliseconds after which a handler is forgotten that no worker declares any more."""
    dead_ttl: int = 30 * 86_400_000
    """Milliseconds that a dead letter is kept; 0: until it is replayed or purged."""
    dead_most: int = 10_000
    """Dead letters of a function; past it the oldest is dropped. 0: no limit."""
    of_submits: tuple[str, str, str] = field(
        init=False, repr=False, default=Factory(_of_submits, takes_self=True)
    )
    """`events_kept`, `record_ttl` and `most_waiting` as enqueue's arguments: to write a number as
    text costs as much as five words that are text, and these go with every submit."""
