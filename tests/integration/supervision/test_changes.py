"""What counts as a change of the user's source, on a real file system."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from upnext.supervision.changes import Source
from upnext.supervision.folders import folders_below, local_folders, matters


@asynccontextmanager
async def told(source: Source) -> AsyncIterator[Callable[[Path], object]]:
    """Write files until one of them is told: a watch has no signal that it stands."""
    async with aclosing(source.changes()) as changes:

        async def see(path: Path) -> str:
            path.parent.mkdir(parents=True, exist_ok=True)
            async with anyio.create_task_group() as group:
                group.start_soon(_touch, path)
                found = await _until(changes, path.name)
                group.cancel_scope.cancel()
            return found

        yield see


async def _touch(path: Path) -> None:
    while True:
        await anyio.Path(path).write_text(str(anyio.current_time()))
        await anyio.sleep(0.3)


async def _until(changes: AsyncGenerator[str], name: str) -> str:
    async for changed in changes:
        if name in changed:
            return changed
    raise AssertionError("the changes have ended")


async def test_files_that_exist_that_are_new_and_in_new_folders_are_told(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "app.py").touch()
    with anyio.fail_after(20):
        async with told(Source([str(tmp_path)])) as see:
            await see(tmp_path / "app.py")
            await see(tmp_path / "package" / "new.py")
            await see(tmp_path / "package" / "later" / "deep" / "module.py")
            await see(tmp_path / ".env")


async def test_folders_of_modules_from_elsewhere_count_once_they_are_known(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "library").mkdir()
    source = Source([str(tmp_path / "app")])
    with anyio.fail_after(20):
        async with told(source) as see:
            await see(tmp_path / "app" / "main.py")
            source.include([str(tmp_path / "library"), str(tmp_path / "gone")])
            await see(tmp_path / "library" / "shared.py")


def test_folders_without_source_are_left_out(tmp_path: Path) -> None:
    for folder in (
        "src/shop",
        ".venv/lib",
        "env/lib",
        ".git/refs",
        "node_modules/x",
        "__pycache__",
    ):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "env" / "pyvenv.cfg").touch()
    below = [os.path.relpath(folder, tmp_path) for folder in folders_below(str(tmp_path))]
    assert below == [".", "src", "src/shop"]


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("/a/app.py", True),
        ("/a/.env", True),
        ("/a/native.so", True),
        ("/a/.#app.py", False),
        ("/a/app.py~", False),
        ("/a/app.pyc", False),
        ("/a/data.json", False),
    ],
)
def test_what_is_source(path: str, counts: bool) -> None:
    assert matters(path) is counts


def test_local_modules_are_those_that_are_not_installed() -> None:
    folders = local_folders()
    assert str(Path(__file__).parent) in folders or str(Path(__file__).parents[2]) in folders
    assert os.path.dirname(pytest.__file__) not in folders
    assert os.path.dirname(os.__file__) not in folders
    assert not any(folder.startswith(os.path.join(sys.prefix, "lib")) for folder in folders)
