"""What the environment says, and what holds where it says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from upnext.errors import ConfigurationError
from upnext.settings import QueueSettings, RuntimeMode, RuntimeProfile, Settings


def test_the_defaults() -> None:
    settings = Settings.load({})
    assert (settings.redis_url, settings.workspace_id) == (None, "local")
    assert settings.runtime_mode is RuntimeMode.SELF_HOSTED
    assert (settings.url, settings.api_key, settings.debug) == (None, None, False)
    assert settings.events_kept == 50_000
    assert (settings.pace.min_delta, settings.pace.min_interval) == (0.01, 0.2)
    assert settings.queue == QueueSettings(
        profile=RuntimeProfile.SAFE,
        batch_size=100,
        inbox_size=0,
        outbox_size=10_000,
        flush_interval_ms=5.0,
        claim_timeout_ms=30_000,
        job_ttl_seconds=86_400,
        stream_maxlen=0,
        max_deliveries=3,
    )


def test_a_file_fills_in_what_the_environment_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("UPNEXT_REDIS_URL=redis://file\nUPNEXT_WORKSPACE_ID=file\n")
    monkeypatch.delenv("UPNEXT_WORKSPACE_ID", raising=False)
    monkeypatch.setenv("UPNEXT_REDIS_URL", "redis://environment")
    settings = Settings.load()
    assert (settings.redis_url, settings.workspace_id) == ("redis://environment", "file")


@pytest.mark.parametrize(
    ("variable", "text", "read"),
    [
        ("UPNEXT_REDIS_URL", "redis://r:1/2", lambda s: s.redis_url == "redis://r:1/2"),
        ("UPNEXT_URL", "https://server/", lambda s: s.url == "https://server"),
        ("UPNEXT_API_KEY", "k3y", lambda s: s.api_key == "k3y"),
        ("UPNEXT_WORKSPACE_ID", "acme", lambda s: s.workspace_id == "acme"),
        ("UPNEXT_DEBUG", "yes", lambda s: s.debug),
        ("UPNEXT_STATUS_STREAM_MAX_LEN", "9", lambda s: s.events_kept == 9),
        ("UPNEXT_PROGRESS_MIN_DELTA", "0.5", lambda s: s.pace.min_delta == 0.5),
        ("UPNEXT_PROGRESS_MIN_INTERVAL_SECONDS", "3", lambda s: s.pace.min_interval == 3),
    ],
)
def test_a_variable_counts_and_an_empty_one_does_not(variable: str, text: str, read) -> None:
    assert read(Settings.load({variable: f" {text} "}))
    assert Settings.load({variable: " "}) == Settings.load({})


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("UPNEXT_URL", "localhost:8080"),
        ("UPNEXT_DEBUG", "maybe"),
        ("UPNEXT_RUNTIME_MODE", "cloud"),
        ("UPNEXT_STATUS_STREAM_MAX_LEN", "0"),
        ("UPNEXT_PROGRESS_MIN_DELTA", "1.5"),
        ("UPNEXT_PROGRESS_MIN_INTERVAL_SECONDS", "-1"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(variable: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=variable) as caught:
        Settings.load({variable: text})
    assert "\n" not in str(caught.value)


def test_whoever_shares_a_redis_has_a_workspace_of_his_own() -> None:
    shared = {"UPNEXT_RUNTIME_MODE": "cloud_runtime"}
    for workspace in ({}, {"UPNEXT_WORKSPACE_ID": "local"}):
        with pytest.raises(ConfigurationError, match="set UPNEXT_WORKSPACE_ID"):
            Settings.load({**shared, **workspace})
    settings = Settings.load({**shared, "UPNEXT_WORKSPACE_ID": "acme"})
    assert settings.runtime_mode is RuntimeMode.CLOUD_RUNTIME


def test_a_key_is_shown_nowhere() -> None:
    assert "s3cret" not in repr(Settings.load({"UPNEXT_API_KEY": "s3cret"}))
    with pytest.raises(ConfigurationError) as caught:
        Settings.load({"UPNEXT_API_KEY": "s3cret\n\x00"})
    assert "s3cret" not in str(caught.value)
