"""What the annotations of a function may speak of that is declared inside another function."""

from __future__ import annotations

from types import FrameType
from typing import Any


def local_names(frame: FrameType | None) -> dict[str, Any]:
    """The classes among the local names of a frame; none at the top of a module."""
    if frame is None or frame.f_locals is frame.f_globals:
        return {}
    return {name: value for name, value in frame.f_locals.items() if isinstance(value, type)}
