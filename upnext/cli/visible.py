"""Text that others wrote, made safe for a terminal and for one line of a log.

A job's name, arguments and errors are whatever somebody submitted. Printed as they are, an escape
sequence could clear the screen or retitle the window, a line feed could forge a log record, and a
bidirectional override could show a text that is not the one that is there (Trojan Source,
https://trojansource.codes).
"""

from __future__ import annotations

import re

# C0, DEL and C1; line and paragraph separators; bidirectional marks, embeddings, overrides and
# isolates; byte order mark; surrogates, which no stream can encode.
_HIDDEN = "\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"
_SURROGATES = "\ud800-\udfff"
_ANY = re.compile(f"[{_HIDDEN}{_SURROGATES}]")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def one_line(text: str) -> str:
    """Escape every control character, line breaks and tabs included."""
    return _ANY.sub(_escape, text)


def visible(text: str) -> str:
    """Escape every control character but keep line breaks and tabs, as for a traceback."""
    return _ANY.sub(_escape_but_layout, text)


def within_json(text: str) -> str:
    r"""Escape what a JSON document may hold bare: each becomes `\uXXXX`, which means the same.

    Line breaks stay: a document has them between its values only, where it is indented.
    """
    return _ANY.sub(_escape_for_json, text)


def _escape_for_json(found: re.Match[str]) -> str:
    return "\n" if found[0] == "\n" else f"\\u{ord(found[0]):04x}"


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def _escape_but_layout(found: re.Match[str]) -> str:
    return found[0] if found[0] in "\n\t" else _escape(found)
