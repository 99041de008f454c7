"""Keep an artifact in the local artifact directory.

    <directory>/<job id>/<artifact id>-<name>          the content
    <directory>/<job id>/<artifact id>.meta.json       what is known of it

Both appear at once and complete, the second one last. A name becomes a part of a file name with
everything but letters, digits, `.`, `_` and `-` replaced, behind the id: no name leads elsewhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import anyio.from_thread
import anyio.to_thread
import orjson
from attrs import asdict, evolve

from upnext.client.artifact_body import Body, ShrunkError
from upnext.errors import ArtifactError
from upnext.model.artifact import Artifact

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_PART = 100


async def keep(directory: Path, artifact: Artifact, body: Body, attempt: int) -> Artifact:
    """Write an artifact; cancelled, nothing is left of it.

    Returns:
        The artifact with its size, hash and path.

    Raises:
        ArtifactError: it cannot be written.
    """
    return await anyio.to_thread.run_sync(_keep, directory, artifact, body, attempt)


def _keep(directory: Path, artifact: Artifact, body: Body, attempt: int) -> Artifact:
    folder = directory.absolute() / _part(artifact.job_id).replace(".", "_")
    path = folder / f"{artifact.id}-{_part(artifact.name)}"
    reader = body.rewind()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _whole(path) as file:
            while chunk := reader.chunk():
                anyio.from_thread.check_cancelled()
                file.write(chunk)
        kept = evolve(artifact, size=reader.read, sha256=reader.sha256, where=str(path))
        try:
            with _whole(folder / f"{artifact.id}.meta.json") as file:
                file.write(_metadata(kept, attempt))
        except BaseException:  # whatever it was, half a file must not stay
            path.unlink(missing_ok=True)
            raise
    except (OSError, ShrunkError) as error:
        raise ArtifactError(artifact.name, f"cannot be written to {folder}: {error}") from error
    return kept


@contextmanager
def _whole(path: Path) -> Generator[IO[bytes]]:
    """A new file that is there when it is complete, and not at all otherwise."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _metadata(artifact: Artifact, attempt: int) -> bytes:
    facts = asdict(artifact) | {
        "attempt": attempt,
        "created_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    return orjson.dumps(facts, option=orjson.OPT_INDENT_2)


def _part(text: str) -> str:
    return _UNSAFE.sub("_", text)[-_LONGEST_PART:]
