"""The page that shows an API's documentation; it loads nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from quart import Quart
from quart.wrappers import Response

from upnext.api.answers import JSON, dump
from upnext.api.openapi.document import document_of
from upnext.api.routes import Route

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    " connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def add_documentation(
    app: Quart,
    routes: Sequence[Route],
    *,
    title: str,
    version: str,
    openapi_url: str,
    docs_url: str | None,
) -> None:
    """Serve the document of these routes, and the page that shows it.

    Args:
        app: Where to serve them.
        routes: The list that routes are added to as they are declared.
        title: The API's name.
        version: The API's version.
        openapi_url: The path of the document.
        docs_url: The path of the page; None: there is none.
    """

    async def openapi() -> Response:
        return Response(dump(document_of(title, version, routes)), content_type=JSON)

    async def docs() -> Response:
        page = _page(openapi_url)
        headers = {"Content-Security-Policy": _POLICY}
        return Response(page, headers=headers, content_type="text/html; charset=utf-8")

    app.add_url_rule(openapi_url, "upnext_openapi", openapi, methods=["GET"])
    if docs_url is not None:
        app.add_url_rule(docs_url, "upnext_docs", docs, methods=["GET"])


@cache
def _page(openapi_url: str) -> str:
    text = (files("upnext.api.openapi") / "page.html").read_text(encoding="utf-8")
    address = json.dumps(openapi_url)[1:-1].replace("<", "\\u003c")
    return text.replace("@OPENAPI_URL@", address)
