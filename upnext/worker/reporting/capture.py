"""Takes what jobs log with the logging module to their own logs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager

from upnext.tasks.context import current_context


class Capture(logging.Handler):
    """Gives each record to the job in whose code it was logged; records from elsewhere pass."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record. Without the handler's lock: nothing here is shared."""
        context = current_context.get(None)
        if context is not None and not _is_ours(record.name):
            context.capture(record)
        if _is_alone(record.name, self):
            # Without us logging would have had its last resort, which writes to stderr.
            last = logging.lastResort
            if last is not None and record.levelno >= last.level:
                last.handle(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """As `handle`."""
        self.handle(record)


@contextmanager
def capturing() -> Generator[None]:
    """Capture while the block runs; blocks may overlap."""
    global _blocks
    root = logging.getLogger()
    with _guard:
        _blocks += 1
        root.addHandler(_capture)
    try:
        yield
    finally:
        with _guard:
            _blocks -= 1
            if _blocks == 0:
                root.removeHandler(_capture)


def _is_ours(name: str) -> bool:
    """Whether UpNext itself speaks, not a job."""
    return name == "upnext" or (name.startswith("upnext.") and not name.startswith("upnext.job"))


def _is_alone(name: str, handler: logging.Handler) -> bool:
    """Whether this handler is the only one a record meets on its way up."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        if any(one is not handler for one in logger.handlers):
            return False
        logger = logger.parent if logger.propagate else None
    return True


_capture = Capture()
_guard = threading.Lock()
_blocks = 0
