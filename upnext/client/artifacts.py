"""Leave artifacts behind: files and values that belong to a job besides its result."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable
from functools import cache, partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio import NoEventLoopError
from anyio.lowlevel import current_token

from upnext.client import sync
from upnext.client.artifact_body import is_raw, opened
from upnext.client.artifact_files import keep
from upnext.contracts.artifacts import DEFAULT_URL
from upnext.model.artifact import (
    Artifact,
    ArtifactType,
    checked_content_type,
    checked_name,
    kind_of,
)
from upnext.model.identity import new_job_id
from upnext.settings import Settings
from upnext.tasks.context import Context, get_current_context

__all__ = ["create_artifact", "create_artifact_sync"]

logger = logging.getLogger("upnext.artifacts")

DEFAULT_DIRECTORY = ".upnext/artifacts"

ArtifactData = bytes | bytearray | memoryview | Path | AsyncIterable[bytes] | Any
"""Bytes, a file's path, a stream, or a value: any JSON for a JSON artifact, a `str` for others."""


async def create_artifact(
    name: str,
    data: ArtifactData,
    artifact_type: ArtifactType = ArtifactType.JSON,
    content_type: str | None = None,
) -> Artifact:
    """Store something with the job that runs here.

    It goes to the server at UPNEXT_URL. Where that is not set, it goes to UPNEXT_ARTIFACT_DIR;
    where neither is, to a server on localhost:8080 if one listens, else to `.upnext/artifacts`.

    Args:
        name: What people are shown; 1 to 255 printable characters. Names need not be unique.
        data: Bytes, a `Path` (read in chunks), an async iterator of bytes (read to its end first,
            in a temporary file when it is long), or a value. For JSON a value is what the codec
            can write; for TEXT, CSV, HTML, XML and SVG a `str`; for the others a `str` of base64.
        artifact_type: How it is shown. Of bytes, paths and iterators the default says nothing:
            `content_type` decides then, or the ending of the name, or that of the path.
        content_type: Its media type; None: what its type says.

    Returns:
        The stored artifact.

    Raises:
        RuntimeError: no job runs here.
        ArtifactError: it could not be stored: refused, or the server was away for four tries, or
            the file cannot be read, or the directory cannot be written.
        ValueError: the name, the media type or the content is not what it should be.
        TypeError: such an artifact cannot be made of this.

    Cancelled, it may or may not be stored on a server; a directory has it whole or not at all.
    """
    return await _create(get_current_context(), name, data, artifact_type, content_type)


def create_artifact_sync(
    name: str,
    data: ArtifactData,
    artifact_type: ArtifactType = ArtifactType.JSON,
    content_type: str | None = None,
) -> Artifact:
    """`create_artifact` for sync jobs, in threads and processes. Blocks the thread.

    Raises:
        RuntimeError: no job runs here, or this is an event loop: await `create_artifact` there.
    """
    context = get_current_context()
    create = partial(_create, context, name, data, artifact_type, content_type)
    if sync.may_await():
        return sync.through_loop(create)
    try:
        current_token()
    except NoEventLoopError:
        return anyio.run(create)
    raise RuntimeError("this is an event loop: await create_artifact(…) here")


async def _create(
    context: Context,
    name: str,
    data: ArtifactData,
    artifact_type: ArtifactType,
    content_type: str | None,
) -> Artifact:
    name, declared = checked_name(name), ArtifactType(artifact_type)
    if content_type is not None:
        content_type = checked_content_type(content_type)
    file = data.name if isinstance(data, Path) else ""
    kind, media_type = kind_of(name, declared, content_type, raw=is_raw(data), file=file)
    settings = await anyio.to_thread.run_sync(Settings.load)
    artifact = Artifact(
        id=new_job_id("artifact"),
        job_id=context.job_id,
        name=name,
        type=kind,
        content_type=media_type,
        size=0,
        sha256="",
        where="",
    )
    async with opened(name, data, kind) as body:
        directory = Path(settings.artifact_dir or DEFAULT_DIRECTORY)
        if settings.url is None and settings.artifact_dir is not None:
            return await keep(directory, artifact, body, context.attempt)
        # httpx is costly to import: only for those who upload.
        from upnext.client.artifact_upload import NoServerError, Server, upload

        server = Server(
            url=settings.url or DEFAULT_URL,
            api_key=settings.api_key,
            is_guess=settings.url is None,
        )
        try:
            return await upload(server, artifact, body, context.attempt)
        except NoServerError:
            _say_where(directory)
            return await keep(directory, artifact, body, context.attempt)


@cache
def _say_where(directory: Path) -> None:
    """Once in a process."""
    logger.warning(
        "UPNEXT_URL is not set and no server listens at %s: artifacts go to %s"
        " (set UPNEXT_ARTIFACT_DIR to that or another directory to make it so on purpose)",
        DEFAULT_URL,
        directory.absolute(),
    )
