"""A chart as PNG and a page as PDF, made of the standard library alone."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

BAR, GAP, HEIGHT = 12, 4, 120
WHITE, BLUE = b"\xff\xff\xff", b"\x2b\x6c\xb0"
LINES_ON_A_PAGE = 48
FONTS = b"/Resources << /Font << /F1 5 0 R >> >>"


def chart_png(values: Sequence[float]) -> bytes:
    """A bar chart, as high as its highest bar."""
    most = max(values, default=0.0) or 1.0
    heights = [round(HEIGHT * max(0.0, value) / most) for value in values]
    rows: list[bytes] = []
    for row in range(HEIGHT):
        bars = [(BLUE if height >= HEIGHT - row else WHITE) * BAR for height in heights]
        pixels = WHITE * GAP + b"".join(bar + WHITE * GAP for bar in bars)
        rows.append(b"\0" + pixels)  # each row begins with the number of its filter
    width = GAP + len(heights) * (BAR + GAP)
    header = struct.pack(">IIBBBBB", width, HEIGHT, 8, 2, 0, 0, 0)  # 8 bits of RGB
    image = zlib.compress(b"".join(rows))
    chunks = [_chunk(b"IHDR", header), _chunk(b"IDAT", image), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def page_pdf(lines: Sequence[str]) -> bytes:
    """One A4 page with lines of text."""
    shown = "\n".join(f"({_escaped(line)}) '" for line in lines[:LINES_ON_A_PAGE])
    text = f"BT /F1 11 Tf 15 TL 60 800 Td\n{shown}\nET".encode("latin-1", "replace")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R %s >>" % FONTS,
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    file = b"%PDF-1.4\n"
    places: list[int] = []
    for number, body in enumerate(objects, 1):
        places.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    entries = b"".join(b"%010d 00000 n \n" % place for place in places)
    table = b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(places) + 1, entries)
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\n" % (len(places) + 1)
    return file + table + trailer + b"startxref\n%d\n%%%%EOF\n" % len(file)


def _escaped(line: str) -> str:
    return line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
