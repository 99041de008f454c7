"""For tests of what uses a queue: its workers, its clock and its jobs, without a server.

    async with upnext.testing.run_worker(worker) as harness:
        await welcome.submit("ada@example.org")
        await harness.drain()
        harness.assert_completed(welcome, args=("ada@example.org",))

Names are imported when first used: pytest loads the plugin that is in here for every suite.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upnext.testing.fake import fake_queue
    from upnext.testing.harness import Harness, run_worker
    from upnext.testing.immediate import inline
    from upnext.testing.jobs import Jobs
    from upnext.testing.memory import MemoryStore
    from upnext.testing.submitted import SubmittedJob
    from upnext.testing.virtual_time import real_time, run, virtual_backend

__all__ = [
    "Harness",
    "Jobs",
    "MemoryStore",
    "SubmittedJob",
    "fake_queue",
    "inline",
    "real_time",
    "run",
    "run_worker",
    "virtual_backend",
]

_HOMES = {
    "fake": ("fake_queue",),
    "harness": ("Harness", "run_worker"),
    "immediate": ("inline",),
    "jobs": ("Jobs",),
    "memory": ("MemoryStore",),
    "submitted": ("SubmittedJob",),
    "virtual_time": ("real_time", "run", "virtual_backend"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'upnext.testing' has no attribute {name!r}")
    value = getattr(import_module(f"upnext.testing.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
