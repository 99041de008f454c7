"""`upnext health`: is the broker there, and who works?"""

from __future__ import annotations

import sys

from upnext.cli.explain import FAILURE, CommandError
from upnext.cli.options import AsJson, Flag, RedisUrl

EXAMPLES = """Examples:

  upnext health
  upnext health --redis-url redis://queue.internal:6379/0
  upnext health --file                the service of this container, without a broker"""


def health(*, file: Flag = False, as_json: AsJson = False, redis_url: RedisUrl = None) -> int:
    """Reach the broker and show the workers that are alive.

    The exit code is 0 when the broker answers and every living worker can claim jobs, else 1.

    Args:
        file: Ask no broker, but look at the health file of the service on this machine: 0 when it
            was touched in the last 30 seconds (UPNEXT_HEALTH_FILE).
    """
    if file:
        if redis_url is not None:
            raise CommandError("--file asks no broker: leave --redis-url out.")
        return _look(as_json)
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


def _look(as_json: bool) -> int:
    from upnext.service.health_file import STALE, HealthFile
    from upnext.settings import Settings

    file = HealthFile.at(Settings.load().health_file)
    try:
        age = file.age()
    except OSError as error:
        raise CommandError(f"{file.path} cannot be looked at: {error}.", code=FAILURE) from None
    # A clock that was set back makes files of the future.
    alive = age is not None and abs(age) <= STALE
    if as_json:
        from upnext.cli import render

        seconds = None if age is None else round(age, 1)
        told = {"healthy": alive, "file": str(file.path), "seconds_since_touch": seconds}
        render.print_json(told)
    elif age is None:
        raise CommandError(
            f"{file.path} is not there: no service runs here, or UPNEXT_HEALTH_FILE is another"
            " one for it.",
            code=FAILURE,
        )
    elif not alive:
        raise CommandError(
            f"{file.path} was touched {age:.0f} s ago: the service is gone, its event loop is"
            " blocked, or a worker cannot claim.",
            code=FAILURE,
        )
    else:
        sys.stdout.write(f"Alive: {file.path} was touched {age:.0f} s ago.\n")
    return 0 if alive else FAILURE
