"""The dev server of one frontend: a child process while the API runs."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

import anyio
from anyio.abc import TaskStatus

from upnext.api.static.child import GRACE, run_child
from upnext.api.static.mount import StaticMount
from upnext.api.static.program import program_of
from upnext.errors import ConfigurationError

__all__ = ["run_dev_server"]

logger = logging.getLogger("upnext.api.static")

_URL = re.compile(
    r"https?://(localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\])(?![\w.-]*\w)(:\d+)?(/[^\s'\"<>]*)?"
)
_ANYWHERE = ("0.0.0.0", "[::]")


async def run_dev_server(
    mount: StaticMount,
    on_url: Callable[[str], object],
    *,
    grace: float = GRACE,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Run a mount's dev server until it ends or the caller cancels; log what it writes.

    That it ends by itself is an error in the log and no more: whoever edits a frontend into a
    broken state does not want to lose running jobs for it.

    Args:
        mount: With a dev command.
        on_url: Called with the first address on this machine that the server names.
        grace: Seconds between SIGTERM and SIGKILL when cancelled.
        task_status: Told when the process runs; it may not listen yet.

    Raises:
        ConfigurationError: The program is missing or cannot be started.
    """
    named: list[str] = []

    def show(line: str) -> None:
        logger.info("%s | %s", mount.path, line)
        if not named and (url := url_in(line)):
            named.append(url)
            on_url(url)

    running = _Once(task_status)
    steps = mount.dev_steps
    for step in steps:
        program = program_of(mount, step)
        try:
            code = await run_child(
                step,
                program,
                cwd=mount.project,
                on_line=show,
                keep_stdin=True,
                grace=grace,
                task_status=running,
            )
        except OSError as error:
            raise ConfigurationError(
                f"static files {mount.path}: `{step}` cannot be started: {error.strerror}"
            ) from None
        if code != 0 or step is steps[-1]:
            logger.error(
                "static files %s: the dev server `%s` ended with %s; start again to have it back",
                mount.path,
                step,
                f"exit code {code}" if code >= 0 else f"signal {-code}",
            )
            return


def url_in(line: str) -> str | None:
    """The first address of this machine in a line, with a '/' at its end."""
    found = _URL.search(line)
    if found is None:
        return None
    host, port, path = found.groups()
    scheme = found[0].partition(":")[0]
    # A server that listens everywhere is reached here by this name.
    host = "localhost" if host in _ANYWHERE else host
    return f"{scheme}://{host}{port or ''}{(path or '').rstrip('/.,;)')}/"


class _Once(TaskStatus[int]):
    """Passes on that the first of several programs runs."""

    def __init__(self, outer: TaskStatus[None]) -> None:
        self._outer: TaskStatus[None] | None = outer

    def started(self, value: int | None = None) -> None:
        outer, self._outer = self._outer, None
        if outer is not None:
            outer.started()
