"""The function library, built from the `.lua` files beside this module."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from upnext.redis.library import Library


@cache
def library() -> Library:
    """The library whose name carries its version: a digest of its own source.

    Two releases of UpNext may share a server, each with its own library
    (https://redis.io/docs/latest/develop/programmability/functions-intro/).
    """
    folder = files("upnext.store").joinpath("lua")
    # Those whose names begin with `_` sort first: the verbs use their locals.
    scripts = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".lua")),
        key=lambda entry: entry.name,
    )
    body = "\n".join(entry.read_text(encoding="utf-8") for entry in scripts)
    name = f"upnext_{hashlib.sha256(body.encode()).hexdigest()[:12]}"
    return Library(name, f"#!lua name={name}\nlocal LIBRARY = '{name}'\n{body}")
