"""`upnext events`: who listens to what, what waits, and what nobody handled."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from upnext.cli.explain import FAILURE, CommandError
from upnext.cli.options import AsJson, RedisUrl

EXAMPLES = """Examples:

  upnext events
  upnext events --json --most 1000
  upnext events --forget send_receipt"""


def events(
    *,
    most: int = 20,
    forget: Annotated[str | None, Parameter(show_default=False)] = None,
    as_json: AsJson = False,
    redis_url: RedisUrl = None,
) -> None:
    """Show the handlers of events, how many events wait, and those nobody handled.

    Args:
        most: Show so many of the events that nobody handled, the newest.
        forget: Take a handler off the roll whose code is gone: events make no more jobs for it.
            One that a worker runs is soon on it again.
    """
    from upnext.cli import render
    from upnext.cli.broker import open_broker

    if most < 0:
        raise CommandError(f"--most must be 0 or more, not {most}.")
    with open_broker(redis_url) as broker:
        if forget is not None and not broker.forget_handler(forget):
            raise CommandError(f"There is no handler {forget!r} on the roll.", code=FAILURE)
        view = broker.events(most)
    if as_json:
        render.print_json(render.events_as_json(view))
    else:
        render.open_console().print(render.events(view))
