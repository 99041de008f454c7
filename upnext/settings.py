"""Settings: read once at the entry point from the environment, then passed down frozen."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlsplit

from attrs import evolve, field, frozen
from dotenv import dotenv_values

from upnext.errors import ConfigurationError
from upnext.model.report import Pace

PREFIX = "UPNEXT_"
V = TypeVar("V")


class RuntimeProfile(StrEnum):
    """How much a worker takes in advance."""

    SAFE = "safe"
    """Claims no more than it can start at once."""
    THROUGHPUT = "throughput"
    """Prefetches, so that short jobs never wait for a round trip."""


class RuntimeMode(StrEnum):
    """Who else may share the Redis."""

    SELF_HOSTED = "self_hosted"
    """Nobody but this installation, unless it names a workspace of its own."""
    CLOUD_RUNTIME = "cloud_runtime"
    """Other installations: without a workspace of its own nothing is started."""


@frozen(kw_only=True)
class QueueSettings:
    """How a worker takes jobs in and writes results back (`UPNEXT_QUEUE_*`)."""

    profile: RuntimeProfile = RuntimeProfile.SAFE
    batch_size: int = 100
    """Most jobs in one claim or one settlement."""
    inbox_size: int = 0
    """Jobs claimed in advance of a free executor; the safe profile claims none."""
    outbox_size: int = 10_000
    """Finished jobs that may wait for the flusher before executors are held up."""
    flush_interval_ms: float = 5.0
    """Longest time a finished job waits for company before it is written."""
    claim_timeout_ms: int = 30_000
    """Lease: a job whose worker did not renew for so long is given to another."""
    job_ttl_seconds: int = 86_400
    """How long the record of a finished job is kept."""
    stream_maxlen: int = 0
    """Refuse new jobs of a function while so many wait; 0: no limit."""
    max_deliveries: int = 3
    """A job lost with its worker so often becomes a dead letter."""
    dead_letter_ttl_seconds: int = 2_592_000
    """How long a dead letter is kept; 0: until it is replayed or purged."""
    dlq_stream_maxlen: int = 10_000
    """Dead letters kept of a function; past it the oldest is dropped. 0: no limit."""


SAFE = QueueSettings()
THROUGHPUT = evolve(SAFE, profile=RuntimeProfile.THROUGHPUT, batch_size=200, inbox_size=1000)


@frozen(kw_only=True)
class ApiTrackingSettings:
    """What is kept of the requests that an API serves (`UPNEXT_API_*`)."""

    normalize_paths: bool = True
    """Count by the routes' templates; False: by the paths that were asked for."""
    events_enabled: bool = True
    """Keep single requests, too."""
    events_sample_rate: float = 1.0
    """The part of the requests that is kept, besides errors and slow ones."""
    events_slow_ms: float = 500.0
    """Milliseconds from which on a request is slow."""
    events_stream_max_len: int = 50_000
    """How many are kept, the newest."""


