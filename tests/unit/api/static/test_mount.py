"""What may be declared, and what a declaration means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import upnext
from upnext.api.static import PackageManager, StaticMount, StaticMounts, StaticRuntime


def declare(path: Any = "/", **arguments: Any) -> StaticMount:
    return StaticMounts().add(path, **{"directory": "web", **arguments})


NPM = PackageManager.NPM

WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"path": "app"}, ValueError, "path must start with '/', not 'app'"),
    ({"path": ""}, ValueError, "path must not be empty"),
    ({"path": 5}, TypeError, "path must be a text, not 5"),
    ({"path": "/a/../b"}, ValueError, "must be a plain URL path"),
    ({"path": "//a"}, ValueError, "must be a plain URL path"),
    ({"path": "/a//b"}, ValueError, "must be a plain URL path"),
    ({"path": "/a?b"}, ValueError, "must be a plain URL path"),
    ({"path": "/a b"}, ValueError, "must be a plain URL path"),
    ({"path": "/{name}"}, ValueError, "must be a plain URL path"),
    ({"path": "/a\\b"}, ValueError, "must be a plain URL path"),
    ({"directory": "../web"}, ValueError, "directory must not have '..' in it"),
    ({"directory": "a\\..\\b"}, ValueError, "directory must not have '..' in it"),
    ({"directory": ""}, ValueError, "directory must not be empty"),
    ({"directory": "a\0b"}, ValueError, "directory 'a\\x00b' has a NUL character"),
    ({"directory": None}, TypeError, "directory must be a text, not None"),
    ({"package_manager": "cargo"}, ValueError, "package_manager must be one of"),
    ({"package_manager": 1}, ValueError, "package_manager must be one of"),
    ({"build_command": "make"}, ValueError, "build_command needs package_manager="),
    ({"build_command": "make", "package_manager": NPM}, ValueError, "needs output="),
    ({"build_command": "make", "output": "dist"}, ValueError, "needs package_manager="),
    (
        {"build_command": "a | b", "package_manager": NPM, "output": "dist"},
        ValueError,
        "build_command 'a | b' is run without a shell, which '|' needs",
    ),
    ({"build_command": "", "package_manager": NPM}, ValueError, "build_command must not be empty"),
    ({"dev_command": ["vite"]}, TypeError, "dev_command must be a text"),
    ({"dev_command": "vite > x"}, ValueError, "dev_command 'vite > x' is run without a shell"),
    ({"output": "../dist"}, ValueError, "output must not have '..' in it"),
    ({"output": "/dist"}, ValueError, "output must be a directory below directory="),
    ({"output": ""}, ValueError, "output must not be empty"),
    ({"spa": "yes"}, TypeError, "spa must be True or False"),
    ({"runtime_version": b"22"}, TypeError, "runtime_version must be a text"),
]


@pytest.mark.parametrize(("arguments", "kind", "line"), WRONG)
def test_a_wrong_argument_is_one_clear_line(
    arguments: dict[str, Any], kind: type[Exception], line: str
) -> None:
    with pytest.raises(kind) as caught:
        declare(**arguments)

    assert str(caught.value).startswith("static(): ")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("again", ["/app", "/app/"])
def test_a_path_is_mounted_once(again: str) -> None:
    mounts = StaticMounts()
    mounts.add("/app", directory="a")

    with pytest.raises(ValueError, match="there is a mount at '/app' already"):
        mounts.add(again, directory="b")
    assert [mount.directory for mount in mounts] == ["a"]


def test_plain_files_run_no_command(tmp_path: Path) -> None:
    mount = declare("/files/", directory=tmp_path)

    assert mount.path == "/files"
    assert mount.directory == str(tmp_path)
    assert mount.served == tmp_path
    assert (mount.install_steps, mount.build_steps, mount.dev_steps) == ((), (), ())
    assert mount.spa is True


@pytest.mark.parametrize(
    ("manager", "install", "build", "dev", "version"),
    [
        ("bun", ["bun install --frozen-lockfile"], "bun run build", "bun dev", "1"),
        ("npm", ["npm ci"], "npm run build", "npm run dev", "22"),
        ("yarn", ["yarn install --frozen-lockfile"], "yarn build", "yarn dev", "22"),
        (
            "pnpm",
            ["corepack enable", "pnpm install --frozen-lockfile"],
            "pnpm build",
            "pnpm dev",
            "22",
        ),
    ],
)
def test_commands_of_package_managers(
    manager: str, install: list[str], build: str, dev: str, version: str
) -> None:
    mount = declare(package_manager=manager, output="dist")

    assert [str(step) for step in mount.install_steps] == install
    assert [str(step) for step in mount.build_steps] == [build]
    assert [str(step) for step in mount.dev_steps] == [dev]
    assert PackageManager(manager).commands.runtime_version == version


def test_own_commands_come_before_the_package_managers() -> None:
    mount = declare(
        package_manager=NPM, output="dist", build_command="make web", dev_command="make dev"
    )

    assert [str(step) for step in (*mount.build_steps, *mount.dev_steps)] == [
        "make web",
        "make dev",
    ]


def test_without_an_output_nothing_is_built_and_the_directory_is_served() -> None:
    mount = declare(package_manager=NPM)

    assert mount.build_steps == ()
    assert mount.served == mount.project


@pytest.mark.parametrize(
    ("mounted", "path", "rest"),
    [
        ("/", "/", ""),
        ("/", "/a/b", "a/b"),
        ("/", "//etc/passwd", "/etc/passwd"),
        ("/app", "/app", ""),
        ("/app", "/app/", ""),
        ("/app", "/app/a", "a"),
        ("/app", "/application", None),
        ("/app", "/", None),
        ("/app", "", None),
    ],
)
def test_what_is_below_a_mount(mounted: str, path: str, rest: str | None) -> None:
    assert declare(mounted).rest_of(path) == rest


def test_public_names() -> None:
    assert upnext.PackageManager is upnext.StaticRuntime is StaticRuntime is PackageManager
