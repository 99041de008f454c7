"""Import whole packages, for the tasks that their modules declare.

The trap is that these modules import the one that declares the worker. Two things keep out of it:
the packages are imported late, when that module is complete, and a program that was started as a
file of the package (`python shop/worker.py`) is known under its real name by then, so that
`from shop.worker import worker` finds this very worker and not a second one.
"""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from upnext.errors import ConfigurationError
from upnext.tasks.modules import import_named, locate, make_importable, real_name


def package_names(names: Iterable[str]) -> list[str]:
    """The names, checked as far as they can be without importing anything.

    Raises:
        ConfigurationError: one cannot be a package's name.
    """
    if isinstance(names, str):
        raise ConfigurationError(
            f"autodiscover_packages must be a list of names: [{names!r}], not {names!r}"
        )
    if not isinstance(names, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(
            f"autodiscover_packages must be a list of names, such as ['shop.tasks'], not {names!r}"
        )
    checked = list(names)
    for name in checked:
        parts = name.split(".") if isinstance(name, str) else [""]  # pyright: ignore[reportUnnecessaryIsInstance]
        if not all(part.isidentifier() for part in parts):
            raise ConfigurationError(f"{name!r} is no name of a package, such as 'shop.tasks'")
    return checked


def import_package(name: str) -> None:
    """Import a package and every module in it, except those that are called `__main__`.

    Raises:
        ConfigurationError: one of them cannot be imported, or this is no package. The message
            names it; the error itself is its cause.
    """
    _name_the_program(name)
    package = _import(name)
    if not hasattr(package, "__path__"):
        raise ConfigurationError(
            f"cannot discover tasks in {name}: it is a module, not a package; import it as usual"
        )
    _import_below(package)


def _import_below(package: ModuleType) -> None:
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if found.name.endswith(".__main__"):
            continue  # a program: importing it would run it
        module = _import(found.name)
        if found.ispkg:
            _import_below(module)


def _import(name: str) -> ModuleType:
    try:
        return import_named(name)
    except (Exception, SystemExit) as error:
        said = " ".join(f"{type(error).__name__}: {error}".removesuffix(": ").split())
        raise ConfigurationError(f"cannot discover tasks in {name}: {said}") from error


def _name_the_program(package: str) -> None:
    """Let a running program be the module of the package that it is."""
    main = sys.modules.get("__main__")
    if main is None or not isinstance(getattr(main, "__file__", None), str):
        return
    source = locate("__main__")
    name = source.name
    if name == "__main__":
        assert source.file is not None
        root, name = real_name(Path(source.file))
        top = package.partition(".")[0]
        if name.partition(".")[0] != top or not os.path.isdir(root / top):
            return
        make_importable(root)
    if name.startswith(f"{package.partition('.')[0]}."):
        sys.modules.setdefault(name, main)
