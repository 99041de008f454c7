"""The no-op handler on plain Quart under Hypercorn: `app.py PORT`, on the loop of BENCH_BACKEND.

Settings: https://hypercorn.readthedocs.io/en/latest/how_to_guides/api_usage.html; Hypercorn writes
no line per request unless it is told to.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from hypercorn.config import Config

ON_TRIO = os.environ["BENCH_BACKEND"] == "trio"

if ON_TRIO:
    import trio
    from hypercorn.trio import serve
    from quart_trio import QuartTrio as Quart
else:
    from hypercorn.asyncio import serve
    from quart import Quart

app: Any = Quart(__name__)


@app.get("/noop")
async def noop() -> dict[str, bool]:
    return {"ok": True}


async def main() -> None:
    """Serve until the process is told to end."""
    config = Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    await serve(app, config)


if __name__ == "__main__":
    if ON_TRIO:
        trio.run(main)
    else:
        asyncio.run(main())
