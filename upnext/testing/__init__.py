"""For tests of what uses a queue: the same verbs without a server."""

from __future__ import annotations

from upnext.testing.memory import MemoryStore

__all__ = ["MemoryStore"]
