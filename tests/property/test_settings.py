"""Every environment gives usable settings or one error that names the variable."""

from __future__ import annotations

from math import isfinite

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from upnext.errors import ConfigurationError
from upnext.settings import SAFE, THROUGHPUT, Settings

WHOLE = {
    "BATCH_SIZE": 1,
    "INBOX_SIZE": 0,
    "OUTBOX_SIZE": 1,
    "CLAIM_TIMEOUT_MS": 100,
    "JOB_TTL_SECONDS": 1,
    "STREAM_MAXLEN": 0,
    "MAX_DELIVERIES": 1,
}
numbers = st.integers(-5, 10**9).map(str) | st.floats().map(str) | st.text(max_size=8)


def load(variable: str, text: str) -> Settings | ConfigurationError:
    try:
        return Settings.load({variable: text})
    except ConfigurationError as error:
        return error


@given(st.sampled_from(sorted(WHOLE)), numbers)
def test_a_number_is_read_or_refused_by_name(name: str, text: str) -> None:
    variable = f"UPNEXT_QUEUE_{name}"
    loaded = load(variable, text)
    if isinstance(loaded, ConfigurationError):
        assert variable in str(loaded)
        assert "\n" not in str(loaded)
        return
    value = getattr(loaded.queue, name.lower())
    assert value == (int(text) if text.strip() else getattr(SAFE, name.lower()))
    assert value >= WHOLE[name]


@given(numbers)
@example("inf")
@example("nan")
def test_an_interval_is_a_positive_number(text: str) -> None:
    loaded = load("UPNEXT_QUEUE_FLUSH_INTERVAL_MS", text)
    if isinstance(loaded, ConfigurationError):
        assert "UPNEXT_QUEUE_FLUSH_INTERVAL_MS" in str(loaded)
        return
    assert loaded.queue.flush_interval_ms > 0
    assert isfinite(loaded.queue.flush_interval_ms)


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=10)))
def test_other_variables_are_nobodys_business(environ: dict[str, str]) -> None:
    others = {name: text for name, text in environ.items() if not name.startswith("UPNEXT_")}
    assert Settings.load(others) == Settings.load({})


def test_a_profile_sets_what_is_not_set_by_itself() -> None:
    profile = {"UPNEXT_QUEUE_RUNTIME_PROFILE": "throughput"}
    assert Settings.load({}).queue == SAFE
    assert Settings.load(profile).queue == THROUGHPUT
    mixed = Settings.load({**profile, "UPNEXT_QUEUE_INBOX_SIZE": "7"}).queue
    assert (mixed.inbox_size, mixed.batch_size) == (7, THROUGHPUT.batch_size)


@pytest.mark.parametrize("text", ["fast", "SAFE", "1"])
def test_an_unknown_profile_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="UPNEXT_QUEUE_RUNTIME_PROFILE"):
        Settings.load({"UPNEXT_QUEUE_RUNTIME_PROFILE": text})
