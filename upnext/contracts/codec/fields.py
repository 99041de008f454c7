"""One annotated value on its way through the converter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from attrs import frozen

from upnext.contracts.codec.annotations import says_json
from upnext.contracts.codec.text import explain
from upnext.errors import CodecError


@frozen
class Field:
    """Takes values of one annotation apart and puts them together again."""

    hint: Any
    _unstructure: Callable[[Any], Any]
    _structure: Callable[[Any, Any], Any]

    def write(self, value: Any, path: str) -> Any:
        """The value in JSON types.

        Raises:
            CodecError: it is not what the annotation says, or cannot be written.
        """
        try:
            return self._unstructure(value)
        except Exception as error:
            explain(value, path)
            raise CodecError(path, f"{value!r:.80} is not {_name(self.hint)}: {error}") from error

    def read(self, value: Any, path: str) -> Any:
        """The value as the annotation says.

        Raises:
            CodecError: it does not fit; with the path to where it does not.
        """
        try:
            return self._structure(value, self.hint)
        except Exception as error:
            step, leaf = _deepest(error)
            words = "missing" if isinstance(leaf, KeyError) else str(leaf) or type(leaf).__name__
            raise CodecError(path + step, words) from error


def field_of(hint: Any) -> Field | None:
    """How to convert values of an annotation; None where JSON says it all.

    An annotation that the converter knows nothing of counts as `Any`.
    """
    if says_json(hint):
        return None
    from upnext.contracts.codec.converter import converter  # heavy: only where it is needed

    tools = converter()
    try:
        return Field(hint, tools.get_unstructure_hook(hint), tools.get_structure_hook(hint))
    except Exception:
        return None


def _deepest(error: BaseException) -> tuple[str, BaseException]:
    """Follow cattrs' groups of errors down to the first leaf, and note the way."""
    path = ""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseException", error.exceptions[0])
        path += _step(error)
    return path, error


def _step(error: BaseException) -> str:
    from cattrs.errors import AttributeValidationNote, IterableValidationNote

    for note in cast("Iterable[Any]", getattr(error, "__notes__", ())):
        if isinstance(note, AttributeValidationNote):
            return f".{note.name}"
        if isinstance(note, IterableValidationNote):
            return f"[{note.index!r}]"
    return ""


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)
