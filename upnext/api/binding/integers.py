"""Which integers an API takes: those of 64 bits, which every database and language has."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cattrs import Converter

LEAST = -(1 << 63)
MOST = (1 << 63) - 1


def fitting(number: int) -> int:
    """The number itself.

    Raises:
        ValueError: it is too large; in words for whoever sent it.
    """
    if LEAST <= number <= MOST:
        return number
    raise ValueError(_words(number))


@cache
def body_converter() -> Converter:
    """The codec's converter, whose integers are those an API takes."""
    from upnext.contracts.codec.converter import converter  # heavy: only where it is needed

    made = converter().copy()
    read: Any = made.get_structure_hook(int)

    def read_int(value: Any, hint: Any) -> int:
        # What is longer than orjson's integers has become a float.
        if type(value) is float and value.is_integer() and not LEAST < value < MOST:
            raise ValueError(_words(value))
        return fitting(read(value, hint))

    made.register_structure_hook(int, read_int)
    return made


def _words(number: float) -> str:
    return f"{number!s:.40} is not within 64 bits ({LEAST} to {MOST})"
