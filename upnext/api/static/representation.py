"""The bytes and headers that stand for a file: which coding, which type, for how long."""

from __future__ import annotations

import os
import re
import stat
from io import BufferedReader
from mimetypes import MimeTypes

from attrs import frozen
from werkzeug.datastructures import Accept
from werkzeug.http import http_date, parse_accept_header

from upnext.api.static.contained import locate, open_located
from upnext.api.static.etags import Etags
from upnext.api.static.find import StaticFile

__all__ = ["Representation", "cache_control", "content_type", "represent"]

# The best first, for clients that like several equally.
CODINGS = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}

# The interpreter's own table alone: a machine's /etc/mime.types would make types differ by machine.
_TYPES = MimeTypes(filenames=())
for _suffix, _type in {
    ".avif": "image/avif",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".otf": "font/otf",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}.items():
    _TYPES.add_type(_type, _suffix)

# What bundlers put into names: 8 or more hexadecimal digits (webpack, Parcel, Next.js), 8 of
# base32 (esbuild, Angular), 8 of base64url (Vite, Rollup). A word that looks like one would be kept
# for a year by every browser, so digits and letters must mix; a hash that is taken for a word is
# only asked about again.
_HASHED = re.compile(
    r"(?:^|[-._~])(?:"
    r"(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{8,64}"
    r"|(?=[A-Z]*[2-7])(?=[2-7]*[A-Z])[A-Z2-7]{8}"
    r"|(?=[\w-]{0,7}[0-9])(?=[\w-]{0,7}[A-Z])(?=[\w-]{0,7}[a-z])[\w-]{8}"
    r")(?:\.[a-z0-9]+)+$",
    re.ASCII,
)
# SvelteKit and Next.js promise it of all that is in there.
_IMMUTABLE_FOLDERS = (("_app", "immutable"), ("_next", "static"))


@frozen
class Representation:
    """An open file, to be closed by whoever gets it, and what is said of it."""

    file: BufferedReader
    size: int
    etag: str
    last_modified: str
    headers: dict[str, str]
    """Of 200, 206 and 304 alike; length and range are not among them."""
    described: dict[str, str]
    """Of the content, so not of 304."""


def represent(
    found: StaticFile, accept_encoding: str | None, etags: Etags
) -> Representation | None:
    """Open the file, or its precompressed sibling if the client takes that. Blocks on the disk.

    None if it is gone meanwhile.
    """
    siblings = _siblings(found)
    coding = _choose(siblings, accept_encoding)
    file = open_located(found.root, siblings[coding] if coding else found.names)
    if file is None:
        return None
    try:
        facts = os.fstat(file.fileno())
        etag = etags.of(file, facts)
    except BaseException:  # whatever it was, nobody else would close it
        file.close()
        raise
    # Last-Modified has whole seconds, and none before 1970.
    last_modified = http_date(max(0, int(facts.st_mtime)))
    vary = [
        *(["Accept"] if found.fallback else []),
        *(["Accept-Encoding"] if siblings else []),
    ]
    return Representation(
        file,
        facts.st_size,
        etag,
        last_modified,
        {
            "etag": etag,
            "last-modified": last_modified,
            "cache-control": cache_control(found.asked),
            "x-content-type-options": "nosniff",
            **({"vary": ", ".join(vary)} if vary else {}),
        },
        {
            "content-type": content_type(found.asked[-1]),
            "accept-ranges": "bytes",
            **({"content-encoding": coding} if coding else {}),
        },
    )


def content_type(name: str) -> str:
    """The type that a name's suffix says, with UTF-8 for texts."""
    kind, coding = _TYPES.guess_type(f"/{name}")  # a leading slash: a name with ':' is no URL
    if coding is not None or kind is None:  # the bytes of app.js.gz are gzip, not a script
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def cache_control(names: tuple[str, ...]) -> str:
    """Keep names with a hash for ever; ask about all others each time, which costs a 304."""
    if not names[-1].endswith((".html", ".htm")) and (
        _HASHED.search(names[-1]) or names[:2] in _IMMUTABLE_FOLDERS
    ):
        return "public, max-age=31536000, immutable"
    return "no-cache"


def _siblings(found: StaticFile) -> dict[str, tuple[str, ...]]:
    *above, name = found.names
    if name.endswith(tuple(CODINGS.values())):
        return {}
    siblings: dict[str, tuple[str, ...]] = {}
    for coding, suffix in CODINGS.items():
        sibling = locate(found.root, (*above, name + suffix))
        if sibling and stat.S_ISREG(sibling[1]):
            siblings[coding] = sibling[0]
    return siblings


def _choose(siblings: dict[str, tuple[str, ...]], accept_encoding: str | None) -> str | None:
    accepted = parse_accept_header(accept_encoding, Accept)
    # Not named, the plain file is what a client takes when it takes nothing better (RFC 9110).
    plain = next((quality for name, quality in accepted if name.lower() == "identity"), 0)
    best = max(siblings, key=accepted.quality, default=None)
    return best if best and accepted.quality(best) > 0 and accepted.quality(best) >= plain else None
