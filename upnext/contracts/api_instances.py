"""The record by which a running API says that it is there."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from attrs import frozen


@frozen(kw_only=True)
class ApiInstance:
    """One process that serves an API."""

    id: str
    api_name: str
    started_at: float
    """Unix seconds by its own clock, as all times here."""
    last_heartbeat: float
    host: str
    port: int
    endpoints: Sequence[str]
    """Method and template of its routes: `GET /orders/{id}`."""
    hostname: str
    pid: int

    def pack(self) -> bytes:
        """The record."""
        return orjson.dumps({name: getattr(self, name) for name in _FIELDS})

    @classmethod
    def parse(cls, record: bytes) -> ApiInstance:
        """Read a record; fields of other releases are passed over.

        Raises:
            ValueError: This is not a record of ours.
        """
        read = orjson.loads(record)
        try:
            return cls(**{name: read[name] for name in _FIELDS})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the record of an API: {error!r}") from None


_FIELDS = (
    "id",
    "api_name",
    "started_at",
    "last_heartbeat",
    "host",
    "port",
    "endpoints",
    "hostname",
    "pid",
)
