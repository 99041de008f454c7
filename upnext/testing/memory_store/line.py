"""Lines of workers that wait to be told of work."""

from __future__ import annotations


class Line:
    """Owns one: whoever has waited longest is told first."""

    def __init__(self) -> None:
        self._since: dict[str, int] = {}
        self._until = 0

    def expire(self, now: int) -> None:
        """Forget everybody, if nobody has joined for long."""
        if self._until < now:
            self._since.clear()

    def join(self, channel: str, now: int, until: int) -> None:
        """Stand in line, unless one does already; the line lives so long."""
        self._since.setdefault(channel, now)
        self._until = until

    def leave(self, channel: str) -> None:
        """Wait no more."""
        self._since.pop(channel, None)

    def in_order(self) -> list[str]:
        """All of them; whoever has waited longest is first."""
        return sorted(self._since, key=self._place)

    def pop(self) -> str | None:
        """Whoever has waited longest; he is forgotten."""
        channel = min(self._since, key=self._place, default=None)
        if channel is not None:
            del self._since[channel]
        return channel

    def ahead_of(self, channel: str) -> int:
        """How many have waited longer than this one."""
        return self.in_order().index(channel)

    def _place(self, channel: str) -> tuple[int, str]:
        return self._since[channel], channel
