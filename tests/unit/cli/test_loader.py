"""Finding workers in what a user names, and saying clearly what is wrong."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from upnext.cli.explain import FAILURE, USAGE, CommandError
from upnext.cli.loader import (
    Components,
    collect,
    find_task,
    folder_of,
    load_components,
    load_module,
    load_workers,
    own_frames,
)


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    modules = dict(sys.modules)
    yield
    for name in sys.modules.keys() - modules.keys():
        del sys.modules[name]
    importlib.invalidate_caches()


def complaint(target: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        load_module(target)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_path_or_a_module(tmp_path: Path) -> None:
    (tmp_path / "shop_g").mkdir()
    (tmp_path / "shop_g" / "__init__.py").touch()
    (tmp_path / "shop_g" / "jobs.py").write_text("N = 1")

    by_path = load_module("shop_g/jobs.py")

    assert load_module("shop_g.jobs") is by_path
    assert load_module(str(tmp_path / "shop_g" / "jobs.py")) is by_path


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("missing.py", "There is no file missing.py (looked in "),
        ("no/such.py", "There is no file no/such.py (looked in "),
        ("folder", "folder is a directory: name a file in it, or a module"),
        (".", ". is a directory: name a file in it, or a module"),
        ("./folder", "./folder is a directory: name a file in it, or a module"),
        ("readme.txt", "readme.txt is not a Python file: its name does not end in .py."),
        ("missing_module", "There is no file or module missing_module (looked in "),
        ("missing.module", "There is no file or module missing.module (looked in "),
        ("json.missing", "There is no file or module json.missing (looked in "),
        ("what-is-this", "There is no file what-is-this, and no module can have that name."),
        ("", "There is no file "),
    ],
)
def test_what_cannot_be_found(tmp_path: Path, target: str, line: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "readme.txt").write_text("hello")

    error = complaint(target)

    assert str(error).startswith(line)
    assert error.code == USAGE
    assert error.details == ""


def test_an_error_in_the_users_code_shows_the_users_frames_alone(tmp_path: Path) -> None:
    (tmp_path / "helper_h.py").write_text("def check():\n    raise ValueError('no\\nluck')\n")
    (tmp_path / "broken_h.py").write_text("from helper_h import check\ncheck()\n")

    error = complaint("broken_h.py")

    assert str(error) == "broken_h.py cannot be imported: ValueError: no luck"
    assert error.code == FAILURE
    files = [line for line in error.details.splitlines() if line.lstrip().startswith("File ")]
    assert [Path(line.split('"')[1]).name for line in files] == ["broken_h.py", "helper_h.py"]


def test_a_syntax_error_shows_its_place(tmp_path: Path) -> None:
    (tmp_path / "typo_h.py").write_text("def f(:\n")

    error = complaint("typo_h")

    assert str(error).startswith("typo_h cannot be imported: SyntaxError: ")
    assert 'typo_h.py", line 1' in error.details


def test_a_missing_import_of_the_users_is_not_a_missing_target(tmp_path: Path) -> None:
    (tmp_path / "needs_h.py").write_text("import not_installed_anywhere\n")

    for target in ("needs_h.py", "needs_h"):
        error = complaint(target)
        assert str(error).endswith("No module named 'not_installed_anywhere'")
        assert error.code == FAILURE
        assert "needs_h.py" in error.details


def test_a_script_that_ends_the_program(tmp_path: Path) -> None:
    (tmp_path / "ends_h.py").write_text("import sys\nsys.exit(3)\n")

    error = complaint("ends_h.py")

    assert str(error).startswith("ends_h.py ended the program (exit code 3) while it was imported")
    assert error.code == FAILURE


def test_own_frames_of_chained_and_grouped_errors() -> None:
    def user_code() -> None:
        try:
            load_module("missing.py")
        except CommandError as error:
            raise ExceptionGroup("both", [ValueError("a"), error]) from error

    with pytest.raises(ExceptionGroup) as caught:
        user_code()

    text = own_frames(caught.value)
    assert "in user_code" in text
    assert "upnext/cli" not in text


def test_the_workers_of_files(tmp_path: Path) -> None:
    (tmp_path / "tasks_k.py").write_text(
        "import upnext\nworker = upnext.Worker('k')\n_hidden = upnext.Worker('hidden')\n"
    )
    (tmp_path / "main_k.py").write_text("from tasks_k import worker\n")
    (tmp_path / "empty_k.py").write_text("worker = 'none'\n")

    (worker,) = load_workers(["main_k.py", "tasks_k.py", "empty_k"])

    assert worker.name == "k"
    with pytest.raises(CommandError, match=r"No Worker found in empty_k\.py, json: "):
        load_workers(["empty_k.py", "json"])


class Thing:
    pass


def module(name: str, **values: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(values)
    return made


def test_public_objects_once_in_the_order_of_files_and_lines() -> None:
    first, second, third = Thing(), Thing(), Thing()
    one = module("one", b=first, a=second, _hidden=Thing(), other="text")
    two = module("two", imported=first, c=third, alias=third)

    assert collect([one, two], Thing) == [first, second, third]


def workers(*names: str) -> list[Any]:
    return [
        SimpleNamespace(
            name=name,
            tasks={f"{name}_task": object(), "shared": object()},
            crons=[SimpleNamespace(name=f"{name}_cron")],
        )
        for name in names
    ]


def test_choose_by_name() -> None:
    email, reports = workers("email", "reports")
    email_api: Any = SimpleNamespace(name="email")
    everything = Components([email, reports], [email_api])

    assert everything.choose([]) == everything
    assert everything.choose(["reports", "email"]) == everything
    assert everything.choose(["reports"]) == Components([reports], [])
    assert everything.choose(["email"]) == Components([email], [email_api])


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(CommandError, match=r"No worker named 'emial'\. Did you mean 'email'\?"):
        Components(list(workers("email", "reports")), []).choose(["reports", "emial"])


def test_apis_are_found_beside_workers_or_alone(tmp_path: Path) -> None:
    (tmp_path / "both_l.py").write_text(
        "import upnext\napi = upnext.Api('web')\nagain = api\n_hidden = upnext.Api('hidden')\n"
        "worker = upnext.Worker('mail')\n"
    )
    (tmp_path / "alone_l.py").write_text("import upnext\napi = upnext.Api('alone')\n")

    found = load_components(["both_l.py", "alone_l.py"])

    assert [api.name for api in found.apis] == ["web", "alone"]
    assert [worker.name for worker in found.workers] == ["mail"]
    with pytest.raises(CommandError, match=r"No Worker found in alone_l\.py"):
        load_workers(["alone_l.py"])


def test_the_folder_of_a_target_is_known_without_importing_it(tmp_path: Path) -> None:
    (tmp_path / "shop_f" / "deep").mkdir(parents=True)
    for package in ("shop_f", "shop_f/deep"):
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "shop_f" / "deep" / "jobs.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "one.py").touch()

    assert folder_of("shop_f/deep/jobs.py") == str(tmp_path)
    assert folder_of("scripts/one.py") == str(tmp_path / "scripts")
    assert folder_of("shop_f.deep.jobs") == str(tmp_path)
    with pytest.raises(CommandError, match=r"There is no file missing\.py"):
        folder_of("missing.py")


def test_find_a_task() -> None:
    email, reports = all_of_them = workers("email", "reports")

    assert find_task(all_of_them, "reports_task") == (reports, reports.tasks["reports_task"])
    assert find_task(all_of_them, "shared") == (email, email.tasks["shared"])
    assert find_task(all_of_them, "email_cron") == (email, email.crons[0])
    with pytest.raises(CommandError, match=r"'email_tsk'\. Did you mean 'email_task'"):
        find_task(all_of_them, "email_tsk")
