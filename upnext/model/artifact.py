"""What a job leaves behind besides its result: its kinds, and how they are told apart."""

from __future__ import annotations

import re
from enum import StrEnum
from mimetypes import MimeTypes
from pathlib import PurePath

from attrs import frozen

__all__ = ["Artifact", "ArtifactType"]

LONGEST_NAME = 255
"""Characters."""


class ArtifactType(StrEnum):
    """How an artifact is shown."""

    TEXT = "text"
    JSON = "json"
    PNG = "image/png"
    JPEG = "image/jpeg"
    WEBP = "image/webp"
    GIF = "image/gif"
    SVG = "image/svg"
    PDF = "file/pdf"
    CSV = "file/csv"
    XML = "file/xml"
    HTML = "file/html"
    BINARY = "file/binary"

    @property
    def content_type(self) -> str:
        """The media type that stands for it."""
        return _CONTENT_TYPES[self]

    @property
    def is_text(self) -> bool:
        """Whether a `str` is such an artifact's very content."""
        return self in _TEXTS


@frozen(kw_only=True)
class Artifact:
    """One stored artifact."""

    id: str
    job_id: str
    name: str
    type: ArtifactType
    content_type: str
    size: int
    """Bytes."""
    sha256: str
    """Of the content, in hex."""
    where: str
    """The URL of the content, or its path in the local artifact directory."""


def checked_name(name: str) -> str:
    """The name of an artifact.

    Raises:
        ValueError: it is empty, too long, or has control characters.
    """
    if not isinstance(name, str) or not (name := name.strip()):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"an artifact's name must be a text that is not empty, not {name!r}")
    if len(name) > LONGEST_NAME:
        raise ValueError(
            f"an artifact's name has {LONGEST_NAME} characters at most: {name[:40]!r}…"
        )
    if not name.isprintable():  # control characters, lone surrogates
        raise ValueError(f"an artifact's name must be printable, not {name!r}")
    return name


def checked_content_type(text: str) -> str:
    """A media type, such as `image/png` or `text/plain; charset=utf-8`.

    Raises:
        ValueError: it is none.
    """
    if not _MEDIA_TYPE.fullmatch(text):
        raise ValueError(f"content_type must be like 'image/png', not {text!r}")
    return text


def kind_of(
    name: str, declared: ArtifactType, content_type: str | None, *, raw: bool, file: str = ""
) -> tuple[ArtifactType, str]:
    """The type and the media type of an artifact.

    Of raw content the default JSON says nothing: then the media type that is given decides, else
    the ending of the name, else that of the file.

    Args:
        name: Its name.
        declared: What the caller says.
        content_type: What the caller says, if anything.
        raw: Whether the content comes as bytes.
        file: The name of the file that it comes from, if any.
    """
    if not raw or declared is not ArtifactType.JSON:
        return declared, content_type or declared.content_type
    if content_type is not None:
        media = content_type.partition(";")[0].strip().lower()
        return _TYPES_OF.get(media, ArtifactType.BINARY), content_type
    for candidate in (name, file):
        if (media := _media_type(candidate)) is not None:
            kind = _TYPES_OF.get(media, ArtifactType.BINARY)
            return kind, media if kind is ArtifactType.BINARY else kind.content_type
    return ArtifactType.BINARY, ArtifactType.BINARY.content_type


def _media_type(name: str) -> str | None:
    suffix = PurePath(name).suffix.lower()
    if suffix in _ENDINGS:
        return _ENDINGS[suffix]
    media, encoding = _KNOWN.guess_type(f"x{''.join(PurePath(name).suffixes[-2:])}")
    return _PACKED.get(encoding, "application/octet-stream") if encoding else media


_KNOWN = MimeTypes()  # the built-in table alone: the same on every machine
_ENDINGS = {".log": "text/plain", ".md": "text/plain", ".webp": "image/webp"}
_PACKED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}(\s*;[ -~]{1,200})?", re.ASCII)
_TEXTS = {
    *(ArtifactType.TEXT, ArtifactType.SVG, ArtifactType.CSV),
    *(ArtifactType.XML, ArtifactType.HTML),
}
_CONTENT_TYPES = {
    ArtifactType.TEXT: "text/plain; charset=utf-8",
    ArtifactType.JSON: "application/json",
    ArtifactType.PNG: "image/png",
    ArtifactType.JPEG: "image/jpeg",
    ArtifactType.WEBP: "image/webp",
    ArtifactType.GIF: "image/gif",
    ArtifactType.SVG: "image/svg+xml",
    ArtifactType.PDF: "application/pdf",
    ArtifactType.CSV: "text/csv; charset=utf-8",
    ArtifactType.XML: "application/xml",
    ArtifactType.HTML: "text/html; charset=utf-8",
    ArtifactType.BINARY: "application/octet-stream",
}
_TYPES_OF = {media.partition(";")[0]: kind for kind, media in _CONTENT_TYPES.items()}
_TYPES_OF["text/xml"] = ArtifactType.XML
