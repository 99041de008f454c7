"""The OpenAPI 3.1 document of an API."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from quart.wrappers import Response
from werkzeug.wrappers import Response as WerkzeugResponse

from upnext.api.binding.parameters import MISSING, Text
from upnext.api.binding.text import plain
from upnext.api.openapi.schema import Schema, Schemas
from upnext.api.routes import Route

_ERROR = "Error"
_ERRORS: Schema = {
    "type": "object",
    "title": _ERROR,
    "properties": {"detail": {"type": "string"}},
    "required": ["detail"],
}
_INVALID = "InvalidInput"
_PROBLEMS: Schema = {
    "type": "object",
    "title": _INVALID,
    "properties": {
        "detail": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                    "msg": {"type": "string"},
                    "expected": {"type": "string"},
                },
                "required": ["loc", "msg"],
            },
        }
    },
    "required": ["detail"],
}


def document_of(title: str, version: str, routes: Iterable[Route]) -> dict[str, Any]:
    """Describe the routes of an API, but those that are left out."""
    schemas = Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if not route.options.hidden:
            operations = paths.setdefault(route.path.template, {})
            for method in route.methods:
                operations[method.lower()] = _operation(route, method, schemas)
    components = {"schemas": schemas.components} if schemas.components else {}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        **({"components": components} if components else {}),
    }


def _operation(route: Route, method: str, schemas: Schemas) -> dict[str, Any]:
    takes = route.bound.parameters
    operation: dict[str, Any] = {
        "operationId": f"{route.name}_{method.lower()}",
        "summary": route.summary,
    }
    if route.description:
        operation["description"] = route.description
    if route.options.tags:
        operation["tags"] = list(route.options.tags)
    parameters = [
        *(_parameter(text, "path", schemas) for text in takes.path),
        *(_parameter(text, "query", schemas) for text in takes.query),
    ]
    if parameters:
        operation["parameters"] = parameters
    if takes.body is not None and method not in ("GET", "HEAD"):
        operation["requestBody"] = {
            "required": takes.body.default is MISSING,
            "content": _json(schemas.of(takes.body.hint)),
        }
    operation["responses"] = _responses(route, schemas, invalid=bool(parameters or takes.body))
    return operation


def _parameter(text: Text, where: str, schemas: Schemas) -> dict[str, Any]:
    schema = schemas.of(plain(text.hint))
    required = text.default is MISSING
    if not required and isinstance(text.default, str | int | float | bool):
        schema = {**schema, "default": text.default}
    return {"name": text.name, "in": where, "required": required, "schema": schema}


def _responses(route: Route, schemas: Schemas, *, invalid: bool) -> dict[str, Any]:
    options = route.options
    returned = route.returns if options.response_model is None else options.response_model
    success: dict[str, Any] = {"description": "Success"}
    if not _says_nothing(returned) and options.status_code not in (204, 304):
        success["content"] = _json(schemas.of(returned))
    responses: dict[str, Any] = {str(options.status_code): success}
    if invalid:
        problems = schemas.ours(_INVALID, _PROBLEMS)
        responses["422"] = {"description": "The input does not fit", "content": _json(problems)}
    for status, what in sorted(options.responses.items()):
        responses[str(status)] = _other(status, what, schemas)
    return responses


def _other(status: int, what: Any, schemas: Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {"description": _phrase(status)}
    if isinstance(what, str):
        described["description"] = what
        if status >= HTTPStatus.BAD_REQUEST:
            described["content"] = _json(schemas.ours(_ERROR, _ERRORS))
    elif what is not None:
        described["content"] = _json(schemas.of(what))
    return described


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def _says_nothing(hint: Any) -> bool:
    """Whether an annotation is none of what a body is: responses describe themselves."""
    return isinstance(hint, type) and issubclass(hint, Response | WerkzeugResponse | tuple)


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