@frozen(kw_only=True)
class Settings:
    """Everything the environment says."""

    redis_url: str | None = None
    workspace_id: str = "local"
    runtime_mode: RuntimeMode = RuntimeMode.SELF_HOSTED
    queue: QueueSettings = field(factory=QueueSettings)
    events_kept: int = 50_000
    """About how many events wait in each function's stream (`UPNEXT_STATUS_STREAM_MAX_LEN`)."""
    pace: Pace = field(factory=Pace)
    """How often a job's progress is told (`UPNEXT_PROGRESS_MIN_*`)."""
    api_tracking: ApiTrackingSettings = field(factory=ApiTrackingSettings)
    debug: bool = False
    url: str | None = None
    """The server that artifacts go to."""
    api_key: str | None = field(default=None, repr=False)
    health_file: str | None = None
    """What a service touches while it works; None: `.upnext_alive` among the temporary files."""
    artifact_dir: str | None = None
    """Where artifacts go when there is no server."""

    @classmethod
    def load(cls, environ: Mapping[str, str | None] | None = None) -> Settings:
        """Read the environment; `.env` in the working directory fills in what it lacks.

        Raises:
            ConfigurationError: a value cannot be used; the message names the variable.
        """
        if environ is None:
            environ = {**dotenv_values(".env"), **os.environ}
        read = _Reader(environ)
        workspace = read("WORKSPACE_ID", "local", str)
        mode = read("RUNTIME_MODE", RuntimeMode.SELF_HOSTED, RuntimeMode)
        if mode is RuntimeMode.CLOUD_RUNTIME and workspace == "local":
            raise ConfigurationError(
                f"{PREFIX}RUNTIME_MODE={mode.value!r}: set {PREFIX}WORKSPACE_ID to a name of your"
                " own, for others share this Redis"
            )
        profile = read("QUEUE_RUNTIME_PROFILE", RuntimeProfile.SAFE, RuntimeProfile)
        base = THROUGHPUT if profile is RuntimeProfile.THROUGHPUT else SAFE
        batch_size = read("QUEUE_BATCH_SIZE", base.batch_size, _at_least(1))
        return cls(
            redis_url=read("REDIS_URL", None, str),
            workspace_id=workspace,
            runtime_mode=mode,
            events_kept=read("STATUS_STREAM_MAX_LEN", 50_000, _at_least(1)),
            pace=Pace(
                min_delta=read("PROGRESS_MIN_DELTA", 0.01, _fraction),
                min_interval=read("PROGRESS_MIN_INTERVAL_SECONDS", 0.2, _not_negative),
            ),
            api_tracking=ApiTrackingSettings(
                normalize_paths=read("API_TRACKING_NORMALIZE_PATHS", True, _flag),
                events_enabled=read("API_REQUEST_EVENTS_ENABLED", True, _flag),
                events_sample_rate=read("API_REQUEST_EVENTS_SAMPLE_RATE", 1.0, _fraction),
                events_slow_ms=read("API_REQUEST_EVENTS_SLOW_MS", 500.0, _not_negative),
                events_stream_max_len=read(
                    "API_REQUEST_EVENTS_STREAM_MAX_LEN", 50_000, _at_least(1)
                ),
            ),
            debug=read("DEBUG", False, _flag),
            url=read("URL", None, _http_url, secret=True),
            api_key=read("API_KEY", None, _token, secret=True),
            artifact_dir=read("ARTIFACT_DIR", None, str),
            health_file=read("HEALTH_FILE", None, str),
            queue=QueueSettings(
                profile=profile,
                batch_size=batch_size,
                inbox_size=read("QUEUE_INBOX_SIZE", base.inbox_size, _at_least(0)),
                outbox_size=read("QUEUE_OUTBOX_SIZE", base.outbox_size, _at_least(1)),
                flush_interval_ms=read(
                    "QUEUE_FLUSH_INTERVAL_MS", base.flush_interval_ms, _positive
                ),
                claim_timeout_ms=read(
                    "QUEUE_CLAIM_TIMEOUT_MS", base.claim_timeout_ms, _at_least(100)
                ),
                job_ttl_seconds=read("QUEUE_JOB_TTL_SECONDS", base.job_ttl_seconds, _at_least(1)),
                stream_maxlen=read("QUEUE_STREAM_MAXLEN", base.stream_maxlen, _at_least(0)),
                max_deliveries=read("QUEUE_MAX_DELIVERIES", base.max_deliveries, _at_least(1)),
                dead_letter_ttl_seconds=read(
                    "QUEUE_DEAD_LETTER_TTL_SECONDS", base.dead_letter_ttl_seconds, _at_least(0)
                ),
                dlq_stream_maxlen=read(
                    "QUEUE_DLQ_STREAM_MAXLEN", base.dlq_stream_maxlen, _at_least(0)
                ),
            ),
        )


@frozen
class _Reader:
    environ: Mapping[str, str | None]

    def __call__(
        self, name: str, default: V, parse: Callable[[str], V], *, secret: bool = False
    ) -> V:
        text = (self.environ.get(PREFIX + name) or "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            shown = "" if secret else f"={text!r}"
            raise ConfigurationError(f"{PREFIX}{name}{shown}: {error}") from None


def _at_least(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError("must be a whole number") from None
        if value < least:
            raise ValueError(f"must be {least} or more")
        return value

    return parse


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("must be a number") from None
    if not 0 < value < math.inf:
        raise ValueError("must be more than 0, and finite")
    return value


def _not_negative(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("must be a number") from None
    if not 0 <= value < math.inf:
        raise ValueError("must be 0 or more, and finite")
    return value


def _fraction(text: str) -> float:
    if (value := _not_negative(text)) > 1:
        raise ValueError("must be a fraction from 0 to 1")
    return value


def _flag(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("must be true or false")


def _http_url(text: str) -> str:
    parts = urlsplit(text)  # raises ValueError itself, for a bad host
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be like http://localhost:8080")
    if "@" in parts.netloc or parts.query or parts.fragment or not text.isprintable():
        raise ValueError(
            "must be like http://localhost:8080, without user, password, query or fragment"
        )
    return text.rstrip("/")


def _token(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError("must be printable ASCII characters")
    return text
