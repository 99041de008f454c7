"""The result of a job as JSON."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from upnext.contracts.codec.fields import Field, field_of
from upnext.contracts.codec.text import dumps, loads

_ROOT = "result"
_NULL = b"null"


@frozen
class ResultCodec:
    """Writes and reads what one function returns."""

    _field: Field | None = field(repr=False)

    @classmethod
    def of(cls, annotation: Any = Any) -> ResultCodec:
        """The codec for results with this annotation; `Any`: whatever JSON makes of them."""
        return cls(field_of(annotation))

    def encode(self, value: Any) -> bytes:
        """Write a result.

        Raises:
            CodecError: it cannot be written, or would not come back the same.
        """
        if value is None:
            return _NULL
        if self._field is not None:
            value = self._field.write(value, _ROOT)
        return dumps(value, _ROOT)

    def decode(self, data: bytes) -> Any:
        """Read a result.

        Raises:
            CodecError: it is not what the annotation says.
        """
        return None if data == _NULL or not data else self.structure(loads(data, _ROOT))

    def structure(self, value: Any) -> Any:
        """Read a result whose JSON was parsed already.

        Raises:
            CodecError: it is not what the annotation says.
        """
        return value if self._field is None or value is None else self._field.read(value, _ROOT)
