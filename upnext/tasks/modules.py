r"""Import a user's file so that every process agrees on what module it is.

A file inside a package (a chain of folders with `__init__.py`) is imported under its real dotted
name. A plain script is imported under its stem only where that name truly means this file; where
it means something else (`queue.py`, a second `tasks.py` in another folder), the script gets a
private name, so it neither shadows nor is shadowed. Users' folders come behind the standard
library on `sys.path`, before installed packages.

Worker processes find a function's module again by what `locate` noted of it in the parent. This
module imports nothing of ours but the errors, so that a child starts fast.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
import sysconfig
from contextvars import ContextVar
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from attrs import frozen

from upnext.errors import ConfigurationError


@frozen
class ModuleSource:
    """Where a module came from: small, picklable, enough to import it in another process."""

    name: str
    file: str | None
    """Absolute path; None for a module that is not in a file of its own."""


def locate(module_name: str) -> ModuleSource:
    """Note where an imported module came from.

    Args:
        module_name: Its name in `sys.modules`, as in a function's `__module__`.

    Raises:
        ConfigurationError: There is no such module in this process.
    """
    module = sys.modules.get(module_name)
    if module is None:
        raise ConfigurationError(f"module {module_name!r} is not imported in this process")
    spec: ModuleSpec | None = getattr(module, "__spec__", None)
    if module_name == "__main__" and spec is not None:
        module_name = spec.name  # started by `python -m`: this is its name for everybody else
    return ModuleSource(module_name, _file_of(module))


def load(source: ModuleSource) -> ModuleType:
    """Import the module that `locate` noted, or find it if this process has it already.

    Raises:
        ConfigurationError: It was typed into an interactive session, so there is nothing to
            import, or another module has its name here.
    """
    loaded = sys.modules.get(source.name)
    if source.file is None or not os.path.exists(source.file):
        if source.name == "__main__":
            raise ConfigurationError(
                "functions of an interactive session cannot run in a worker process:"
                " put them into a file"
            )
        return loaded or importlib.import_module(source.name)
    if loaded is not None and _same_file(_file_of(loaded), source.file):
        return loaded
    if source.name != "__main__" and _same_file(_file_behind(source.name), source.file):
        return importlib.import_module(source.name)
    return import_file(Path(source.file))


def import_file(path: Path) -> ModuleType:
    """Import one Python file, once: a file that some module was made of already is that module.

    Args:
        path: The file; its folder, or the one that holds its topmost package, becomes importable.

    Raises:
        ConfigurationError: It is part of a package whose name means another package here.
        Exception: Whatever the file itself raises.
    """
    file = os.path.abspath(path)
    root, name = real_name(Path(file))
    make_importable(root)
    token = _importing.set(True)
    try:
        return _import(path, file, root, name)
    finally:
        _importing.reset(token)


def import_named(name: str) -> ModuleType:
    """Import a module of the user's by its name; raises whatever it raises."""
    token = _importing.set(True)
    try:
        return importlib.import_module(name)
    finally:
        _importing.reset(token)


def is_importing() -> bool:
    """Whether a user's file is being imported right now, further up the stack."""
    return _importing.get()


_importing = ContextVar("upnext_importing", default=False)


def _import(path: Path, file: str, root: Path, name: str) -> ModuleType:
    for module in list(sys.modules.values()):
        if _same_file(_file_of(module), file):
            return module
    if root == Path(file).parent:
        if name.isidentifier() and _same_file(_file_behind(name), file):
            return importlib.import_module(name)
        return _import_privately(file)
    top = name.partition(".")[0]
    there = _file_behind(top)
    if not _same_file(there, os.fspath(root / top / "__init__.py")):
        raise ConfigurationError(
            f"{path} belongs to the package {top!r} in {root},"
            f" but that name means {there or 'another module'} here: rename one of them"
        )
    return importlib.import_module(name)


def real_name(file: Path) -> tuple[Path, str]:
    """The folder that has to be importable for a file, and the file's dotted name from there."""
    parts = [] if file.stem == "__init__" else [file.stem]
    folder = file.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(parts) or file.stem


def make_importable(folder: Path) -> None:
    """Put a folder on `sys.path`, behind the standard library and before installed packages."""
    entry = os.path.abspath(folder)
    position = _behind_standard_library()
    known = [i for i, other in enumerate(sys.path) if os.path.abspath(other) == entry]
    if any(i <= position for i in known):
        return  # by PYTHONPATH, perhaps in front of the standard library: the user's own wish
    sys.path.insert(position, entry)
    importlib.invalidate_caches()


def _behind_standard_library() -> int:
    library = {os.path.abspath(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib")}
    library |= {os.path.join(folder, "lib-dynload") for folder in library}
    positions = [i for i, entry in enumerate(sys.path) if os.path.abspath(entry) in library]
    return max(positions, default=len(sys.path) - 1) + 1


def _import_privately(file: str) -> ModuleType:
    digest = hashlib.sha256(os.fsencode(file)).hexdigest()[:8]
    name = f"_upnext_script_{re.sub(r'[^A-Za-z0-9_]', '_', Path(file).stem)}_{digest}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]  # half a module would be found by the next import
        raise
    return module


def _file_of(module: ModuleType) -> str | None:
    # Not by getattr: some entries of sys.modules import things when they are asked.
    file = getattr(module, "__dict__", {}).get("__file__")
    return os.path.abspath(file) if isinstance(file, str) else None


def _file_behind(name: str) -> str | None:
    """The file that importing this name would run; None where there is none."""
    if (loaded := sys.modules.get(name)) is not None:
        return _file_of(loaded)
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return spec.origin if spec is not None and spec.has_location else None


def _same_file(one: str | None, other: str | None) -> bool:
    if one is None or other is None or os.path.basename(one) != os.path.basename(other):
        return False
    return one == other or (
        os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other)
    )
