"""Find the program of a step, and say how to get one that is missing."""

from __future__ import annotations

import os
import shutil

from upnext.api.static.command import Step
from upnext.api.static.mount import StaticMount
from upnext.api.static.package_manager import PackageManager
from upnext.errors import ConfigurationError

__all__ = ["is_needless", "program_of"]

_GET_IT = {
    **{manager.value: manager.commands.get_it for manager in PackageManager},
    "corepack": "npm install --global corepack, or install pnpm itself",
    "node": "https://nodejs.org",
    "npx": PackageManager.NPM.commands.get_it,
    "bunx": PackageManager.BUN.commands.get_it,
}


def program_of(mount: StaticMount, step: Step) -> str:
    """The executable that a step names, as PATH or, with a '/' in it, the project has it.

    Raises:
        ConfigurationError: There is none; one line that says how to get it.
    """
    name = step.words[0]
    if "/" in name:
        path = mount.project / name
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
        raise ConfigurationError(
            f"static files {mount.path}: there is no program {name} in {mount.directory} to run"
            f" `{step}` with"
        )
    found = shutil.which(name, path=dict(step.variables).get("PATH"))
    if found is None:
        how = _GET_IT.get(name)
        raise ConfigurationError(
            f"static files {mount.path}: {name} is not on PATH, so `{step}` cannot run:"
            f" install it{f' ({how})' if how else ''}, or start with --skip-build"
        )
    return os.path.abspath(found)


def is_needless(step: Step) -> bool:
    """Say if a step only brings in what is there already.

    `corepack enable` writes beside Node.js, where ordinary users may not, and newer ones come
    without corepack; all of that is for nothing where pnpm is installed.
    """
    return step.words == ("corepack", "enable") and shutil.which("pnpm") is not None
