"""Strong entity tags, and what was computed of them."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from io import BufferedReader
from threading import Lock

from attrs import define, field
from werkzeug.http import quote_etag

__all__ = ["Etags"]

HASHED = 16 * 1024 * 1024
"""Bytes up to which a tag is made of what a file holds; reading more for it takes too long."""
KEPT = 4096
"""Tags that are remembered; those asked for last stay."""

Identity = tuple[int, ...]


@define(eq=False)
class Etags:
    """Makes the tags of files, and remembers them until a file changes. Used from many threads.

    A tag is a digest of the file. Dates would not do: images, wheels and archives often give all
    files one date, and an index.html in which one hashed name replaced another has the same size,
    so browsers would keep the old one. Files above 16 MiB have size and date for a tag.
    """

    _known: OrderedDict[Identity, str] = field(factory=OrderedDict[Identity, str], init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def of(self, file: BufferedReader, facts: os.stat_result) -> str:
        """The quoted tag of an open file, which is left at its start."""
        if facts.st_size > HASHED:
            return quote_etag(f"{facts.st_size:x}-{facts.st_mtime_ns:x}")
        identity = (
            facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns,
        )  # fmt: skip
        with self._lock:
            if tag := self._known.get(identity):
                self._known.move_to_end(identity)
                return tag
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
        file.seek(0)
        tag = quote_etag(digest.hexdigest())
        with self._lock:
            self._known[identity] = tag
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        return tag
