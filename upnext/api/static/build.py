"""Install and build the frontends before anything is served."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import anyio

from upnext.api.static.child import run_child
from upnext.api.static.command import Step
from upnext.api.static.mount import StaticMount
from upnext.api.static.program import is_needless, program_of
from upnext.errors import ConfigurationError, StaticBuildError

__all__ = ["COMMAND_LIMIT", "build", "install_for_dev", "warn"]

logger = logging.getLogger("upnext.api.static")

COMMAND_LIMIT = 300.0
"""Seconds that one install, and one build, may take."""
KEPT_LINES = 200
"""Lines of output that are kept to show why a command failed."""


async def build(mounts: Iterable[StaticMount], *, limit: float = COMMAND_LIMIT) -> None:
    """Install and build each mount that has an output to build, one after the other.

    A project directory that is missing is left out: `warn` says so. Several mounts of
    one directory are installed once.

    Raises:
        StaticBuildError: A command failed or took longer than `limit` seconds.
        ConfigurationError: A package manager is missing.
    """
    installed: set[tuple[Path, tuple[Step, ...]]] = set()
    for mount in mounts:
        if not mount.build_steps or not mount.project.is_dir():
            continue
        install = mount.project, mount.install_steps
        if install not in installed:
            await _run(mount, "install", mount.install_steps, limit)
            installed.add(install)
        await _run(mount, "build", mount.build_steps, limit)


async def install_for_dev(mounts: Iterable[StaticMount], *, limit: float = COMMAND_LIMIT) -> None:
    """Install what dev servers need, where nothing was installed yet.

    Installing anew at each start would empty `node_modules` under an editor's feet.

    Raises:
        StaticBuildError: A command failed or took longer than `limit` seconds.
        ConfigurationError: A package manager is missing.
    """
    for mount in mounts:
        if mount.project.is_dir() and not (mount.project / "node_modules").exists():
            await _run(mount, "install", mount.install_steps, limit)


def warn(mounts: Iterable[StaticMount], *, built: bool) -> None:
    """Name each mount that is not served for want of its directory, or served unbuilt."""
    for mount in mounts:
        if mount.served.is_dir():
            if mount.package_manager is not None and mount.output is None:
                logger.warning(
                    "static files %s: without output= nothing is built, and all of %s is served",
                    mount.path,
                    mount.project,
                )
            continue
        if not mount.project.is_dir():
            why = f"there is no directory {mount.project}"
        elif not mount.build_steps:
            why = f"there is no directory {mount.served}"
        elif built:
            why = f"the build wrote no {mount.served}: see output="
        else:
            why = f"there is no {mount.served}, and nothing was built"
        logger.warning("static files %s are not served: %s", mount.path, why)


async def _run(mount: StaticMount, what: str, steps: tuple[Step, ...], limit: float) -> None:
    began = anyio.current_time()
    kept: deque[str] = deque(maxlen=KEPT_LINES)

    def keep(line: str) -> None:
        kept.append(line)
        logger.debug("%s: %s", mount.path, line)

    step = steps[0] if steps else None
    code = None
    with anyio.move_on_after(limit):
        for step in steps:
            if is_needless(step):
                continue
            program = program_of(mount, step)
            logger.info("static files %s: `%s` in %s", mount.path, step, mount.directory)
            code = None
            try:
                code = await run_child(step, program, cwd=mount.project, on_line=keep)
            except OSError as error:
                raise ConfigurationError(
                    f"static files {mount.path}: `{step}` cannot be started: {error.strerror}"
                ) from None
            if code != 0:
                break
        else:
            took = anyio.current_time() - began
            logger.debug("static files %s: %s took %.1f s", mount.path, what, took)
            return
    raise StaticBuildError(mount.path, str(step), code, tuple(kept), limit=limit)
