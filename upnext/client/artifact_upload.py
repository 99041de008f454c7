"""Send an artifact to the server."""

from __future__ import annotations

import random
import ssl
from contextlib import aclosing
from functools import cache
from typing import Any, cast

import anyio
import anyio.to_thread
import httpx
import orjson
from attrs import evolve, frozen

from upnext.client.artifact_body import Body, Reader, ShrunkError
from upnext.contracts.artifacts import content_url, upload_parameters, upload_url
from upnext.errors import ArtifactError
from upnext.model.artifact import Artifact

ATTEMPTS = 4
"""Requests in all, when the server is away, silent, or in trouble."""
FIRST_DELAY = 0.25
"""Seconds before the second request; each further one waits twice as long."""
LONGEST_DELAY = 10.0
"""Seconds; a server's `Retry-After` counts up to here."""
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
"""Seconds without any progress."""
MOST_ANSWER = 65_536
"""Bytes of an answer that are looked at."""
_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers that may be another one next time."""
_HINTS = {
    401: "set UPNEXT_API_KEY to a key of this server",
    403: "set UPNEXT_API_KEY to a key that may write",
    404: "is this an UpNext server? UPNEXT_URL says where it is",
    405: "is this an UpNext server? UPNEXT_URL says where it is",
    413: "it is larger than the server takes",
}


class NoServerError(Exception):
    """Nobody listens there."""


@frozen(kw_only=True)
class Server:
    """Where artifacts go."""

    url: str
    api_key: str | None = None
    is_guess: bool = False
    """Nobody said that a server is there: find out at once, and use no proxy."""


@frozen
class _Content(httpx.AsyncByteStream):
    reader: Reader

    def __aiter__(self) -> Reader:
        return self.reader


@frozen
class _Trouble:
    """Why a request came to nothing, and may fare better."""

    why: str
    status: int | None = None
    delay: float = 0.0


async def upload(server: Server, artifact: Artifact, body: Body, attempt: int) -> Artifact:
    """Send an artifact, and see that it arrived.

    Cancelled, it may or may not be stored.

    Args:
        server: Where to.
        artifact: All that is known of it before it is read.
        body: Its content.
        attempt: The attempt of the job that makes it.

    Returns:
        The artifact with its size, hash and URL.

    Raises:
        ArtifactError: the server refused it, or could not be reached in `ATTEMPTS` tries.
        NoServerError: nobody listens where a server was only guessed to be.
    """
    verify = await anyio.to_thread.run_sync(_tls) if server.url.startswith("https:") else False
    headers = {"Content-Type": artifact.content_type, "User-Agent": "upnext"}
    if server.api_key is not None:
        headers["Authorization"] = f"Bearer {server.api_key}"
    client = httpx.AsyncClient(
        verify=verify, timeout=TIMEOUT, headers=headers, trust_env=not server.is_guess
    )
    delay, trouble = FIRST_DELAY, _Trouble("")
    async with client:
        for number in range(ATTEMPTS):
            if number:
                await anyio.sleep(max(trouble.delay, delay * random.uniform(0.5, 1.0)))
                delay *= 2
            answer = await _send(client, server, artifact, body, attempt)
            if isinstance(answer, Artifact):
                return answer
            trouble = answer
    raise ArtifactError(
        artifact.name,
        f"{server.url}: {trouble.why}, {ATTEMPTS} times",
        status=trouble.status,
    )


async def _send(
    client: httpx.AsyncClient, server: Server, artifact: Artifact, body: Body, attempt: int
) -> Artifact | _Trouble:
    reader = body.rewind()
    request = client.build_request(
        "POST",
        upload_url(server.url, artifact.job_id),
        params=upload_parameters(artifact.id, artifact.name, artifact.type, attempt),
        headers={"Content-Length": str(reader.size)},
        content=reader,
    )
    # Its own stream is a generator, left half read wherever a connection breaks.
    request.stream = _Content(reader)
    try:
        response = await client.send(request, stream=True)
        async with aclosing(response):
            text = await _read(response)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        if server.is_guess:
            raise NoServerError from error
        return _Trouble(f"cannot be reached ({_said(error)})")
    except (httpx.TransportError, ShrunkError) as error:
        return _Trouble(_said(error))
    except OSError as error:
        raise ArtifactError(artifact.name, f"cannot be read: {error}") from error
    return _judge(server, artifact, reader, response, text)


def _judge(
    server: Server, artifact: Artifact, reader: Reader, response: httpx.Response, text: bytes
) -> Artifact | _Trouble:
    status, told = response.status_code, _object(text)
    if not response.is_success:
        why = f"{status} {response.reason_phrase}".strip()
        said = told.get("error") or told.get("detail") or text[:200].decode("utf-8", "replace")
        why += f": {' '.join(str(said).split())[:200]}" if said else ""
        if status in _PASSING:
            return _Trouble(why, status, _retry_after(response))
        hint = f" ({_HINTS[status]})" if status in _HINTS else ""
        raise ArtifactError(artifact.name, f"{server.url}: {why}{hint}", status=status)
    arrived = told.get("sha256")
    if isinstance(arrived, str) and arrived.lower() != reader.sha256:
        return _Trouble("what arrived has another hash than what was sent", status)
    there = told.get("id")
    artifact_id = there if isinstance(there, str) and there else artifact.id
    url = told.get("url")
    return evolve(
        artifact,
        id=artifact_id,
        size=reader.read,
        sha256=reader.sha256,
        where=url if isinstance(url, str) and url else content_url(server.url, artifact_id),
    )


async def _read(response: httpx.Response) -> bytes:
    text = b""
    async for chunk in response.aiter_bytes():
        text += chunk[: MOST_ANSWER - len(text)]
    return text


def _object(text: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}


def _retry_after(response: httpx.Response) -> float:
    try:
        seconds = float(response.headers.get("Retry-After", "0"))
    except ValueError:  # a date
        return 0.0
    return min(LONGEST_DELAY, seconds) if seconds > 0 else 0.0


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")


@cache
def _tls() -> ssl.SSLContext:
    """Reading the certificates takes longer than most uploads: once in a process."""
    return httpx.create_ssl_context()
