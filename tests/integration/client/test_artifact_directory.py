"""Artifacts in a directory, where there is no server."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import anyio
import pytest

from tests.support.artifact_server import BIG, free_port, in_pieces
from upnext import ArtifactError, Context, create_artifact
from upnext.client import artifact_body, artifacts
from upnext.tasks.context import current_context

pytestmark = pytest.mark.usefixtures("job")


def read(path: Path) -> bytes:
    return path.read_bytes()


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("asked", [True, False])
async def test_without_a_server_it_goes_to_the_directory(
    asked: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(artifacts, "DEFAULT_URL", f"http://127.0.0.1:{free_port()}")
    directory = tmp_path / ("mine" if asked else ".upnext/artifacts")
    if asked:
        monkeypatch.setenv("UPNEXT_ARTIFACT_DIR", "mine")
    caplog.set_level(logging.WARNING)
    made = await create_artifact("rows.csv", in_pieces(b"a,b\n1,2\n"))
    again = await create_artifact("rows.csv", b"")
    assert len([one for one in caplog.records if one.name == "upnext.artifacts"]) == (not asked)
    assert asked or str(directory) in caplog.text
    assert made.id != again.id
    path = Path(made.where)
    assert path.parent == directory / "make-1"
    assert read(path) == b"a,b\n1,2\n"
    meta = json.loads(read(path.parent / f"{made.id}.meta.json"))
    assert meta["created_at"]
    assert meta | {"created_at": ""} == {
        "id": made.id,
        "job_id": "make-1",
        "name": "rows.csv",
        "type": "file/csv",
        "content_type": "text/csv; charset=utf-8",
        "size": 8,
        "sha256": hashlib.sha256(b"a,b\n1,2\n").hexdigest(),
        "where": str(path),
        "attempt": 2,
        "created_at": "",
    }
    assert not [one for one in path.parent.iterdir() if one.name.startswith(".")]


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "..", "a/b\\c.txt", "x" * 255, "ü🙂", "-rf", ".x"]
)
@pytest.mark.parametrize("job_id", ["make-1", "../../up", ".."])
async def test_no_name_leads_out_of_the_directory(
    name: str, job_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPNEXT_ARTIFACT_DIR", "deep/er/mine")
    token = current_context.set(Context(job_id=job_id))
    made = await create_artifact(name, b"1")
    current_context.reset(token)
    files = files_in(tmp_path)
    assert len(files) == 2
    for path in files:
        assert path.parent.parent == tmp_path / "deep/er/mine"
        assert path.resolve() == path
    assert Path(made.where) in files
    assert made.name == name


async def test_a_directory_has_an_artifact_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPNEXT_ARTIFACT_DIR", str(tmp_path / "mine"))
    path = tmp_path / "big"
    path.write_bytes(BIG)
    chunk = artifact_body.Reader.chunk
    scope = anyio.CancelScope()

    def cut_off(self: artifact_body.Reader) -> bytes:
        if self.read:
            anyio.from_thread.run_sync(scope.cancel)
        return chunk(self)

    monkeypatch.setattr(artifact_body.Reader, "chunk", cut_off)
    with scope:
        await create_artifact("big", path)
    assert scope.cancelled_caught
    assert list((tmp_path / "mine" / "make-1").iterdir()) == []

    def fail(*_: object) -> bytes:
        raise OSError("no space left")

    monkeypatch.setattr(artifact_body.Reader, "chunk", chunk)
    monkeypatch.setattr("upnext.client.artifact_files._metadata", fail)
    with pytest.raises(ArtifactError, match="no space left"):
        await create_artifact("big", path)
    assert list((tmp_path / "mine" / "make-1").iterdir()) == []
