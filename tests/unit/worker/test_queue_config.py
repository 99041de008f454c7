from __future__ import annotations

from typing import Any

import pytest

from upnext import WorkerQueueConfig
from upnext.settings import QueueSettings


def test_what_is_set_overrides_and_the_rest_stays() -> None:
    settings = QueueSettings(batch_size=7, inbox_size=3)
    changed = WorkerQueueConfig(inbox_size=0, claim_timeout_ms=500).over(settings)
    assert (changed.batch_size, changed.inbox_size, changed.claim_timeout_ms) == (7, 0, 500)


def test_every_override_is_a_setting() -> None:
    config = WorkerQueueConfig(
        batch_size=1,
        inbox_size=0,
        outbox_size=1,
        flush_interval_ms=0.1,
        claim_timeout_ms=100,
        job_ttl_seconds=1,
        stream_maxlen=0,
    )
    changed = config.over(QueueSettings())
    assert changed.flush_interval_ms == 0.1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("inbox_size", -1),
        ("outbox_size", 0),
        ("flush_interval_ms", 0),
        ("claim_timeout_ms", 99),
        ("job_ttl_seconds", 0),
        ("stream_maxlen", -1),
        ("batch_size", "5"),
        ("inbox_size", 1.5),
        ("outbox_size", True),
        ("flush_interval_ms", "5"),
        ("flush_interval_ms", float("nan")),
        ("flush_interval_ms", float("inf")),
        ("claim_timeout_ms", float("nan")),
        ("job_ttl_seconds", []),
        ("stream_maxlen", float("inf")),
    ],
)
def test_what_cannot_work_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be"):
        WorkerQueueConfig(**{name: value})
