"""One file per command.

Each is cheap to import, so that `--help` is quick: what a command needs to do its work (Rich,
AnyIO, the runtime) is imported where it is used.
"""

from __future__ import annotations
