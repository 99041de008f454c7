"""What a user declares: an API and its routes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from quart import Blueprint, Quart

from upnext.api.answers import Answer
from upnext.api.binding.bind import Bound
from upnext.api.guard import guarded
from upnext.api.limits import limited
from upnext.api.openapi.page import add_documentation
from upnext.api.paths import Path
from upnext.api.ports import ASGIApp, Mount, Wrap
from upnext.api.routes import Route, RouteOptions, Routes
from upnext.api.runtime import Runtime
from upnext.api.static.mounted import MountedFiles
from upnext.api.static.mounts import StaticMounts
from upnext.api.static.package_manager import PackageManager
from upnext.api.tracking.config import ApiTrackingConfig
from upnext.api.unrouted import with_mounts
from upnext.api.web.app import APIQuart, adopt
from upnext.errors import ConfigurationError
from upnext.model.checks import check_count, check_kind, check_seconds

__all__ = ["Api"]

MOST_BODY = 16 << 20
"""Bytes of a request's body, unless `max_body_bytes` says otherwise."""


class Api(Routes):
    """HTTP endpoints that run beside workers, on asyncio or Trio.

        api = upnext.Api("shop")

        @api.post("/orders")
        async def create(order: Order) -> dict[str, str]:
            future = await fulfil.submit(order)
            return {"job": future.job_id}

    Declaring one does nothing yet: `upnext.run(api, worker)` or `upnext run FILE` serves it.

    Args:
        name: For logs, the dashboard and the documentation.
        host: The address to listen on; `0.0.0.0` for all the machine has.
        port: The port; 0 for any that is free.
        docs_url: Where the documentation's page is; None: nowhere.
        openapi_url: Where the OpenAPI document is; None: nowhere, and no page either.
        debug: Quart's debug mode, which a client never sees a traceback of either.
        redis_url: The broker that readiness asks; by default that of the process.
        request_timeout: Seconds that a handler may take until its answer begins; a client asks
            for less with the header `X-Request-Timeout`. None: as long as it likes.
        max_body_bytes: The longest body of a request.
        version: The version of what is documented.
        tracking: How its requests are counted and kept, where that is not as the environment says.

    Raises:
        ConfigurationError: a value cannot be used; one line says which and why.
    """

    def __init__(
        self,
        name: str,
        host: str = "127.0.0.1",
        port: int = 8000,
        docs_url: str | None = "/docs",
        openapi_url: str | None = "/openapi.json",
        debug: bool = False,
        redis_url: str | None = None,
        *,
        request_timeout: float | None = None,
        max_body_bytes: int = MOST_BODY,
        version: str = "0.1.0",
        tracking: ApiTrackingConfig | None = None,
    ) -> None:
        self._set_up(
            name,
            APIQuart("__main__", static_folder=None),
            host=host,
            port=port,
            docs_url=docs_url,
            openapi_url=openapi_url,
            debug=debug,
            redis_url=redis_url,
            request_timeout=request_timeout,
            max_body_bytes=max_body_bytes,
            version=version,
            tracking=tracking,
        )

    @classmethod
    def from_quart(cls, app: Quart, *, name: str | None = None, **options: Any) -> Api:
        """Serve a Quart app that exists already; more routes may be declared on either.

        Args:
            app: Made by `Quart` or `QuartTrio`; it runs on both backends from now on.
            name: By default the app's.
            **options: As of `Api`; without a `docs_url` and an `openapi_url` there is none.
        """
        adopt(app)
        longest = cast("int | None", app.config["MAX_CONTENT_LENGTH"])
        if longest is not None:
            options.setdefault("max_body_bytes", longest)
        return cls._around(app, name or app.name or "upnext-api", options)

    @classmethod
    def from_asgi(cls, app: ASGIApp, *, name: str | None = None, **options: Any) -> Api:
        """Serve any ASGI app: FastAPI, Starlette, Django, ...

        Its routes are its own. It gets the health routes, deadlines, limits, tracking and a
        place in the tree beside the workers.

        Args:
            app: The ASGI app; served on the backend it is made for.
            name: By default the app's title, else `upnext-api`.
            **options: As of `Api`.
        """
        return cls._around(app, name or getattr(app, "title", None) or "upnext-api", options)

    @classmethod
    def _around(cls, app: Any, name: str, options: dict[str, Any]) -> Api:
        made = cls.__new__(cls)
        documented: dict[str, Any] = {"docs_url": None, "openapi_url": None}
        made._set_up(name, app, **(documented | options))
        return made

    def _set_up(
        self,
        name: str,
        app: Any,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        docs_url: str | None,
        openapi_url: str | None,
        debug: bool = False,
        redis_url: str | None = None,
        request_timeout: float | None = None,
        max_body_bytes: int = MOST_BODY,
        version: str = "0.1.0",
        tracking: ApiTrackingConfig | None = None,
    ) -> None:
        for what, value in (("name", name), ("host", host), ("version", version)):
            check_kind(what, value, str, "a text")
        for what, value in (("docs_url", docs_url), ("openapi_url", openapi_url)):
            check_kind(what, value, str | None, "a path such as '/docs', or None")
        # Not shown: there may be a password in it.
        check_kind("redis_url", redis_url, str | None, "a text such as redis://host:6379", "this")
        check_kind("debug", debug, bool, "True or False")
        check_kind("tracking", tracking, ApiTrackingConfig | None, "an ApiTrackingConfig")
        check_count("port", port, 0, (1 << 16) - 1)
        check_count("max_body_bytes", max_body_bytes, 0)
        if request_timeout is not None:
            check_seconds("request_timeout", request_timeout)
        name = name.strip()
        if not name:
            raise ConfigurationError("an API's name must not be empty")
        self.name = name
        self.host = host
        self.port = port
        self.docs_url = docs_url
        self.openapi_url = openapi_url
        self.redis_url = redis_url
        self.request_timeout = request_timeout
        self.max_body_bytes = max_body_bytes
        self.version = version
        self.tracking = tracking
        self._id = f"api_{os.urandom(4).hex()}"
        self._app = app
        self._routes: list[Route] = []
        self._mounts: list[Mount] = []
        self._static = StaticMounts()
        self._middlewares: list[Wrap] = []
        if isinstance(app, Quart):
            app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
            app.debug = app.debug or debug
            if openapi_url is not None:
                add_documentation(
                    app,
                    self._routes,
                    title=name,
                    version=version,
                    openapi_url=openapi_url,
                    docs_url=docs_url,
                )

    @property
    def api_id(self) -> str:
        """The id of this API in this process: `api_` and eight random hex digits."""
        return self._id

    @property
    def app(self) -> Any:
        """The Quart app, for all that Quart does itself: WebSockets, templates, sessions, hooks.

        What `from_asgi` was given, for an API made by that.
        """
        return self._app

    @property
    def routes(self) -> list[Route]:
        """The routes that were declared here, in order."""
        return list(self._routes)

    @property
    def static_mounts(self) -> list[Mount]:
        """What answers where no route matches, in the order it was declared."""
        return list(self._mounts)

    def mount(self, mount: Mount) -> None:
        """Let an ASGI app answer GET and HEAD below a path where no route matches.

        Raises:
            ConfigurationError: something is mounted there already.
        """
        if any(mount.path == other.path for other in self._mounts):
            raise ConfigurationError(f"something is mounted at {mount.path!r} already")
        self._mounts.append(mount)

    @property
    def static_files(self) -> StaticMounts:
        """What `static` declared."""
        return self._static

    def static(
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
    ) -> None:
        """Serve a directory, or the frontend that is built in it, where no route matches.

        Args:
            path: Where: `/` or `/app`. Of several the longest path that fits answers.
            directory: The files, or the frontend's project, relative to the working directory.
            package_manager: Installs and builds the project before the API starts.
            runtime_version: Of Node.js or Bun, for whoever deploys it; not looked at here.
            build_command: Instead of the package manager's own. Run without a shell.
            dev_command: Instead of the package manager's own, for `upnext run --dev`.
            output: What the build writes and is served, relative to `directory`. Without it
                nothing is built and `directory` is served as it is.
            spa: Answer pages that name no file with `index.html`.

        Raises:
            ValueError, TypeError: an argument is wrong, or the path is taken; one line says how.
        """
        declared = self._static.add(
            path,
            directory=directory,
            package_manager=package_manager,
            runtime_version=runtime_version,
            build_command=build_command,
            dev_command=dev_command,
            output=output,
            spa=spa,
        )
        self.mount(MountedFiles(declared, self._static))

    def add_route(
        self,
        path: str,
        handler: Callable[..., Any],
        methods: Sequence[str],
        options: RouteOptions,
        hints: Mapping[str, Any],
    ) -> None:
        """Let a handler answer requests to a path; see `Routes.add_route`."""
        app = self._quart("a route")
        parsed = Path.parse(path)
        for other in self._routes:
            if other.path.template == parsed.template and set(other.methods) & set(methods):
                raise ConfigurationError(f"{methods[0]} {path} is taken by {other.name!r}")
        answer = Answer.of(options.status_code, options.response_model)
        bound = Bound.of(handler, hints, parsed.names, methods, answer)
        name = self._free_name(getattr(handler, "__name__", type(handler).__name__))
        app.add_url_rule(parsed.rule, name, bound.view(), methods=list(methods))
        returns = hints.get("return", Any)
        self._routes.append(Route(parsed, tuple(methods), name, bound, options, returns))

    def include_blueprint(self, blueprint: Blueprint, **options: Any) -> None:
        """Take in a Quart blueprint, whose handlers are Quart's: they bind nothing.

        Args:
            blueprint: The blueprint.
            **options: Such as `url_prefix`, as of `Quart.register_blueprint`.
        """
        self._quart("a blueprint").register_blueprint(blueprint, **options)

    def add_middleware(self, middleware: Callable[..., ASGIApp], **options: Any) -> None:
        """Put an ASGI middleware around the app; the one added last is the outermost.

        Args:
            middleware: Called with the app and the options; returns the app to call instead.
            **options: Passed on to it.
        """
        self._middlewares.append(partial(middleware, **options))

    def asgi(self, *outer: Wrap, runtime: Runtime | None = None) -> ASGIApp:
        """The whole API as one ASGI app, for this server or any other.

        From the outside: what is passed here, the deadline and the answer to failures, the
        middlewares, the runtime's routes, the routes, the mounts.

        Args:
            *outer: More middlewares, the outermost first. They see every request and its final
                answer; `route_of(scope)` tells them the route.
            runtime: What is known of the process; None: nothing but that it runs.
        """
        app: ASGIApp = self._app
        if not isinstance(self._app, Quart):
            app = limited(app, self.max_body_bytes)
        app = with_mounts(app, self._mounts)
        app = (runtime or Runtime()).around(app)
        for wrap in self._middlewares:
            app = wrap(app)
        app = guarded(app, self.request_timeout)
        for wrap in reversed(outer):
            app = wrap(app)
        return app

    def _quart(self, what: str) -> Quart:
        if isinstance(self._app, Quart):
            return self._app
        raise ConfigurationError(
            f"{self.name}: {what} cannot be declared around an ASGI app: declare it on the app"
        )

    def _free_name(self, name: str) -> str:
        taken = cast("dict[str, Any]", self._app.view_functions)
        number, free = 2, name
        while free in taken:
            free, number = f"{name}_{number}", number + 1
        return free

    def __repr__(self) -> str:
        return f"Api({self.name!r})"
