"""Those parts of Quart that are made for one event loop, chosen by the loop that runs."""

from __future__ import annotations

from functools import cache
from typing import Any

from quart import Quart
from sniffio import AsyncLibraryNotFoundError, current_async_library

from upnext.errors import ConfigurationError


def of_backend(name: str) -> Any:
    """An attribute of an app that is Quart's on asyncio and quart-trio's on Trio."""
    quarts = getattr(Quart, name)

    def get(app: Any) -> Any:
        try:
            on_trio = current_async_library() == "trio"
        except AsyncLibraryNotFoundError:
            on_trio = False
        return getattr(_quart_trio(), name) if on_trio else quarts

    return property(get)


@cache
def _quart_trio() -> Any:
    try:
        from quart_trio import QuartTrio
    except ImportError:
        raise ConfigurationError(
            "an API on Trio needs quart-trio: pip install 'upnext[trio]'"
        ) from None
    return QuartTrio
