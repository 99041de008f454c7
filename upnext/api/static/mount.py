"""One directory of files that an API serves, and how it is built."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from attrs import Attribute, field, frozen

from upnext.api.static.command import Step, steps_of
from upnext.api.static.package_manager import PackageManager

__all__ = ["StaticMount"]

Field = Attribute  # of attrs, whose own name says nothing in a signature


def _text(instance: object, attribute: Field[Any], value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"static(): {attribute.name} must be a text, not {value!r}")
    if not value.strip():
        raise ValueError(f"static(): {attribute.name} must not be empty")


def _text_or_none(instance: object, attribute: Field[Any], value: object) -> None:
    if value is not None:
        _text(instance, attribute, value)


def _command(instance: object, attribute: Field[Any], value: str | None) -> None:
    _text_or_none(instance, attribute, value)
    if value is not None:
        try:
            steps_of(value)
        except ValueError as error:
            raise ValueError(f"static(): {attribute.name} {error}") from None


def _url_path(instance: object, attribute: Field[Any], value: str) -> None:
    _text(instance, attribute, value)
    if not value.startswith("/"):
        raise ValueError(f"static(): path must start with '/', not {value!r}")
    if re.search(r"[\x00-\x20\x7f\\?#%{}<>:]", value) or any(
        name in ("", ".", "..") for name in value.split("/")[1:] if value != "/"
    ):
        raise ValueError(f"static(): path {value!r} must be a plain URL path such as '/app'")


def _no_way_up(instance: object, attribute: Field[Any], value: str) -> None:
    _text(instance, attribute, value)
    if "\x00" in value:
        raise ValueError(f"static(): {attribute.name} {value!r} has a NUL character")
    if ".." in re.split(r"[/\\]", value):
        raise ValueError(f"static(): {attribute.name} must not have '..' in it: {value!r}")


def _below(instance: object, attribute: Field[Any], value: str | None) -> None:
    if value is None:
        return
    _no_way_up(instance, attribute, value)
    if os.path.isabs(value):
        raise ValueError(
            f"static(): output must be a directory below directory=, not the absolute {value!r}"
        )


def _plain_path(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("/") and not value.startswith("//"):
        return value.removesuffix("/") or "/"
    return value


def _as_text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _as_package_manager(value: Any) -> Any:
    if value is None:
        return None
    try:
        return PackageManager(value)
    except ValueError:
        known = ", ".join(f"PackageManager.{known.name}" for known in PackageManager)
        raise ValueError(
            f"static(): package_manager must be one of {known}, not {value!r}"
        ) from None


def _as_runtime_version(value: Any) -> Any:
    return str(value) if type(value) in (int, float) else value


def _flag(instance: object, attribute: Field[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"static(): {attribute.name} must be True or False, not {value!r}")


@frozen(kw_only=True)
class StaticMount:
    """One `api.static(…)`, as it was declared."""

    path: str = field(converter=_plain_path, validator=_url_path)
    directory: str = field(converter=_as_text, validator=_no_way_up)
    package_manager: PackageManager | None = field(default=None, converter=_as_package_manager)
    runtime_version: str | None = field(
        default=None, converter=_as_runtime_version, validator=_text_or_none
    )
    build_command: str | None = field(default=None, validator=_command)
    dev_command: str | None = field(default=None, validator=_command)
    output: str | None = field(default=None, converter=_as_text, validator=_below)
    spa: bool = field(default=True, validator=_flag)

    def __attrs_post_init__(self) -> None:
        if self.build_command is None:
            return
        if self.package_manager is None:
            raise ValueError(
                "static(): build_command needs package_manager=, such as PackageManager.NPM"
            )
        if self.output is None:
            raise ValueError(
                "static(): build_command needs output=, the directory that it writes,"
                " such as output='dist'"
            )

    @property
    def project(self) -> Path:
        """Where commands run."""
        return Path(self.directory).absolute()

    @property
    def served(self) -> Path:
        """What is served: the output of the build, or the directory itself."""
        return self.project / (self.output or "")

    @property
    def install_steps(self) -> tuple[Step, ...]:
        """Bring in what the frontend depends on; nothing without a package manager."""
        return steps_of(self.package_manager.commands.install) if self.package_manager else ()

    @property
    def build_steps(self) -> tuple[Step, ...]:
        """Write `output`; nothing without one, because the directory is then served as it is."""
        if self.package_manager is None or self.output is None:
            return ()
        return steps_of(self.build_command or self.package_manager.commands.build)

    @property
    def dev_steps(self) -> tuple[Step, ...]:
        """Run the dev server; nothing for plain files."""
        if self.dev_command is not None:
            return steps_of(self.dev_command)
        return steps_of(self.package_manager.commands.dev) if self.package_manager else ()

    def rest_of(self, path: str) -> str | None:
        """The part of a URL path below the mount, '' for the mount itself; None if not below."""
        if self.path == "/":
            return path[1:] if path.startswith("/") else None
        if path == self.path:
            return ""
        return path[len(self.path) + 1 :] if path.startswith(f"{self.path}/") else None
