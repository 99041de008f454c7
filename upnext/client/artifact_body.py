"""The content of an artifact, in whatever form it comes, as something to read more than once."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast

import anyio.to_thread
from attrs import define, field

from upnext.contracts.codec import ResultCodec
from upnext.errors import ArtifactError
from upnext.model.artifact import ArtifactType

CHUNK = 256 * 1024
"""Bytes that are read, hashed and sent at a time."""
IN_MEMORY = 1024 * 1024
"""Bytes of a stream that are kept in memory; what is longer waits in a temporary file."""

_Bytes = bytes | bytearray | memoryview


def is_raw(data: object) -> bool:
    """Whether the content comes as bytes."""
    return isinstance(data, _Bytes | Path | AsyncIterable)


class ShrunkError(Exception):
    """A file became shorter while it was read."""


@define(eq=False)
class Body:
    """Content that can be read from its start as often as it takes."""

    file: IO[bytes]
    blocking: bool
    """Whether reading it may block: it is not in memory."""

    def rewind(self) -> Reader:
        """A reader from the start."""
        size = self.file.seek(0, os.SEEK_END)
        self.file.seek(0)
        return Reader(self, size)


@define(eq=False)
class Reader:
    """Reads a body once, in chunks, and hashes what it reads.

    No generator: whoever sends it may stop half way, and then nothing is left to be closed.
    """

    body: Body
    size: int
    """Bytes that are to be read, and no more of them."""
    read: int = 0
    _digest: Any = field(factory=hashlib.sha256)

    def chunk(self) -> bytes:
        """The next one; empty at the end. Blocks where the body does.

        Raises:
            ShrunkError: the end comes too early.
        """
        left = self.size - self.read
        chunk = self.body.file.read(min(CHUNK, left))
        if left and not chunk:
            raise ShrunkError("the file became shorter while it was read")
        self._digest.update(chunk)
        self.read += len(chunk)
        return chunk

    @property
    def sha256(self) -> str:
        """Of what was read so far, in hex."""
        return self._digest.hexdigest()

    def __aiter__(self) -> Reader:
        return self

    async def __anext__(self) -> bytes:
        if self.body.blocking:
            chunk = await anyio.to_thread.run_sync(self.chunk)
        else:
            chunk = self.chunk()
        if not chunk:
            raise StopAsyncIteration
        return chunk


@asynccontextmanager
async def opened(name: str, data: object, kind: ArtifactType) -> AsyncGenerator[Body]:
    """Open the content of an artifact.

    A stream is read to its end first: it can be read once only, and a request may have to be sent
    twice.

    Args:
        name: The artifact's.
        data: Bytes, a Path, an async iterator of bytes, or a value.
        kind: What a value is to be made into.

    Raises:
        ArtifactError: the file cannot be read.
        TypeError: this cannot be the content of such an artifact.
        ValueError: it is not what it should be; CodecError when it is no JSON.
    """
    if isinstance(data, _Bytes):
        yield Body(io.BytesIO(cast("bytes", data)), blocking=False)
    elif isinstance(data, Path):
        try:
            file = await anyio.to_thread.run_sync(_open, data)
        except OSError as error:
            raise ArtifactError(name, f"cannot be read: {error}") from error
        with file:
            yield Body(file, blocking=True)
    elif isinstance(data, AsyncIterable):
        with SpooledTemporaryFile[bytes](max_size=IN_MEMORY) as file:
            await _spool(cast("AsyncIterable[object]", data), file)
            yield Body(file, blocking=True)
    else:
        yield Body(io.BytesIO(_encoded(data, kind)), blocking=False)


def _open(path: Path) -> IO[bytes]:
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path} is not a regular file")
    return path.open("rb")


async def _spool(stream: AsyncIterable[object], file: IO[bytes]) -> None:
    async with AsyncExitStack() as stack:
        if isinstance(stream, AsyncGenerator):
            stack.push_async_callback(stream.aclose)
        async for chunk in stream:
            if not isinstance(chunk, _Bytes):
                raise TypeError(f"the iterator of an artifact must give bytes, not {chunk!r:.80}")
            await anyio.to_thread.run_sync(file.write, cast("bytes", chunk))


def _encoded(data: object, kind: ArtifactType) -> bytes:
    if kind is ArtifactType.JSON:
        return ResultCodec.of(Any).encode(data)
    if not isinstance(data, str):
        raise TypeError(
            f"a {kind.name} artifact is made of bytes, a Path, an async iterator or a str,"
            f" not of {type(data).__name__}"
        )
    if kind.is_text:
        return data.encode("utf-8")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(
            f"a str for a {kind.name} artifact must be base64; pass bytes as they are"
        ) from None
