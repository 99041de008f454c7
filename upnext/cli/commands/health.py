"""`upnext health`: is the broker there, and who works?"""

from __future__ import annotations

from upnext.cli.explain import FAILURE
from upnext.cli.options import AsJson, RedisUrl

EXAMPLES = """Examples:

  upnext health
  upnext health --redis-url redis://queue.internal:6379/0"""


def health(*, as_json: AsJson = False, redis_url: RedisUrl = None) -> int:
    """Reach the broker and show the workers that are alive.

    The exit code is 0 when the broker answers and every living worker can claim jobs, else 1.
    """
    from upnext.cli import render
    from upnext.cli.broker import open_broker
    from upnext.cli.diagnosis import diagnose

    with open_broker(redis_url) as broker:
        found = diagnose(broker)
    if as_json:
        render.print_json(found.as_json())
    else:
        render.open_console().print(render.diagnosis(found))
    return 0 if found.healthy else FAILURE
