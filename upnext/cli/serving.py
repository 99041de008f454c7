"""Run what files declare: in this process, or in others that this one supervises."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from attrs import define, field, frozen

from upnext.cli.explain import USAGE, CommandError

if TYPE_CHECKING:
    from upnext.api.api import Api
    from upnext.cli.panel import Declared
    from upnext.supervision.lifeline import Lifeline
    from upnext.worker.worker import Worker

__all__ = ["Serving", "serve", "supervise_serving"]

logger = logging.getLogger("upnext.cli")


@frozen(kw_only=True)
class Serving:
    """What to run, and how."""

    files: tuple[str, ...]
    only: tuple[str, ...] = ()
    redis_url: str | None = None
    async_backend: Literal["asyncio", "trio"] = "asyncio"
    uvloop: bool = False
    concurrency: int | None = None
    worker_timeout: float
    api_timeout: float
    dev: bool = False
    """Serve frontends by their dev servers."""
    skip_build: bool = False
    verbose: bool = False
    log_format: Literal["text", "json"] = "text"

    def check(self) -> None:
        """Refuse what cannot work, before anything is loaded.

        Raises:
            CommandError: One line says what.
        """
        if self.uvloop:
            _check_uvloop(self.async_backend)
        if self.async_backend == "trio":
            _check_trio()
        if self.concurrency is not None and self.concurrency < 1:
            raise CommandError(f"--concurrency must be 1 or more, not {self.concurrency}.")
        for option, value in (("worker", self.worker_timeout), ("api", self.api_timeout)):
            if not value >= 0:
                raise CommandError(f"--{option}-timeout must be 0 or more, not {value:g}.")

    def command(self) -> list[str]:
        """The words of a process that does the same, alone."""
        words = [*_python(), "run"]
        for name in self.only:
            words += ["--only", name]
        if self.redis_url is not None:
            words += ["--redis-url", self.redis_url]
        words += ["--async-backend", self.async_backend, "--log-format", self.log_format]
        words += ["--worker-timeout", str(self.worker_timeout)]
        words += ["--api-timeout", str(self.api_timeout)]
        if self.concurrency is not None:
            words += ["--concurrency", str(self.concurrency)]
        for option in ("uvloop", "verbose", "dev", "skip_build"):
            if getattr(self, option):
                words.append(f"--{option.replace('_', '-')}")
        return [*words, "--", *self.files]


def serve(serving: Serving, lifeline: Lifeline | None = None) -> int:
    """Load the files and run what they declare in this process.

    Args:
        serving: What, and how.
        lifeline: The way to the process that supervises this one.
    """
    from upnext.cli.loader import load_components
    from upnext.cli.panel import declare
    from upnext.runner import run_components

    try:
        found = load_components(serving.files)
    except CommandError as error:
        if lifeline is None:
            raise
        # Tried again it would be said again: the code that it tells the parent is that of a
        # process which cannot run as it was asked to.
        raise CommandError(str(error), code=USAGE, details=error.details) from error
    chosen = found.choose(serving.only)
    if serving.concurrency is not None:
        for worker in chosen.workers:
            worker.concurrency = serving.concurrency
    loop = f"{serving.async_backend} (uvloop)" if serving.uvloop else serving.async_backend
    components = [*chosen.workers, *chosen.apis]
    brokers = _brokers(components, serving.redis_url)
    declared = declare(chosen.workers, chosen.apis, brokers=brokers, backend=loop)
    on_started = None
    if lifeline is None:
        # Not sooner: until then it may turn out that a port is taken or two tasks have one name.
        on_started = partial(_show, declared, serving.log_format)
    else:
        from upnext.supervision.folders import local_folders

        lifeline.declare({**declared.as_facts(), "folders": local_folders()})
    return run_components(
        [*found.workers, *found.apis],
        redis_url=serving.redis_url,
        backend=serving.async_backend,
        use_uvloop=serving.uvloop,
        only=[component.name for component in components],
        worker_timeout=serving.worker_timeout,
        api_timeout=serving.api_timeout,
        dev=serving.dev,
        skip_build=serving.skip_build,
        lifeline=lifeline,
        on_started=on_started,
    )


def supervise_serving(
    serving: Serving, *, processes: int = 1, reload: bool = False, mode: str = ""
) -> int:
    """Run the same in processes that this one supervises; this one imports no code of the user's.

    Args:
        serving: What, and how.
        processes: How many.
        reload: Start them anew when source changes.
        mode: A word for the panel.
    """
    from upnext.cli.loader import folder_of
    from upnext.supervision.supervise import supervise

    # Here, where it is said once, and not by every process.
    roots = list(dict.fromkeys(folder_of(target) for target in serving.files))
    if not roots:
        raise CommandError("Name at least one file or module, such as app.py or package.module.")
    notes: dict[str, str] = {}
    if processes > 1:
        notes["processes"] = str(processes)
    if reload:
        notes["reload"] = "when source changes in " + ", ".join(map(_short, roots))
    return supervise(
        serving.command(),
        processes=processes,
        grace=serving.api_timeout + serving.worker_timeout,
        roots=roots if reload else None,
        backend=serving.async_backend,
        on_started=_Shown(serving.log_format, mode, notes).show,
    )


@define(eq=False)
class _Shown:
    """Owns what was last shown: processes that start anew are shown only if they differ."""

    log_format: Literal["text", "json"]
    mode: str
    notes: dict[str, str]
    _last: Declared | None = field(default=None, init=False)

    def show(self, facts: dict[str, Any]) -> None:
        from upnext.cli.panel import Declared

        declared = Declared.from_facts(facts)
        if declared != self._last:
            self._last = declared
            _show(declared, self.log_format, self.mode, self.notes)


def _show(
    declared: Declared,
    log_format: Literal["text", "json"],
    mode: str = "",
    notes: dict[str, str] | None = None,
) -> None:
    if log_format == "text":
        from upnext.cli.panel import running
        from upnext.cli.render import open_console

        open_console(stderr=True).print(running(declared, mode=mode, notes=notes))
        return
    for worker in declared.workers:
        facts = {
            "worker": worker.name,
            "concurrency": worker.concurrency,
            "functions": worker.functions,
            "broker": ", ".join(declared.brokers),
            "backend": declared.backend,
        }
        logger.info("worker %s runs", worker.name, extra=facts)
    for api in declared.apis:
        facts = {"api": api.name, "url": api.url, "broker": ", ".join(declared.brokers)}
        logger.info("api %s runs", api.name, extra=facts)


def _python() -> list[str]:
    """How to start UpNext in a new process: as this one was, so that it is the same UpNext."""
    main = sys.modules.get("__main__")
    by_module = getattr(main, "__spec__", None) is not None and not sys.flags.safe_path
    # Started by its script, a folder called upnext in the working directory is not what runs.
    return [sys.executable, *([] if by_module else ["-P"]), "-m", "upnext"]


def _short(folder: str) -> str:
    near = os.path.relpath(folder)
    return folder if near.startswith("..") else near


def _brokers(components: Sequence[Worker | Api], redis_url: str | None) -> list[str]:
    from upnext.cli.broker import parse_address, read_settings

    settings, _ = read_settings()
    urls = dict.fromkeys(redis_url or each.redis_url or settings.redis_url for each in components)
    return [
        parse_address(url).describe()
        if url
        else "embedded Valkey in .upnext/ (set UPNEXT_REDIS_URL to use your own)"
        for url in urls
    ]


def _check_uvloop(backend: str) -> None:
    from importlib.util import find_spec

    if backend != "asyncio":
        raise CommandError(f"--uvloop is for the asyncio backend, not for {backend}.")
    if find_spec("uvloop") is None:
        raise CommandError("--uvloop needs uvloop: pip install 'upnext[uvloop]'.")


def _check_trio() -> None:
    from importlib.util import find_spec

    if find_spec("trio") is None:
        raise CommandError("--async-backend trio needs Trio: pip install 'upnext[trio]'.")
