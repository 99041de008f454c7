"""`upnext list`: what workers and APIs there are."""

from __future__ import annotations

EXAMPLES = """Examples:

  upnext list app.py shop.jobs"""


def list_(*files: str) -> None:
    """List the APIs and workers in files, and their tasks.

    Args:
        files: Python files, or modules such as package.module.
    """
    from upnext.cli.declared import listing
    from upnext.cli.loader import load_components
    from upnext.cli.render import open_console

    found = load_components(files)
    open_console().print(listing(found.workers, found.apis))
