"""The JSON body of a request as the value of an annotation."""

from __future__ import annotations

from typing import Any, cast

import anyio
import orjson
from attrs import field, frozen
from quart.wrappers import Request
from werkzeug.exceptions import RequestTimeout, UnsupportedMediaType

from upnext.api.binding.parameters import MISSING, Body, words_of
from upnext.api.binding.problems import InvalidInput, Problem, body_problems
from upnext.api.binding.text import plain
from upnext.contracts.codec.fields import Field
from upnext.contracts.codec.unions import json_kinds
from upnext.errors import CodecError

_KIND_OF = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "float",
    type(None): "null",
}
_WORD_OF = {"object": "an object", "array": "an array", "null": "null"}


@frozen
class BodyReader:
    """Reads the body of a request; made once for each route."""

    parameter: Body
    expected: str
    _kinds: frozenset[str] = field(repr=False)
    _field: Field = field(repr=False)

    @classmethod
    def of(cls, parameter: Body) -> BodyReader:
        """The reader for one parameter.

        Raises:
            Exception: nothing can be made of this annotation.
        """
        from upnext.api.binding.integers import body_converter  # heavy: only where it is needed

        hint, tools = parameter.hint, body_converter()
        made = Field(hint, tools.get_unstructure_hook(hint), tools.get_structure_hook(hint))
        kinds = json_kinds(hint)
        words = [_WORD_OF[kind] for kind in sorted(kinds) if kind in _WORD_OF]
        shape = " or ".join(words) or words_of(hint)
        name = words_of(plain(hint))
        expected = shape if name == shape else f"{shape} ({name.partition(' ')[2]})"
        return cls(parameter, expected, kinds, made)

    async def read(self, request: Request) -> Any:
        """The value of the parameter.

        Raises:
            InvalidInput: the body does not fit; it names each field.
            werkzeug.exceptions.HTTPException: it is not JSON by its header, too large or too slow.
        """
        try:
            with anyio.fail_after(request.body_timeout):
                data = cast("bytes", await request.body)
        except TimeoutError:
            raise RequestTimeout from None
        if not data:
            if self.parameter.default is not MISSING:
                return self.parameter.default
            raise InvalidInput([Problem(("body",), "missing", self.expected)])
        if not request.is_json:
            # Also what keeps other sites' forms out: a browser asks before it sends JSON.
            raise UnsupportedMediaType(
                f"Content-Type must be application/json, not {request.mimetype or 'missing'!r}."
            )
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            problem = Problem(("body",), f"not valid JSON: {error}", self.expected)
            raise InvalidInput([problem]) from None
        kind = _KIND_OF[type(value)]
        if kind not in self._kinds and not (kind == "integer" and "float" in self._kinds):
            said = f"{value!r:.80} is not {self.expected}"
            raise InvalidInput([Problem(("body",), said, self.expected)])
        try:
            return self._field.read(value, "")
        except CodecError as error:
            raise InvalidInput(body_problems(error, self.expected)) from None
