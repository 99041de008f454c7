"""Which route of an application served a request."""

from __future__ import annotations

from typing import Any

from upnext.api.tracking.ports import Scope

ROUTE = "upnext.route"
"""Where in its scope `upnext.Api` leaves the template of a request's route."""


def template_of(scope: Scope, root_path: str) -> str | None:
    """The template of the route that served a request, `/orders/{id}`; None: there was none.

    Args:
        scope: The request's, when it is over: routers leave their mark in it.
        root_path: What `root_path` was when the request came.
    """
    template = scope.get(ROUTE)
    if template is None:
        route = scope.get("route")  # as Starlette and FastAPI have it
        if route is None:
            return None
        template = getattr(route, "path_format", None) or getattr(route, "path", None)
        mounted = scope.get("root_path", "")
        if isinstance(template, str) and mounted != root_path and not hasattr(route, "routes"):
            # The route of an application that is mounted below another one knows its part alone.
            template = _as_template(mounted.removeprefix(root_path), scope) + template
    return template if isinstance(template, str) and template else None


def _as_template(path: str, scope: Scope) -> str:
    """A path with the names of its parameters in the place of their values."""
    parameters: dict[str, Any] = scope.get("path_params") or {}
    names = {str(value): f"{{{name}}}" for name, value in parameters.items()}
    return "/".join(names.get(part, part) for part in path.split("/"))
