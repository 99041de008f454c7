"""Which of the user's files have changed."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing, suppress
from itertools import islice

import anyio
import anyio.to_thread
from attrs import define, field
from watchfiles import Change, awatch

from upnext.errors import ConfigurationError
from upnext.supervision.folders import folders_below, matters, may_hold_source

__all__ = ["Source"]

MOST_FOLDERS = 4000
"""Each one costs the system a watch, of which it has a limit."""
QUIET = 100
"""Milliseconds: changes that follow one another more closely are one."""
NOISY = 1000
"""Milliseconds after which changes that never cease are told all the same."""
SLICE = 250
"""Milliseconds in which a stop is noticed."""


@define(eq=False)
class Source:
    """Owns the list of folders that are looked at.

    Args:
        roots: Folders that hold the user's programs; what is below them counts.
    """

    _roots: list[str]
    _single: dict[str, None] = field(factory=dict[str, None], init=False)
    """Folders that modules were imported from, without what is below them."""
    _outdated: anyio.Event = field(factory=anyio.Event, init=False)
    _stamps: dict[str, dict[str, int]] = field(factory=dict[str, dict[str, int]], init=False)
    """Of the folders that are looked at: the files in each, and when they were written."""

    def include(self, folders: Iterable[str]) -> None:
        """Look at these folders, too."""
        new = [folder for folder in folders if folder not in self._stamps]
        if new:
            self._single.update(dict.fromkeys(new))
            self._outdated.set()

    async def changes(self) -> AsyncGenerator[str]:
        """Each time files have changed: which ones.

        Raises:
            ConfigurationError: The system cannot watch them.
        """
        while True:
            self._outdated = anyio.Event()
            folders = await anyio.to_thread.run_sync(self._list)
            try:
                async with aclosing(self._watch(folders)) as told:
                    async for changed in told:
                        yield changed
            except FileNotFoundError:
                continue  # a folder that went between the two steps
            except OSError as error:
                raise ConfigurationError(
                    f"cannot watch {len(folders)} folders: {error};"
                    " WATCHFILES_FORCE_POLLING=1 looks at them again and again instead"
                ) from error

    async def _watch(self, folders: list[str]) -> AsyncGenerator[str]:
        batches = awatch(
            *folders,
            watch_filter=None,
            debounce=NOISY,
            step=QUIET,
            rust_timeout=SLICE,
            recursive=False,
            yield_on_timeout=True,
            stop_event=self._outdated,
        )
        stands = False
        async with aclosing(batches):
            async for batch in batches:
                appeared = [
                    path
                    for change, path in batch
                    if change is Change.added and _is_source_folder(path)
                ]
                changed = {path for _, path in batch if matters(path)}
                changed.update(path for folder in appeared for path in _source_below(folder))
                if changed or not stands:
                    # What was written while nobody looked, from one watch to the next, too.
                    changed.update(await anyio.to_thread.run_sync(self._look, folders))
                    stands = True
                if changed:
                    yield _named(sorted(changed))
                if appeared:
                    return  # and they are among those that are looked at next

    def _list(self) -> list[str]:
        folders = self._folders()
        known = {folder: self._stamps[folder] for folder in folders if folder in self._stamps}
        self._stamps = {folder: _stamps_of(folder) for folder in folders} | known
        return folders

    def _look(self, folders: list[str]) -> set[str]:
        """The files that were written or removed since the last look."""
        before, self._stamps = self._stamps, {folder: _stamps_of(folder) for folder in folders}
        return {
            path
            for folder, stamps in self._stamps.items()
            for path, _ in stamps.items() ^ before.get(folder, stamps).items()
        }

    def _folders(self) -> list[str]:
        single = (folder for folder in self._single if os.path.isdir(folder))
        below = (folder for root in self._roots for folder in folders_below(root))
        return list(dict.fromkeys(islice((*single, *islice(below, MOST_FOLDERS)), MOST_FOLDERS)))


def _stamps_of(folder: str) -> dict[str, int]:
    """The source files in a folder, and when each was written; none if it is gone."""
    stamps: dict[str, int] = {}
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # gone between the two steps
                if matters(entry.path):
                    stamps[entry.path] = entry.stat().st_mtime_ns
    return stamps


def _is_source_folder(path: str) -> bool:
    return may_hold_source(os.path.basename(path)) and os.path.isdir(path)


def _source_below(root: str) -> Iterator[str]:
    for folder in folders_below(root):
        yield from _stamps_of(folder)


def _named(paths: list[str]) -> str:
    names = [os.path.relpath(path) for path in paths]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
