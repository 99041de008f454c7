"""Enlist: put handlers on the roll, and take others off it; the twin of `enlist.lua`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from upnext.testing.memory_store.events import Events


def enlist(
    board: Events, now: int, handlers: Mapping[str, bytes], *, starts: bool, off: Sequence[str]
) -> int:
    """Keep a worker's handlers on the roll; the answer counts those taken off."""
    changed = 0
    for name, record in handlers.items():
        present = board.handlers.get(name)
        if present is None or (starts and present != record):
            board.handlers[name] = record
            changed += 1
        board.declared[name] = now
    gone = [name for name in off if board.handlers.pop(name, None) is not None]
    for name in off:
        board.declared.pop(name, None)
    if changed or gone:
        board.version += 1
    board.forget_handlers(now)
    if handlers:
        board.keep_roll(now)
    return len(gone)
