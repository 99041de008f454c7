"""`upnext list`: what workers there are."""

from __future__ import annotations

EXAMPLES = """Examples:

  upnext list app.py shop.jobs"""


def list_(*files: str) -> None:
    """List the workers in files and their tasks.

    Args:
        files: Python files, or modules such as package.module.
    """
    from upnext.cli.declared import listing
    from upnext.cli.loader import load_workers
    from upnext.cli.render import open_console

    workers = load_workers(files)
    open_console().print(listing(workers))
