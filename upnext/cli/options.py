"""Options that several commands share, declared once."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

RedisUrl = Annotated[
    str | None,
    Parameter(
        name="--redis-url",
        help="The broker: redis://, rediss:// or unix://. Default: UPNEXT_REDIS_URL.",
        show_default=False,
    ),
]
AsJson = Annotated[
    bool,
    Parameter(
        name="--json",
        negative="",
        help="Print one JSON document, for programs.",
        show_default=False,
    ),
]
JobId = Annotated[str, Parameter(help="As submit() returned it: <function>-<32 hex digits>.")]
Only = Annotated[tuple[str, ...], Parameter(name=["--only", "-o"], negative="", show_default=False)]
AsyncBackend = Literal["asyncio", "trio"]
Flag = Annotated[bool, Parameter(negative="", show_default=False)]
Concurrency = Annotated[int | None, Parameter(name=["--concurrency", "-c"])]
Verbose = Annotated[bool, Parameter(name=["--verbose", "-v"], negative="", show_default=False)]
LogFormat = Literal["text", "json"]
