"""Which module a user's file becomes."""

from __future__ import annotations

import importlib
import os
import pickle
import queue
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from upnext.errors import ConfigurationError
from upnext.tasks.modules import (
    ModuleSource,
    import_file,
    load,
    locate,
    make_importable,
    real_name,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def imports_as_before() -> Iterator[None]:
    modules, path = dict(sys.modules), list(sys.path)
    yield
    for name in sys.modules.keys() - modules.keys():
        del sys.modules[name]
    sys.path[:] = path
    importlib.invalidate_caches()


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_file_in_a_package_has_its_real_name(tmp_path: Path) -> None:
    write(tmp_path / "shop_a" / "__init__.py")
    write(tmp_path / "shop_a" / "mail" / "__init__.py")
    write(tmp_path / "shop_a" / "names.py", "NAME = 'shop'")
    file = write(tmp_path / "shop_a" / "mail" / "jobs.py", "from ..names import NAME")

    module = import_file(file)

    assert module.__name__ == "shop_a.mail.jobs"
    assert module.NAME == "shop"
    assert sys.modules["shop_a.mail.jobs"] is module


def test_the_package_itself(tmp_path: Path) -> None:
    file = write(tmp_path / "shop_b" / "__init__.py", "A = 1")

    assert real_name(file) == (tmp_path, "shop_b")
    assert import_file(file).__name__ == "shop_b"


def test_a_script_is_what_its_neighbours_import(tmp_path: Path) -> None:
    tasks = write(tmp_path / "tasks_c.py", "THING = object()")
    main = write(tmp_path / "main_c.py", "from tasks_c import THING")

    assert import_file(tasks).THING is import_file(main).THING
    assert import_file(main).THING is sys.modules["tasks_c"].THING


@pytest.mark.parametrize("stem", ["queue", "time", "colorsys", "redis", "upnext"])
def test_a_script_neither_shadows_nor_is_shadowed(tmp_path: Path, stem: str) -> None:
    before = sys.modules.get(stem)
    file = write(tmp_path / f"{stem}.py", "MINE = True")

    module = import_file(file)

    assert module.MINE
    assert module.__name__ != stem
    assert sys.modules.get(stem) is before
    assert not hasattr(importlib.import_module(stem), "MINE")
    assert import_file(file) is module


def test_a_script_that_needs_the_module_it_is_named_like(tmp_path: Path) -> None:
    file = write(tmp_path / "queue.py", "from queue import Queue")

    assert import_file(file).Queue is queue.Queue


def test_two_scripts_with_one_stem_do_not_collide(tmp_path: Path) -> None:
    one = import_file(write(tmp_path / "one" / "jobs_d.py", "N = 1"))
    two = import_file(write(tmp_path / "two" / "jobs_d.py", "N = 2"))

    assert (one.N, two.N) == (1, 2)
    assert one.__name__ != two.__name__


def test_a_name_that_is_no_identifier(tmp_path: Path) -> None:
    assert import_file(write(tmp_path / "my-jobs 2.0.py", "N = 1")).N == 1


def test_a_file_that_raises_leaves_no_half_module(tmp_path: Path) -> None:
    file = write(tmp_path / "queue.py", "raise RuntimeError('no')")
    before = set(sys.modules)

    with pytest.raises(RuntimeError, match="no"):
        import_file(file)

    assert set(sys.modules) == before


def test_a_package_whose_name_is_taken_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "json" / "__init__.py")
    file = write(tmp_path / "json" / "jobs.py")

    with pytest.raises(ConfigurationError, match=r"belongs to the package 'json'.*rename"):
        import_file(file)


def test_users_folders_stand_between_the_library_and_packages(tmp_path: Path) -> None:
    make_importable(tmp_path)
    make_importable(tmp_path)

    assert sys.path.count(str(tmp_path)) == 1
    mine = sys.path.index(str(tmp_path))
    library = sys.path.index(os.path.dirname(os.__file__))
    packages = [i for i, entry in enumerate(sys.path) if entry.endswith("site-packages")]
    assert library < mine
    assert all(mine < i for i in packages)


def test_a_source_survives_a_pickle_and_finds_the_module_again(tmp_path: Path) -> None:
    module = import_file(write(tmp_path / "queue.py", "N = 1"))

    source = pickle.loads(pickle.dumps(locate(module.__name__)))

    assert load(source) is module


def test_a_module_without_a_file_is_found_by_its_name() -> None:
    source = locate("sys")

    assert source == ModuleSource("sys", None)
    assert load(source) is sys


def test_what_was_never_imported_cannot_be_located() -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        locate("nowhere.at.all")


def test_an_interactive_session_cannot_be_loaded_elsewhere() -> None:
    with pytest.raises(ConfigurationError, match="interactive session"):
        load(ModuleSource("__main__", None))


CHILD = """
import pickle, sys
from upnext.tasks.modules import load
source = pickle.load(sys.stdin.buffer)
module = load(source)
assert "Queue" in dir(__import__("queue"))
print(module.__name__, module.function())
"""


@pytest.mark.parametrize(
    "place",
    ["queue.py", "plain_e.py", "shop_e/mail/jobs.py", "spaces in/it.py"],
)
def test_a_child_process_finds_the_same_function(tmp_path: Path, place: str) -> None:
    file = write(tmp_path / place, "def function():\n    return __file__\n")
    if place.startswith("shop"):
        write(tmp_path / "shop_e" / "__init__.py")
        write(tmp_path / "shop_e" / "mail" / "__init__.py")
    source = locate(import_file(file).function.__module__)

    child = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=pickle.dumps(source),
        capture_output=True,
        cwd=ROOT,
        check=False,
    )

    assert child.stderr == b""
    assert child.stdout.decode().strip() == f"{source.name} {file}"


def test_a_script_started_by_itself_is_found_under_its_file(tmp_path: Path) -> None:
    file = write(
        tmp_path / "started.py",
        "import pickle, sys\n"
        "from upnext.tasks.modules import locate\n"
        "def function():\n    return __file__\n"
        "if __name__ == '__main__':\n"
        "    sys.stdout.buffer.write(pickle.dumps(locate(function.__module__)))\n",
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    printed = subprocess.run(
        [sys.executable, file.name], cwd=tmp_path, env=environment, capture_output=True, check=True
    ).stdout

    assert load(pickle.loads(printed)).function() == str(file)


def test_a_module_started_by_name_keeps_it(tmp_path: Path) -> None:
    write(tmp_path / "shop_f" / "__init__.py")
    write(
        tmp_path / "shop_f" / "jobs.py",
        "from upnext.tasks.modules import locate\nprint(locate('__main__').name)\n",
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    printed = subprocess.run(
        [sys.executable, "-m", "shop_f.jobs"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=True,
        text=True,
    ).stdout

    assert printed == "shop_f.jobs\n"
