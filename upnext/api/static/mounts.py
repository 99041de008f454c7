"""The static files of one API: declared, built, served."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

import anyio
from anyio import to_thread
from anyio.abc import TaskStatus
from attrs import define, field

from upnext.api.static.build import build, install_for_dev, warn
from upnext.api.static.child import GRACE
from upnext.api.static.dev import run_dev_server
from upnext.api.static.etags import Etags
from upnext.api.static.find import Moved, StaticFile, find
from upnext.api.static.mount import StaticMount
from upnext.api.static.package_manager import PackageManager
from upnext.api.static.representation import Representation, represent
from upnext.api.static.respond import App, Receive, Scope, Send, answer, header, send_file

__all__ = ["StaticMounts"]


@define(eq=False)
class StaticMounts:
    """All `api.static(…)` of one API; iterates over them as they were added."""

    _mounts: dict[str, StaticMount] = field(factory=dict[str, StaticMount], init=False)
    _etags: Etags = field(factory=Etags, init=False)
    _dev: dict[str, str | None] = field(factory=dict[str, str | None], init=False)
    """Paths of mounts whose dev server runs now, with its address once it has named one."""

    def __iter__(self) -> Iterator[StaticMount]:
        return iter(self._mounts.values())

    def __len__(self) -> int:
        return len(self._mounts)

    def add(
        self,
        path: str,
        *,
        directory: str | os.PathLike[str],
        package_manager: PackageManager | str | None = None,
        runtime_version: str | None = None,
        build_command: str | None = None,
        dev_command: str | None = None,
        output: str | os.PathLike[str] | None = None,
        spa: bool = True,
    ) -> StaticMount:
        """Serve a directory, or the frontend that is built in it, below a URL path.

        Args:
            path: Where: '/' or '/app'. Of several mounts the longest path that fits answers.
            directory: The files, or the frontend's project, relative to the working directory.
            package_manager: Installs and builds the project before the API starts.
            runtime_version: Of Node.js or Bun, for whoever deploys it; not looked at here.
            build_command: Instead of the package manager's own. Run without a shell.
            dev_command: Instead of the package manager's own, for `upnext run --dev`.
            output: What the build writes and is served, relative to `directory`. Without it
                nothing is built and `directory` is served as it is.
            spa: Answer pages that name no file with `index.html`.

        Raises:
            ValueError, TypeError: An argument is wrong, or the path is taken; one line says how.
        """
        mount = StaticMount(
            path=path,
            directory=directory,
            package_manager=package_manager,
            runtime_version=runtime_version,
            build_command=build_command,
            dev_command=dev_command,
            output=output,
            spa=spa,
        )
        if mount.path in self._mounts:
            raise ValueError(f"static(): there is a mount at {mount.path!r} already")
        self._mounts[mount.path] = mount
        return mount

    def find(self, method: str, path: str, accept: str | None = None) -> StaticFile | Moved | None:
        """Find what a request is answered with; None if it is not for static files.

        Blocks on the disk, so call it in a thread.

        Args:
            method: Other than GET and HEAD find nothing.
            path: Of the URL, decoded once.
            accept: The Accept header; a page of a single-page application answers those alone
                that take HTML.
        """
        if method not in ("GET", "HEAD"):
            return None
        return find(self, path, accept, dict(self._dev))

    async def serve(
        self, scope: Scope, receive: Receive, send: Send, fallback: App | None = None
    ) -> None:
        """Answer an ASGI request with a file, or let `fallback` answer it.

        Args:
            scope: Of the request; other than `http` goes to the fallback.
            receive: Of the request; untouched before the fallback is called.
            send: Of the request.
            fallback: What has no file; by default 404, or 405 for other methods than GET and HEAD.
        """
        if scope["type"] == "http" and await self._serve_file(scope, receive, send):
            return
        if fallback is not None:
            await fallback(scope, receive, send)
        elif scope["type"] == "http":
            text = [("content-type", "text/plain; charset=utf-8")]
            if scope["method"] in ("GET", "HEAD"):
                await answer(send, 404, [*text, ("vary", "Accept")], b"Not Found")
            else:
                await answer(send, 405, [*text, ("allow", "GET, HEAD")], b"Method Not Allowed")
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            raise RuntimeError(f"static files answer http, not {scope['type']}")

    async def prepare(self, *, dev: bool = False, skip_build: bool = False) -> None:
        """Install and build before the start, and warn of mounts that have nothing to serve.

        Cancelling it ends the commands with all that they started.

        Args:
            dev: Dev servers will run: install what they need, build nothing for them.
            skip_build: Run no command.

        Raises:
            StaticBuildError: A command failed, or took longer than 300 s.
            ConfigurationError: A package manager is missing; one line says how to get it.
        """
        for_dev = [mount for mount in self if dev and mount.dev_steps and mount.project.is_dir()]
        others = [mount for mount in self if mount not in for_dev]
        if not skip_build:
            await build(others)
            await install_for_dev(for_dev)
        warn(others, built=not skip_build)

    async def run_dev(
        self,
        *,
        grace: float = GRACE,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run the dev servers of all mounts that have one until cancelled.

        While its dev server runs, a mount is not served from disk: whoever opens one of its pages
        is sent to the dev server.

        Args:
            grace: Seconds that a dev server gets between SIGTERM and SIGKILL.
            task_status: Told when all processes run; they may not listen yet.

        Raises:
            ConfigurationError: A program is missing or cannot be started.
        """
        async with anyio.create_task_group() as group:
            for mount in self:
                if mount.dev_steps and mount.project.is_dir():
                    await group.start(partial(self._run_one, mount, grace))
            task_status.started()

    async def _run_one(
        self, mount: StaticMount, grace: float, *, task_status: TaskStatus[None]
    ) -> None:
        self._dev[mount.path] = None
        try:
            await run_dev_server(
                mount,
                partial(self._dev.__setitem__, mount.path),
                grace=grace,
                task_status=task_status,
            )
        finally:
            del self._dev[mount.path]

    async def _serve_file(self, scope: Scope, receive: Receive, send: Send) -> bool:
        if not self._mounts or scope["method"] not in ("GET", "HEAD"):
            return False
        found = await to_thread.run_sync(self._open, scope)
        match found:
            case None:
                return False
            case Moved(location):
                query = scope.get("query_string", b"").decode("latin-1")
                location = f"{location}?{query}" if query else location
                headers = [("location", location), ("cache-control", "no-cache")]
                await answer(send, 307, [*headers, ("content-length", "0")])
            case Representation(file):
                with file:
                    await send_file(found, scope, receive, send)
        return True

    def _open(self, scope: Scope) -> Representation | Moved | None:
        found = self.find(scope["method"], scope["path"], header(scope, b"accept"))
        if isinstance(found, StaticFile):
            return represent(found, header(scope, b"accept-encoding"), self._etags)
        return found
