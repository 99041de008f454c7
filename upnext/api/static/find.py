"""From a URL path to a file of a mount."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

from attrs import frozen

from upnext.api.static.contained import locate, real_directory
from upnext.api.static.mount import StaticMount
from upnext.api.static.names import falls_back, names_in

__all__ = ["Moved", "StaticFile", "find"]

INDEX = "index.html"


@frozen
class StaticFile:
    """A regular file below the real directory of a mount."""

    root: Path
    names: tuple[str, ...]
    """Below `root`, with links resolved."""
    asked: tuple[str, ...]
    """What the URL calls it, which a browser caches it by."""
    fallback: bool = False
    """It stands for a path that names no file, as the page of a single-page application."""


@frozen
class Moved:
    """Another URL has it."""

    location: str


def find(
    mounts: Iterable[StaticMount],
    path: str,
    accept: str | None = None,
    dev: Mapping[str, str | None] | None = None,
) -> StaticFile | Moved | None:
    """Find what a GET or HEAD of this path is answered with. Blocks on the disk.

    The mount with the longest path that leads there decides alone: what it does not have is not
    looked for in others. A mount without its directory is as if it were not there.

    Args:
        mounts: In any order.
        path: Of the URL, decoded once.
        accept: The request's Accept header.
        dev: The address of each running dev server, None if not known yet, by path of its mount.
    """
    for mount in sorted(mounts, key=lambda mount: -len(mount.path)):
        rest = mount.rest_of(path)
        if rest is None:
            continue
        if dev and mount.path in dev:
            return _at_dev_server(dev[mount.path], rest, accept)
        if (root := real_directory(mount.served)) is not None:
            return _find_below(mount, root, path, rest, accept)
    return None


def _find_below(
    mount: StaticMount, root: Path, path: str, rest: str, accept: str | None
) -> StaticFile | Moved | None:
    names = names_in(rest)
    if names is None:
        return None
    if (found := locate(root, names)) is not None:
        real, mode = found
        if stat.S_ISREG(mode) and not path.endswith("/"):
            return StaticFile(root, real, names)
        if stat.S_ISDIR(mode) and (page := _page(root, (*names, INDEX))):
            # Relative, so that it is right behind any proxy and never leads to another host.
            last = quote(path.rpartition("/")[2], safe="")
            return page if path.endswith("/") else Moved(f"./{last}/")
    if mount.spa and falls_back(path, accept):
        return _page(root, (INDEX,), fallback=True)
    return None


def _at_dev_server(url: str | None, rest: str, accept: str | None) -> Moved | None:
    names = names_in(rest)
    if url is None or names is None or not falls_back(rest, accept):
        return None
    slash = "/" if names and rest.endswith("/") else ""
    return Moved(url + "/".join(quote(name, safe="") for name in names) + slash)


def _page(root: Path, names: tuple[str, ...], *, fallback: bool = False) -> StaticFile | None:
    found = locate(root, names)
    if found is None or not stat.S_ISREG(found[1]):
        return None
    return StaticFile(root, found[0], names, fallback)
