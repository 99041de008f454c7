"""Arguments and results as JSON, structured by the annotations of the function.

- What JSON can say travels as it is: annotations made of `str`, `int`, `float`, `bool`, `None`,
  `list`, `dict`, `Any` are not enforced, as Python itself does not enforce them.
- Everything else goes through one cattrs converter (`converter.py`): attrs classes, dataclasses,
  TypedDict, named tuples, enums, datetime, date, time, timedelta, UUID, Decimal, bytes, Path, set,
  tuple, unions of all these, and pydantic models where pydantic is installed.
- Without an annotation a value is written by its own type, and comes back as what JSON made of it.
- What would not come back the same is refused where it is written, with the path to it.
"""

from __future__ import annotations

from upnext.contracts.codec.annotations import hints_of
from upnext.contracts.codec.arguments import ArgumentsCodec
from upnext.contracts.codec.failures import decode_failure, encode_failure, failure_of
from upnext.contracts.codec.results import ResultCodec
from upnext.contracts.codec.text import MOST_BYTES

__all__ = [
    "MOST_BYTES",
    "ArgumentsCodec",
    "ResultCodec",
    "decode_failure",
    "encode_failure",
    "failure_of",
    "hints_of",
]
