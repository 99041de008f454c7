"""From what a handler returns to a response."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, cast

import orjson
from attrs import field, frozen
from quart.wrappers import Response
from werkzeug.wrappers import Response as WerkzeugResponse

JSON = "application/json"
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_NON_STR_KEYS
_BODILESS = frozenset((204, 304))
_PLAIN = frozenset((dict, list, str, int, float, bool, type(None)))
"""Types of results that are written as JSON; a look here is cheaper than at abstract classes."""
_RESPONSES = (Response, WerkzeugResponse)
_SENT_AS_THEY_COME = (bytes, bytearray, AsyncIterator, Iterator)


@frozen
class Answer:
    """Makes responses of what one handler returns.

    A `Response` stays as it is; `bytes` and iterators are sent as they come; everything else is
    written as JSON. A tuple is `(body, status)`, `(body, headers)` or `(body, status, headers)`.
    """

    status: int = 200
    model: Any = None
    """What the body is made to be before it is written; None: what the handler returned."""
    _through: Callable[[Any], Any] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, status: int, model: Any = None) -> Answer:
        """The answers of a handler, which are of this model if one is named."""
        if model is None:
            return cls(status)
        from upnext.contracts.codec.converter import converter  # heavy: only where it is needed

        tools = converter()

        def through(value: Any) -> Any:
            # There and back, so that what the model does not name is not told.
            made = tools.structure(tools.unstructure(value), model)
            return tools.unstructure(made, unstructure_as=model)

        return cls(status, model, through)

    def make(self, result: Any) -> Any:
        """The response, or what Quart makes one of."""
        status, headers = self.status, None
        if type(result) is tuple:
            result, status, headers = _unpack(cast("tuple[Any, ...]", result), status)
        if type(result) not in _PLAIN:
            if isinstance(result, _RESPONSES):
                as_it_is = headers is None and status == self.status
                return result if as_it_is else (result, status, headers)
            if isinstance(result, _SENT_AS_THEY_COME):
                return result, status, headers or {}
        if status in _BODILESS:
            return Response(b"", status, headers)
        if self._through is not None:
            result = self._through(result)
        return Response(dump(result), status, headers, content_type=JSON)


def dump(value: Any) -> bytes:
    """A value as JSON.

    Raises:
        TypeError: it cannot be written.
    """
    return orjson.dumps(value, _by_type, _OPTIONS)


def _by_type(value: Any) -> Any:
    from upnext.contracts.codec.converter import converter  # heavy: only where it is needed

    plain = converter().unstructure(value)
    if plain is value:
        raise TypeError(f"a {type(value).__name__} cannot be written as JSON")
    return plain


def _unpack(result: tuple[Any, ...], status: int) -> tuple[Any, int, Any]:
    match result:
        case (body, headers) if isinstance(headers, Mapping):
            return body, status, dict(cast("Mapping[str, str]", headers))
        case (body, given):
            return body, int(given), None
        case (body, given, headers):
            return body, int(given), headers
        case _:
            raise TypeError(
                "a handler returns a body, (body, status), (body, headers) or"
                f" (body, status, headers), not a tuple of {len(result)}"
            )
