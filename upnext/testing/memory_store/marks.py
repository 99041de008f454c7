"""Marks: which job has which key by its kind of deduplication, and what is cached."""

from __future__ import annotations

from upnext.model.dedupe import Dedupe, DedupeKind


class Marks:
    """Owns the marks of one function.

    Attributes:
        holders: Mark (`<kind>:<key>`) -> the job that has it.
        after: Rerun key -> the job that starts when the one that has it is over.
        followers: The jobs that wait for such an end.
        cache: Cache key -> a result.
        makers: Cache key -> the unfinished job that will make its result.
    """

    def __init__(self) -> None:
        self.holders: dict[str, str] = {}
        self.after: dict[str, str] = {}
        self.followers: set[str] = set()
        self.cache: dict[str, bytes] = {}
        self.makers: dict[str, str] = {}
        self._periods: dict[str, int] = {}
        self._lives: dict[str, int] = {}

    def expire(self, now: int) -> None:
        """Forget the periods and the results whose time is over."""
        for mark in [mark for mark, until in self._periods.items() if until < now]:
            del self._periods[mark]
            self.holders.pop(mark, None)
        for key in [key for key, until in self._lives.items() if until < now]:
            del self._lives[key], self.cache[key]

    def take(self, job_id: str, dedupe: Dedupe, now: int, *, behind: bool) -> None:
        """A new job takes the mark, or waits for the one that has it."""
        if behind:
            self.after[dedupe.key] = job_id
            self.followers.add(job_id)
            return
        self.holders[dedupe.mark] = job_id
        if dedupe.kind is DedupeKind.UNIQUE:
            self._periods[dedupe.mark] = now + dedupe.window

    def drop(self, mark: str, job_id: str) -> None:
        """A job gives up its mark, if it still has it."""
        if self.holders.get(mark) == job_id:
            del self.holders[mark]
            self._periods.pop(mark, None)

    def leave(self, key: str, job_id: str) -> str | None:
        """A job with a rerun key is over; the job that may start now, if one waits."""
        if self.after.get(key) == job_id:  # it waited itself
            del self.after[key]
            self.followers.discard(job_id)
            return None
        mark = f"{DedupeKind.RERUN.value}:{key}"
        if self.holders.get(mark) != job_id:
            return None
        follower = self.after.pop(key, None)
        if follower is None:
            del self.holders[mark]
        else:
            self.followers.discard(follower)
            self.holders[mark] = follower
        return follower

    def keep(self, key: str, result: bytes, until: int) -> None:
        """Cache a result."""
        self.cache[key], self._lives[key] = result, until
