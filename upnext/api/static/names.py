"""Which URL paths name a file at all. Pure: nothing here looks at a disk."""

from __future__ import annotations

import re
from collections.abc import Sequence

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

__all__ = ["falls_back", "is_hidden", "names_in"]

_REFUSED = re.compile(
    r"[\x00-\x1f\x7f\\]"  # control characters, and what Windows takes for a separator
    r"|%(?:00|2e|2f|5c)"  # still encoded after one decoding, for a second decoder to fall for
    r"|(?:^|/)[A-Za-z]:",  # a drive
    re.IGNORECASE,
)
PUBLIC = ".well-known"  # RFC 8615


def names_in(path: str) -> tuple[str, ...] | None:
    """Split a decoded URL path, relative to its mount, into names; None if it is refused.

    A path that ends in '/' names a directory and is split like the same path without it. What
    comes out has no empty name, no '.', no '..', no separator and no hidden name in it.
    """
    if _REFUSED.search(path):
        return None
    if not path:
        return ()
    names = tuple(path.removesuffix("/").split("/"))
    return None if "" in names or is_hidden(names) else names


def is_hidden(names: Sequence[str]) -> bool:
    """Say if a name starts with a dot, '.' and '..' included; `.well-known` at the top may."""
    below = names[1:] if names[:1] == (PUBLIC,) else names
    return any(name.startswith(".") for name in below)


def falls_back(path: str, accept: str | None) -> bool:
    """Say if a single-page application's `index.html` answers for a path that names no file.

    It does for whoever takes HTML. A last name with a dot in it looks like a missing asset, so
    there HTML has to be asked for by name, as browsers do when they go to a page, and not by
    `*/*`, as they do for scripts, images and styles.
    """
    accepted = parse_accept_header(accept or "*/*", MIMEAccept)
    if "." in path.rpartition("/")[2]:
        return any(kind == "text/html" and quality > 0 for kind, quality in accepted)
    return accepted.quality("text/html") > 0
