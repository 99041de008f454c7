"""Whole packages are imported, late, with no second worker and no half of a module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from upnext import ConfigurationError, Worker

PROJECT = Path(__file__).parents[3]

WORKER = """
import sys
import upnext
worker = upnext.Worker("shop", autodiscover_packages=["shop.jobs"])
"""
MAIL = """
from shop.worker import worker

@worker.task
async def send(to: str) -> str:
    return to
"""
MAIN = """
if __name__ == "__main__":
    worker.discover()
    worker.discover()
    print(sorted(worker.tasks), sys.modules["shop.worker"].worker is worker)
"""
PROGRAM = "import sys\nfrom shop.worker import worker" + MAIN.replace("__name__", "'__main__'")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The package `shop`: worker.py, and jobs/ whose modules import it."""
    deep = tmp_path / "shop" / "jobs" / "deep"
    deep.mkdir(parents=True)
    for folder in (tmp_path / "shop", deep.parent, deep):
        (folder / "__init__.py").write_text("")
    (tmp_path / "shop" / "worker.py").write_text(WORKER + MAIN)
    (deep.parent / "mail.py").write_text(MAIL)
    (deep / "more.py").write_text(MAIL.replace("send", "more"))
    (deep / "__main__.py").write_text("raise SystemExit('a program was run')")
    return tmp_path


def python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"},
    )


@pytest.mark.parametrize(
    "words",
    [
        ["shop/worker.py"],
        ["-m", "shop.worker"],
        ["-c", PROGRAM],
    ],
)
def test_the_modules_may_import_the_one_that_declares_the_worker(
    shop: Path, words: list[str]
) -> None:
    run = python(shop, *words)
    assert run.stderr == ""
    assert run.stdout == "['more', 'send'] True\n"


@pytest.mark.parametrize("target", ["shop/worker.py", "shop.worker"])
def test_the_command_line_sees_the_tasks(shop: Path, target: str) -> None:
    run = python(shop, "-m", "upnext", "inspect", "--json", target)
    assert '"send"' in run.stdout
    assert '"more"' in run.stdout


def test_declaring_imports_nothing_and_a_call_does(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(shop)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    worker = Worker(autodiscover_packages=["shop.jobs"])
    assert "shop" not in sys.modules
    worker.autodiscover("shop.jobs")
    assert "shop.jobs.deep.more" in sys.modules


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0", "cannot discover tasks in shop.jobs.mail: ZeroDivisionError: division by zero"),
        ("import nowhere", "in shop.jobs.mail: ModuleNotFoundError: No module named 'nowhere'"),
        ("raise SystemExit", "cannot discover tasks in shop.jobs.mail: SystemExit"),
        ("import upnext\nupnext.run(upnext.Worker())", "mail: ConfigurationError: upnext.run()"),
    ],
)
def test_what_cannot_be_imported_is_named_in_one_line(shop: Path, text: str, said: str) -> None:
    (shop / "shop" / "jobs" / "mail.py").write_text(text)
    run = python(shop, "-m", "upnext", "list", "shop/worker.py")
    assert run.returncode == 1
    (line,) = [line for line in run.stderr.splitlines() if line.startswith("Error:")]
    assert said in line


def test_a_failed_discovery_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(autodiscover_packages=["no_such_package_anywhere"])
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="no_such_package_anywhere"):
            worker.discover()


@pytest.mark.parametrize("name", ["", "a..b", "shop.py x", "../shop", 3])
def test_what_is_no_name_is_refused_where_it_is_said(name: object) -> None:
    with pytest.raises(ConfigurationError, match="is no name of a package"):
        Worker(autodiscover_packages=[name])  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match="is no name of a package"):
        Worker().autodiscover(name)  # pyright: ignore[reportArgumentType]


def test_a_bare_text_is_no_list() -> None:
    with pytest.raises(ConfigurationError, match=r"\['shop'\]"):
        Worker(autodiscover_packages="shop")


def test_a_module_is_no_package() -> None:
    with pytest.raises(ConfigurationError, match=r"json\.decoder: it is a module, not a package"):
        Worker().autodiscover("json.decoder")
