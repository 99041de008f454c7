"""`upnext inspect`: how routes and tasks are declared."""

from __future__ import annotations

from upnext.cli.options import AsJson

EXAMPLES = """Examples:

  upnext inspect app.py
  upnext inspect app.py --json"""


def inspect_(*files: str, as_json: AsJson = False) -> None:
    """Show how the routes and tasks in files are declared.

    Args:
        files: Python files, or modules such as package.module.
    """
    from upnext.cli.declared import described, inspection
    from upnext.cli.loader import load_components
    from upnext.cli.render import open_console, print_json

    found = load_components(files)
    if as_json:
        print_json(described(found.workers, found.apis))
    else:
        open_console().print(inspection(found.workers, found.apis))
