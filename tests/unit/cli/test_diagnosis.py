"""What `upnext health` makes of what a server says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from upnext.cli.diagnosis import Diagnosis, Living, read_heartbeat, server_name, warnings

SOUND = {
    "redis_version": "7.4.6",
    "role": "master",
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
}


def test_a_sound_server_has_no_warnings() -> None:
    assert warnings(SOUND) == []


@pytest.mark.parametrize(
    ("difference", "line"),
    [
        ({"role": "slave"}, "This server is a replica"),
        ({"maxmemory_policy": "allkeys-lru"}, "maxmemory-policy is allkeys-lru"),
        ({"aof_enabled": 0}, "The append-only file is off"),
        ({"redis_version": "7.4.5"}, "Redis 7.4.5 is older than the fix of CVE-2025-49844"),
    ],
)
def test_what_is_wrong_with_a_server_is_said(difference: dict[str, Any], line: str) -> None:
    (warning,) = warnings(SOUND | difference)

    assert warning.startswith(line)


@pytest.mark.parametrize(
    ("told", "lacks"),
    [
        ({"redis_version": "7.0.15"}, True),
        ({"redis_version": "7.2.10"}, True),
        ({"redis_version": "7.2.11"}, False),
        ({"redis_version": "8.2.1"}, True),
        ({"redis_version": "8.4.0"}, False),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.3"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.4"}, False),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.0"}, False),
        ({"redis_version": "of my own"}, False),
        ({}, False),
    ],
)
def test_versions_with_known_holes(told: dict[str, Any], lacks: bool) -> None:
    assert any("CVE" in warning for warning in warnings(told)) is lacks


def test_the_server_names_itself() -> None:
    assert server_name({"redis_version": "7.2.4", "valkey_version": "9.1.0"}) == "Valkey 9.1.0"
    assert server_name({"redis_version": "7.0.15"}) == "Redis 7.0.15"


def test_a_heartbeat_is_read() -> None:
    record = {
        "id": "email.1f",
        "worker_name": "email",
        "last_heartbeat": 997.0,
        "concurrency": 8,
        "active_jobs": 3,
        "jobs_processed": 1024,
        "hostname": "box",
        "pid": 7,
        "healthy": False,
    }

    assert read_heartbeat(record, 1000.0) == Living(
        name="email",
        id="email.1f",
        place="box:7",
        concurrency=8,
        active=3,
        processed=1024,
        age=3.0,
        healthy=False,
    )


def test_a_strange_heartbeat_is_read_too() -> None:
    living = read_heartbeat({"concurrency": "eight", "last_heartbeat": None}, 1000.0)

    assert (living.name, living.concurrency, living.age, living.healthy) == ("", 0, 0.0, True)


@pytest.mark.parametrize(
    ("states", "healthy"), [([], True), ([True], True), ([True, False], False)]
)
def test_healthy_means_that_every_worker_can_claim(states: list[bool], healthy: bool) -> None:
    workers = [read_heartbeat({"healthy": state}, 0.0) for state in states]
    found = Diagnosis("redis://box", "Redis 8.4.0", 0.2, workers, [])

    assert found.healthy is healthy
    assert found.as_json()["healthy"] is healthy
