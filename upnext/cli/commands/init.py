"""`upnext init`: a new project."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from rich.console import RenderableType

EXAMPLES = """Examples:

  upnext init shop
  upnext init . --name shop"""


def init(
    directory: Annotated[Path, Parameter(help="Where to; made if it is not there.")],
    /,
    *,
    name: Annotated[str | None, Parameter(show_default=False)] = None,
    force: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> None:
    """Write a new project: an API, a worker, their tests, and what it takes to deploy them.

    It runs and passes its tests as it stands. Files that are there already are not overwritten.

    Args:
        name: Of the package, the worker and the API; by default the directory's.
        force: Overwrite files of the same names.
    """
    from upnext.cli.project import check_name, check_place, files_of, write_files
    from upnext.cli.render import open_console

    chosen = check_name(directory.resolve().name if name is None else name)
    files = files_of(chosen)
    check_place(directory, files, force=force)
    write_files(directory, files)
    open_console().print(_next_steps(chosen, directory, len(files)))


def _next_steps(name: str, directory: Path, count: int) -> RenderableType:
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    from upnext.cli.render import facts_table, safe

    steps = {
        "go there": "" if directory.samefile(".") else f"cd {shlex.quote(str(directory))}",
        "install": "python -m pip install -e '.[test]'",
        "test": "python -m pytest",
        "run": "python -m upnext dev service.py",
        "deploy": "docker compose up --build",
    }
    said = safe(f"{count} files. They run as they are; README.md says how.")
    return Panel(
        Group(said, Text(), facts_table(steps)),
        title=safe(name),
        title_align="left",
        expand=False,
        padding=(1, 2),
    )
