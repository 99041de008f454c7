"""An exception, as it is kept."""

from __future__ import annotations

import traceback
from types import TracebackType

from upnext.model.outcome import Failure

MOST_TRACEBACK = 32_768
"""Characters of a traceback that are kept: its end, where the error is."""
MOST_MESSAGE = 8_192
"""Characters of a message that are kept."""
_MACHINERY = (
    "upnext.worker.",
    "upnext.testing.",
    "anyio.",
    "asyncio.",
    "concurrent.",
    "contextlib.",
)


def failure_of(error: BaseException, prefix: str = "") -> Failure:
    """Keep an exception: its type's full name, its message, the user's part of its traceback."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    return Failure(
        type=name,
        message=_printable(prefix + (message_of(error) or name))[:MOST_MESSAGE],
        traceback=_printable(_formatted(error))[-MOST_TRACEBACK:],
    )


def message_of(error: BaseException) -> str:
    """What the exception says. A broken `__str__` costs its message, and nothing else."""
    try:
        return str(error)
    except Exception:  # whatever it raises
        return f"<{type(error).__qualname__} whose message cannot be shown>"


def _printable(text: str) -> str:
    """Lone surrogates cannot be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _formatted(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, users_part(error)))
    except Exception:  # as above
        return ""


def users_part(error: BaseException) -> TracebackType | None:
    """The traceback from the first frame that is not machinery; all of it if there is none."""
    trace = error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if not f"{module}.".startswith(_MACHINERY):
            return trace
        trace = trace.tb_next
    return error.__traceback__
