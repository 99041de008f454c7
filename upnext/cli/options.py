"""Options that several commands share, declared once."""

from __future__ import annotations

from typing import Annotated

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
