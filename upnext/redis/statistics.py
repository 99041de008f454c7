"""A snapshot of what a link does."""

from __future__ import annotations

from attrs import frozen


@frozen
class Statistics:
    """What a link has done so far, and what it does now.

    Attributes:
        commands: Commands sent, repeated ones counted again.
        writes: Times the socket was written to.
        reads: Times something was read from it.
        reconnects: Connections made after the first.
        epoch: Number of the present or last connection, from 1; 0 before the first.
        pending: Batches and subscriptions sent and not answered yet.
        unsent: Those not sent yet.
        parked: Callers that wait while another one reads for them.
        channels: Channels subscribed to.
        connected: There is a connection.
        connected_at: When the last one was made, on the event loop's clock.
    """

    commands: int
    writes: int
    reads: int
    reconnects: int
    epoch: int
    pending: int
    unsent: int
    parked: int
    channels: int
    connected: bool
    connected_at: float | None
