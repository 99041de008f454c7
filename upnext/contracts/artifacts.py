"""How an artifact goes to the server: one request, its content as it is.

    POST {UPNEXT_URL}/api/v1/jobs/{job_id}/artifacts?id=…&name=…&type=…&attempt=…
    Content-Type: image/png
    Content-Length: 4096
    Authorization: Bearer {UPNEXT_API_KEY}

The id is the client's: the same request again makes no second artifact. The server answers 200 or
201, or 202 when it does not know the job yet, with a JSON object; of `id`, `sha256` and `url` the
client takes note. Anything else is a refusal, with the reason in `error`.
"""

from __future__ import annotations

from urllib.parse import quote

from upnext.model.artifact import ArtifactType

DEFAULT_URL = "http://localhost:8080"
"""Where a server is looked for when UPNEXT_URL says nothing."""


def upload_url(server: str, job_id: str) -> str:
    """Where the artifacts of a job go."""
    return f"{server.rstrip('/')}/api/v1/jobs/{quote(job_id, safe='')}/artifacts"


def content_url(server: str, artifact_id: str) -> str:
    """Where the content of an artifact can be had."""
    return f"{server.rstrip('/')}/api/v1/artifacts/{quote(artifact_id, safe='')}/content"


def upload_parameters(
    artifact_id: str, name: str, artifact_type: ArtifactType, attempt: int
) -> dict[str, str]:
    """What the request says of the artifact besides its content and media type."""
    return {
        "id": artifact_id,
        "name": name,
        "type": artifact_type.value,
        "attempt": str(attempt),
    }
