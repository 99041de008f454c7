"""What components are configured with: each of its kind, or one line that says so."""

from __future__ import annotations

import math
from typing import Any

from upnext.errors import ConfigurationError


def check_kind(what: str, value: object, kind: Any, means: str, shown: str | None = None) -> None:
    """See that an option has a value of its kind.

    Args:
        what: The option.
        value: Its value.
        kind: What `isinstance` takes.
        means: The kind in words: "a text".
        shown: What stands for the value in the message, where there may be a password in it.

    Raises:
        ConfigurationError: it has not.
    """
    if not isinstance(value, kind):
        raise ConfigurationError(f"{what} must be {means}, not {shown or repr(value)}")


def check_count(what: str, value: object, least: int, most: float = math.inf) -> None:
    """See that an option is a whole number in its bounds.

    Raises:
        ConfigurationError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        bounds = f"{least} or more" if most == math.inf else f"from {least} to {most}"
        raise ConfigurationError(f"{what} must be a whole number, {bounds}, not {value!r}")


def check_seconds(what: str, value: object) -> None:
    """See that an option is a time, longer than none and not endless.

    Raises:
        ConfigurationError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigurationError(f"{what} must be a number of seconds, more than 0, not {value!r}")
