"""The environment's settings of tracking, and what an API sets over them."""

from __future__ import annotations

from typing import Any

import pytest

import upnext
from upnext.errors import ConfigurationError
from upnext.settings import ApiTrackingSettings, Settings


def test_every_setting_is_read() -> None:
    environ = {
        "UPNEXT_API_TRACKING_NORMALIZE_PATHS": "false",
        "UPNEXT_API_REQUEST_EVENTS_ENABLED": "no",
        "UPNEXT_API_REQUEST_EVENTS_SAMPLE_RATE": "0.25",
        "UPNEXT_API_REQUEST_EVENTS_SLOW_MS": "0",
        "UPNEXT_API_REQUEST_EVENTS_STREAM_MAX_LEN": "7",
    }
    assert Settings.load({}).api_tracking == ApiTrackingSettings()
    assert Settings.load(environ).api_tracking == ApiTrackingSettings(
        normalize_paths=False,
        events_enabled=False,
        events_sample_rate=0.25,
        events_slow_ms=0.0,
        events_stream_max_len=7,
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("API_TRACKING_NORMALIZE_PATHS", "maybe"),
        ("API_REQUEST_EVENTS_ENABLED", "2"),
        ("API_REQUEST_EVENTS_SAMPLE_RATE", "1.1"),
        ("API_REQUEST_EVENTS_SLOW_MS", "-1"),
        ("API_REQUEST_EVENTS_STREAM_MAX_LEN", "0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"UPNEXT_{name}="):
        Settings.load({f"UPNEXT_{name}": text})


def test_an_api_overrides_what_it_names() -> None:
    settings = ApiTrackingSettings(events_sample_rate=0.5, events_slow_ms=50)
    config = upnext.ApiTrackingConfig(events_sample_rate=0, normalize_paths=False)
    assert config.over(settings) == ApiTrackingSettings(
        events_sample_rate=0, events_slow_ms=50, normalize_paths=False
    )
    assert upnext.ApiTrackingConfig().over(settings) == settings


@pytest.mark.parametrize(
    ("name", "value", "limit"),
    [
        ("events_sample_rate", 1.5, "from 0 to 1"),
        ("events_sample_rate", -0.1, "from 0 to 1"),
        ("events_slow_ms", -1, "0 or more"),
        ("events_stream_max_len", 0, "1 or more"),
    ],
)
def test_an_api_cannot_ask_for_what_cannot_be(name: str, value: Any, limit: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be {limit}, not"):
        upnext.ApiTrackingConfig(**{name: value})
