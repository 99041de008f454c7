"""What a broker tells of its own fitness for a queue, and of the workers on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from upnext.cli.broker import functions_of

if TYPE_CHECKING:
    from upnext.cli.broker import Broker

# First releases with the fix, by series; https://redis.io/blog/security-advisory-cve-2025-49844/
# and https://github.com/valkey-io/valkey/releases. Series not named here and older than the last
# one never got it.
_FIXED_REDIS = {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2}
_FIXED_VALKEY = {(7, 2): 11, (8, 0): 6, (8, 1): 4}


@frozen
class Living:
    """One worker by its heartbeat."""

    name: str
    id: str
    place: str
    """Host and process id."""
    concurrency: int
    active: int
    processed: int
    age: float
    """Seconds since the heartbeat, by the broker's clock."""
    healthy: bool


@frozen
class Diagnosis:
    """The answer of `upnext health`."""

    broker: str
    server: str
    round_trip: float
    """Milliseconds."""
    workers: list[Living]
    warnings: list[str]
    unserved: dict[str, int] = field(factory=dict[str, int])
    """Functions that no living worker runs -> how many jobs of theirs wait."""

    @property
    def healthy(self) -> bool:
        return all(worker.healthy for worker in self.workers)

    def as_json(self) -> dict[str, Any]:
        """What `health --json` prints."""
        return {
            "healthy": self.healthy,
            "broker": self.broker,
            "server": self.server,
            "round_trip_ms": round(self.round_trip, 3),
            "workers": [
                {
                    "name": worker.name,
                    "id": worker.id,
                    "place": worker.place,
                    "concurrency": worker.concurrency,
                    "active_jobs": worker.active,
                    "jobs_processed": worker.processed,
                    "seconds_since_heartbeat": round(worker.age, 1),
                    "healthy": worker.healthy,
                }
                for worker in self.workers
            ],
            "unserved": [
                {"function": name, "waiting": count} for name, count in self.unserved.items()
            ],
            "warnings": self.warnings,
        }


def diagnose(broker: Broker) -> Diagnosis:
    """Ask the broker.

    Raises:
        redis.exceptions.RedisError: It cannot be reached, or refuses.
    """
    round_trip = broker.round_trip()
    told = broker.server()
    now = broker.now()
    heartbeats = broker.heartbeats()
    return Diagnosis(
        broker=broker.address.describe(),
        server=server_name(told),
        round_trip=round_trip,
        workers=[read_heartbeat(record, now) for record in heartbeats],
        warnings=warnings(told),
        unserved=_unserved(broker, heartbeats),
    )


def read_heartbeat(record: Mapping[str, Any], now: float) -> Living:
    """One worker's record; what it lacks counts as nothing, for it may be of another release."""
    seen = record.get("last_heartbeat")
    return Living(
        name=str(record.get("worker_name", "")),
        id=str(record.get("id", "")),
        place=f"{record.get('hostname', '?')}:{record.get('pid', '?')}",
        concurrency=_count(record.get("concurrency")),
        active=_count(record.get("active_jobs")),
        processed=_count(record.get("jobs_processed")),
        age=max(0.0, now - seen) if isinstance(seen, int | float) else 0.0,
        healthy=record.get("healthy", True) is True,
    )


def server_name(told: Mapping[str, Any]) -> str:
    """Product and version."""
    if "valkey_version" in told:
        return f"Valkey {told['valkey_version']}"
    return f"Redis {told.get('redis_version', '(unknown version)')}"


def warnings(told: Mapping[str, Any]) -> list[str]:
    """What is wrong with this server for a queue, each with what to do."""
    found: list[str] = []
    if str(told.get("role", "master")) != "master":
        found.append("This server is a replica: it takes no jobs. Name the primary in the URL.")
    policy = str(told.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        found.append(
            f"maxmemory-policy is {policy}: under pressure the server deletes jobs."
            " Set it to noeviction."
        )
    if "aof_enabled" in told and str(told["aof_enabled"]) == "0":
        found.append(
            "The append-only file is off: a crash loses every job since the last snapshot."
            " Set appendonly yes."
        )
    if _lacks_fix(told):
        found.append(
            f"{server_name(told)} is older than the fix of CVE-2025-49844 (scripts can take over"
            " the server), unless your distribution patched it. Update it."
        )
    return found


def _unserved(broker: Broker, heartbeats: list[dict[str, Any]]) -> dict[str, int]:
    # Of the functions that were ever declared only those are looked at that nobody runs.
    run = {name for record in heartbeats for name in functions_of(record)}
    counts = {name: broker.waiting(name) for name in sorted(set(broker.functions()) - run)}
    return {name: count for name, count in counts.items() if count}


def _lacks_fix(told: Mapping[str, Any]) -> bool:
    valkey = told.get("valkey_version")
    fixed = _FIXED_VALKEY if valkey else _FIXED_REDIS
    version = re.match(r"(\d+)\.(\d+)\.(\d+)", str(valkey or told.get("redis_version", "")))
    if version is None:
        return False
    major, minor, patch = (int(part) for part in version.groups())
    if (major, minor) > max(fixed):
        return False
    return patch < fixed.get((major, minor), patch + 1)


def _count(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0
