"""Static files and frontends of an API: `api.static(…)`."""

from __future__ import annotations

from upnext.api.static.find import Moved, StaticFile
from upnext.api.static.mount import StaticMount
from upnext.api.static.mounts import StaticMounts
from upnext.api.static.package_manager import PackageManager, StaticRuntime

__all__ = [
    "Moved",
    "PackageManager",
    "StaticFile",
    "StaticMount",
    "StaticMounts",
    "StaticRuntime",
]
