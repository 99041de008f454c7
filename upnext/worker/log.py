"""What the worker logs, on ways that the user's code has a part in."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TextIO


class Log:
    """A logger of which a record may get lost, but nothing else with it.

    Programs put filters and handlers of their own in a record's way, and what they raise comes
    out of the call that logs. Between the end of a job and the note of its result that would end
    the worker, and cut off all else that runs. Such a failure goes to stderr instead, the first
    one, as those of logging's own handlers do: one that comes with every record says no more.

    Args:
        name: The logger's.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        self._told = False
        self.is_enabled_for: Callable[[int], bool] = self._logger.isEnabledFor

    def debug(self, message: str, *args: object, exc_info: BaseException | None = None) -> None:
        self._log(logging.DEBUG, message, args, exc_info)

    def info(self, message: str, *args: object) -> None:
        self._log(logging.INFO, message, args)

    def warning(
        self,
        message: str,
        *args: object,
        exc_info: BaseException | bool | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        self._log(logging.WARNING, message, args, exc_info, extra)

    def error(self, message: str, *args: object) -> None:
        self._log(logging.ERROR, message, args)

    def exception(self, message: str, *args: object) -> None:
        """An error, with the exception that is being handled."""
        self._log(logging.ERROR, message, args, exc_info=True)

    def log(
        self,
        level: int,
        message: str,
        *args: object,
        exc_info: BaseException | bool | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        self._log(level, message, args, exc_info, extra)

    def _log(
        self,
        level: int,
        message: str,
        args: tuple[object, ...],
        exc_info: BaseException | bool | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        try:
            # The record is to name the line that logs: two calls up from here.
            self._logger.log(level, message, *args, exc_info=exc_info, extra=extra, stacklevel=3)
        except Exception as failure:
            if not self._told:
                self._told = True
                self._tell(failure, message, args)

    def _tell(self, failure: Exception, message: str, args: tuple[object, ...]) -> None:
        stderr: TextIO | None = sys.stderr
        if stderr is None or not logging.raiseExceptions:
            return  # as logging has it
        with suppress(Exception):  # there is no third place to tell of it
            traceback.print_exception(failure, file=stderr)
            stderr.write(
                f"The logging of {self._logger.name} failed, and more of it may get lost."
                f" What it was to say: {message % args}\n"
            )


logger = Log("upnext.worker")
