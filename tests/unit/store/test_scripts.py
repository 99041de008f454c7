"""The function library as it is sent to a server."""

from __future__ import annotations

import re
from importlib.resources import files

from upnext.store.scripts import library

VERBS = {
    "enqueue",
    "send",
    "take",
    "conclude",
    "enlist",
    "living",
    "survey",
    "claim",
    "pick",
    "limits",
    "pause",
    "permit",
    "resume",
    "recover",
    "renew",
    "settle",
    "report",
    "follow",
    "stage",
    "rescue",
    "cancel",
    "watch",
    "retire",
    "cron",
    "schedule",
    "dead",
    "replay",
    "purge",
    "track",
    "traffic",
    "present",
    "roster",
}
FILL_MEMORY = {"enqueue", "replay", "send", "cron", "track"}
"""Refused when memory is full."""


def test_the_name_carries_the_version() -> None:
    built = library()
    assert re.fullmatch(r"upnext_[0-9a-f]{12}", built.name)
    first, second, *_ = built.source.splitlines()
    assert first == f"#!lua name={built.name}"
    assert second == f"local LIBRARY = '{built.name}'"


def test_it_is_built_once() -> None:
    assert library() is library()


def test_every_verb_is_registered_once_and_after_the_prelude() -> None:
    source = library().source
    assert sorted(re.findall(r"^register\('(\w+)'", source, re.MULTILINE)) == sorted(VERBS)
    assert source.index("local function register") < source.index("\nregister(")


def test_only_what_is_new_is_refused_when_memory_is_full() -> None:
    for script in files("upnext.store").joinpath("lua").iterdir():
        verb = script.name.removesuffix(".lua")
        if verb in VERBS:
            ending = script.read_text().rstrip().splitlines()[-1]
            assert ending == ("end)" if verb in FILL_MEMORY else "end, 'allow-oom')"), verb


def test_user_payloads_are_never_decoded() -> None:
    assert "cjson.decode" not in library().source
