"""Virtual time on both backends, as users have it."""

from __future__ import annotations

from upnext.testing.virtual_time import virtual_backend

__all__ = ["virtual_backend"]
