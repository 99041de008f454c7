"""Kinds of artifacts, and what names and media types say of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upnext.model.artifact import (
    LONGEST_NAME,
    ArtifactType,
    checked_content_type,
    checked_name,
    kind_of,
)

JSON = ArtifactType.JSON


def test_the_values_are_those_that_dashboards_and_servers_know() -> None:
    assert {kind.name: kind.value for kind in ArtifactType} == {
        "TEXT": "text",
        "JSON": "json",
        "PNG": "image/png",
        "JPEG": "image/jpeg",
        "WEBP": "image/webp",
        "GIF": "image/gif",
        "SVG": "image/svg",
        "PDF": "file/pdf",
        "CSV": "file/csv",
        "XML": "file/xml",
        "HTML": "file/html",
        "BINARY": "file/binary",
    }


@pytest.mark.parametrize(
    ("name", "file", "kind", "media"),
    [
        ("a.png", "", ArtifactType.PNG, "image/png"),
        ("A.JPG", "", ArtifactType.JPEG, "image/jpeg"),
        ("a.b.jpeg", "", ArtifactType.JPEG, "image/jpeg"),
        ("a.webp", "", ArtifactType.WEBP, "image/webp"),
        ("a.gif", "", ArtifactType.GIF, "image/gif"),
        ("a.svg", "", ArtifactType.SVG, "image/svg+xml"),
        ("a.pdf", "", ArtifactType.PDF, "application/pdf"),
        ("a.csv", "", ArtifactType.CSV, "text/csv; charset=utf-8"),
        ("a.xml", "", ArtifactType.XML, "application/xml"),
        ("a.htm", "", ArtifactType.HTML, "text/html; charset=utf-8"),
        ("a.log", "", ArtifactType.TEXT, "text/plain; charset=utf-8"),
        ("a.json", "", ArtifactType.JSON, "application/json"),
        ("a.zip", "", ArtifactType.BINARY, "application/zip"),
        ("a.csv.gz", "", ArtifactType.BINARY, "application/gzip"),
        ("a.csv.Z", "", ArtifactType.BINARY, "application/octet-stream"),
        ("plot", "out.png", ArtifactType.PNG, "image/png"),
        ("plot.pdf", "out.png", ArtifactType.PDF, "application/pdf"),
        ("plot", "out", ArtifactType.BINARY, "application/octet-stream"),
        (".png", "", ArtifactType.BINARY, "application/octet-stream"),
        ("data:text/html,x", "", ArtifactType.BINARY, "application/octet-stream"),
    ],
)
def test_the_ending_tells_what_raw_content_is(
    name: str, file: str, kind: ArtifactType, media: str
) -> None:
    assert kind_of(name, JSON, None, raw=True, file=file) == (kind, media)


def test_what_is_said_wins_over_the_ending() -> None:
    assert kind_of("a.png", ArtifactType.PDF, None, raw=True) == (
        ArtifactType.PDF,
        "application/pdf",
    )
    assert kind_of("a.png", JSON, "image/GIF; x=1", raw=True) == (
        ArtifactType.GIF,
        "image/GIF; x=1",
    )
    assert kind_of("a.png", JSON, "video/mp4", raw=True) == (ArtifactType.BINARY, "video/mp4")
    assert kind_of("a.png", ArtifactType.TEXT, "text/x-c", raw=True) == (
        ArtifactType.TEXT,
        "text/x-c",
    )


def test_a_value_is_json_whatever_its_name() -> None:
    assert kind_of("a.png", JSON, None, raw=False) == (JSON, "application/json")
    assert kind_of("a", JSON, "application/ld+json", raw=False) == (JSON, "application/ld+json")


@given(st.text(max_size=300), st.booleans())
def test_every_name_is_refused_or_has_a_media_type(name: str, raw: bool) -> None:
    try:
        checked = checked_name(name)
    except ValueError:
        stripped = name.strip()
        assert not stripped or len(stripped) > LONGEST_NAME or not stripped.isprintable()
        return
    checked.encode()
    _, media = kind_of(checked, JSON, None, raw=raw)
    assert checked_content_type(media) == media


@given(st.text())
def test_a_media_type_cannot_carry_another_header(text: str) -> None:
    try:
        checked_content_type(text)
    except ValueError:
        return
    assert text.isascii()
    assert text.isprintable()
    assert "/" in text


@pytest.mark.parametrize("text", ["image/png", "text/plain; charset=utf-8", "a/b+c"])
def test_media_types_as_they_are(text: str) -> None:
    assert checked_content_type(text) == text


@pytest.mark.parametrize("text", ["", "png", "a/", "a/b\r\nx: y", "a/b\n", "a/ü", "a b/c"])
def test_what_is_no_media_type(text: str) -> None:
    with pytest.raises(ValueError, match="content_type"):
        checked_content_type(text)
