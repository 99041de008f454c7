"""Present: who is there; the twin of `present.lua` and `roster.lua`."""

from __future__ import annotations


class Roll:
    """Owns who is on one roll."""

    def __init__(self) -> None:
        self._members: dict[str, tuple[bytes, int]] = {}

    def present(self, now: int, member: str, record: bytes, ttl: int) -> bool:
        """Say that one is there, or with an empty record that it leaves; whether it was there."""
        self._members = {name: one for name, one in self._members.items() if one[1] > now}
        known = self._members.pop(member, None) is not None
        if record:
            self._members[member] = (record, now + ttl)
        return known

    def roster(self, now: int) -> list[bytes]:
        """The records of those who are there."""
        return [record for _, (record, until) in sorted(self._members.items()) if until > now]
