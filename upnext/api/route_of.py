"""Which route a request went to, for whoever stands around the app."""

from __future__ import annotations

from typing import Any, cast

from upnext.api.paths import template_of
from upnext.api.ports import Scope

KEY = "upnext.route"


def note_route(scope: Scope, rule: str) -> None:
    """Note the rule that matched, as Quart writes it.

    In the request's `state` too, which a middleware that copies the scope still shares.
    """
    template = template_of(rule)
    scope[KEY] = template
    state = scope.get("state")
    if state is not None:
        state[KEY] = template


def route_of(scope: Scope) -> str | None:
    """The template of the route that a request went to, such as `/orders/{id}`.

    Known once the app has begun to answer; None: no route matched, or it is an app of which
    nothing is known. Reads what Starlette and FastAPI note, too.
    """
    if (noted := scope.get(KEY)) is not None:
        return cast("str", noted)
    state = scope.get("state")
    if isinstance(state, dict) and (noted := cast("dict[str, Any]", state).get(KEY)) is not None:
        return cast("str", noted)
    theirs = scope.get("route")
    template = getattr(theirs, "path_format", None) or getattr(theirs, "path", None)
    return template if isinstance(template, str) else None
