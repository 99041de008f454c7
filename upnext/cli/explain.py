"""What to say when something cannot be done as asked: one line, and an exit code."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import cast

USAGE = 2
"""Asked for in a way that cannot work: a wrong name, file, option or setting."""
FAILURE = 1
"""Asked for correctly, and it did not work."""


class CommandError(Exception):
    """One clear line for stderr; raised anywhere in the CLI, printed by `main` alone.

    Args:
        message: The line.
        code: The exit code, `USAGE` or `FAILURE`.
        details: Lines to show above it: the frames of the user's own code.
    """

    def __init__(self, message: str, *, code: int = USAGE, details: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.details = details


def unknown(kind: str, name: str, known: Iterable[str]) -> CommandError:
    """There is nothing of this name: say what there is, the nearest first."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    return CommandError(f"No {kind} named {name!r}.{guess} There is: {', '.join(names) or 'none'}.")


def explain(error: BaseException) -> CommandError | None:
    """Turn an error that a user can do something about into one line; None for a defect."""
    from redis import exceptions as known

    from upnext.errors import (
        JobNotFoundError,
        MalformedJobIdError,
        StaticBuildError,
        UpNextError,
    )
    from upnext.redis.embedded import EmbeddedServerError
    from upnext.redis.faults import with_advice

    error = _only_leaf(error)
    replies = (known.ResponseError, known.AuthenticationError, known.BusyLoadingError)
    if isinstance(error, replies) and "\n" not in str(error):
        error = with_advice(error)  # redis-py's own commands come without
    line = " - ".join(part.strip() for part in str(error).splitlines() if part.strip())
    match error:
        case CommandError():
            return error
        case known.AuthenticationError():  # a ConnectionError to redis-py, but it was reached
            return CommandError(f"The broker refused: {line}", code=FAILURE)
        case known.ConnectionError() | known.TimeoutError():
            return CommandError(f"The broker cannot be reached: {line}", code=FAILURE)
        case known.RedisError():
            return CommandError(f"The broker refused: {line}", code=FAILURE)
        case EmbeddedServerError():
            return CommandError(line, code=FAILURE)
        case MalformedJobIdError():
            return CommandError(line, code=USAGE)
        case JobNotFoundError():
            return CommandError(line, code=FAILURE)
        case StaticBuildError(output=output):
            return CommandError(line, code=FAILURE, details="\n".join(output))
        case UpNextError():
            return CommandError(line, code=USAGE)
        case _:
            return None


def _only_leaf(error: BaseException) -> BaseException:
    # A task group wraps even a single error.
    while isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        if len(group.exceptions) != 1:
            return group
        error = group.exceptions[0]
    return error
