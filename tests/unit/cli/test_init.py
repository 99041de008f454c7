"""`upnext init`: all files of a project or none, and what they say."""

from __future__ import annotations

import ast
import os
import shlex
import tomllib
from fnmatch import fnmatch
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from upnext import __version__
from upnext.cli import project
from upnext.cli.explain import FAILURE, USAGE, CommandError
from upnext.cli.main import main


def snapshot(folder: Path) -> dict[str, str | None]:
    """Everything below a folder: files with their texts, folders with None."""
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def failing(real: Any, at: int, error: BaseException) -> Any:
    """A function whose call of this number fails."""
    numbers = count(1)

    def call(*args: Any, **kwargs: Any) -> Any:
        if next(numbers) == at:
            raise error
        return real(*args, **kwargs)

    return call


def refusal(capsys: pytest.CaptureFixture[str], *words: str, code: int = USAGE) -> str:
    assert main(["init", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    return err


@pytest.fixture
def shop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A new project called my-shop."""
    assert main(["init", str(tmp_path / "My_Shop")]) == 0
    capsys.readouterr()
    return tmp_path / "My_Shop"


def test_it_writes_every_file_and_says_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["init", "shops/my shop", "--name", "shop"]) == 0

    made = snapshot(tmp_path / "shops/my shop")
    assert {path for path, text in made.items() if text is not None} == set(project.FILES)
    assert all(text.endswith("\n") for text in made.values() if text is not None)
    out = capsys.readouterr().out
    for step in ("cd 'shops/my shop'", "python -m pytest", "python -m upnext dev service.py"):
        assert step in out


def test_it_writes_into_the_working_directory_beside_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_mine.py").write_text("mine")
    monkeypatch.chdir(tmp_path)

    assert main(["init", ".", "--name", "shop"]) == 0

    assert (tmp_path / "tests/test_mine.py").read_text() == "mine"
    assert (tmp_path / "tests/test_service.py").exists()
    assert "cd " not in capsys.readouterr().out


def test_every_template_is_used_and_nothing_in_it_is_left_to_fill_in(shop: Path) -> None:
    folder = Path(project.__file__).parent / "templates"
    stored = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}

    assert stored == {f"{path.removeprefix('.')}.tmpl" for path in project.FILES}
    assert [path for path, text in snapshot(shop).items() if text and "@name@" in text] == []
    assert [path for path, text in snapshot(shop).items() if text and "@version@" in text] == []


def test_names_are_spelled_as_package_indexes_do(shop: Path) -> None:
    facts = tomllib.loads((shop / "pyproject.toml").read_text())["project"]

    assert facts["name"] == "my-shop"
    assert f"upnext>={__version__}" in facts["dependencies"]
    assert 'upnext.Worker("my-shop"' in (shop / "service.py").read_text()


@pytest.mark.parametrize("name", ["my shop", "-shop", "shop.", "größe", "", "a/b", "shop\n", "@"])
def test_a_name_that_no_package_can_have(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(capsys, str(tmp_path / "new"), f"--name={name}")

    assert "cannot be the name of a package" in line
    assert snapshot(tmp_path) == {}


def test_a_directory_whose_name_no_package_can_have_needs_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "'my shop' cannot" in (line := refusal(capsys, str(tmp_path / "my shop")))
    assert "--name" in line
    assert "--name" in refusal(capsys, "/")


def test_a_name_that_the_project_itself_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metadata, "requires", lambda name: ["redis>=6.0", 'h11; extra == "x"'])

    for name in ("upnext", "Redis", "h11"):
        line = refusal(capsys, str(tmp_path / "new"), "--name", name)
        assert "a package that the project needs" in line
    assert main(["init", str(tmp_path / "redis-shop")]) == 0


def test_files_that_are_there_are_named_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / ".gitignore").symlink_to("nowhere")

    line = refusal(capsys, str(tmp_path), "--name", "shop")

    assert f"There is README.md, .gitignore in {tmp_path} already" in line
    assert "--force" in line
    assert sorted(os.listdir(tmp_path)) == [".gitignore", "README.md"]
    assert (tmp_path / "README.md").read_text() == "mine"


def test_force_overwrites_these_and_no_others(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(shop)
    (shop / "README.md").write_text("mine")
    (shop / "models.py").write_text("mine")

    assert main(["init", str(shop), "--force"]) == 0

    assert snapshot(shop) == {**before, "models.py": "mine"}


@pytest.mark.parametrize(
    ("taken", "words"),
    [
        ("shop", "shop is a file, and a directory has to go there"),
        ("shop/tests", "tests is a file, and a directory has to go there"),
        ("shop/README.md/", "README.md is a directory, and a file has to go there"),
    ],
)
def test_what_is_in_the_way_is_not_overwritten_by_force_either(
    taken: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / taken
    if taken.endswith("/"):
        path.mkdir(parents=True)
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    before = snapshot(tmp_path)

    assert words in refusal(capsys, str(tmp_path / "shop"), "--force")
    assert snapshot(tmp_path) == before


def test_a_file_above_the_directory_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")

    line = refusal(capsys, str(tmp_path / "file/more/shop"))

    assert f"{tmp_path}/file is a file, and a directory has to go there" in line


def test_a_place_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Path, *args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)

    line = refusal(capsys, str(tmp_path / "shop"), code=FAILURE)

    assert f"cannot be written to {tmp_path}/shop: Permission denied." in line


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["write_text", "rename", "mkdir"])
def test_a_failure_at_any_step_leaves_all_as_it_was(
    step: str, error: BaseException, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "new/shop"
    if there:
        assert main(["init", str(target)]) == 0
        (target / "service.py").write_text("mine")
        (target / "tests/test_service.py").unlink()
        (target / "tests").rmdir()
    before = snapshot(tmp_path)
    files = project.files_of("shop")

    def fails_at(call: int) -> bool:
        with monkeypatch.context() as patched:
            patched.setattr(Path, step, failing(getattr(Path, step), call, error))
            try:
                project.write_files(target, files)
            except (CommandError, KeyboardInterrupt):
                return True
            return False

    call = 1
    while fails_at(call):  # one step later each time, until there is none
        assert snapshot(tmp_path) == before
        call += 1

    assert call > 2
    assert snapshot(target) == {**files, "tests": None}


def test_the_compose_file_is_what_its_services_need(shop: Path) -> None:
    compose = yaml.safe_load((shop / "compose.yaml").read_text())
    services = compose["services"]
    declared = ast.unparse(ast.parse((shop / "service.py").read_text()))

    assert compose["name"] == "my-shop"
    started = {name for name, one in services.items() if "profiles" not in one}
    assert started == {"valkey", "worker", "api"}
    assert set(services) - started == {"server", "postgres"}
    assert all(one["profiles"] == ["server"] for one in services.values() if "profiles" in one)
    for name, service in services.items():
        assert "container_name" not in service  # it could not be scaled
        for needed, terms in service.get("depends_on", {}).items():
            # Whatever is waited for can tell that it is well, and is started whenever this is.
            assert terms == {"condition": "service_healthy"}
            assert "healthcheck" in services[needed]
            assert "profiles" not in services[needed] or name == "server"
        for mount in service.get("volumes", ()):
            assert mount.partition(":")[0] in compose["volumes"]
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")
    for name, component in (("worker", "my-shop"), ("api", "my-shop-api")):
        service = services[name]
        assert service["build"] == "."
        assert service["environment"]["UPNEXT_REDIS_URL"] == "redis://valkey:6379/0"
        assert service["stop_grace_period"] == "60s"
        assert service["command"][:5] == ["upnext", "run", "service", "--only", component]
        assert f"'{component}'" in declared
    assert "ports" not in services["worker"]
    assert services["api"]["ports"] == ["127.0.0.1:${API_PORT:-8000}:8000"]
    assert {"--appendonly", "yes"} <= set(services["valkey"]["command"])
    assert services["valkey"]["volumes"] == ["valkey:/data"]
    assert services["server"]["command"] == ["upnext", "server", "start"]
    assert services["server"]["build"]["args"]["EXTRAS"] == "[server]"


def test_the_image_is_made_of_what_is_there_and_runs_as_nobody_in_particular(shop: Path) -> None:
    lines = (shop / "Dockerfile").read_text().splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    last = steps[[keyword for keyword, _ in steps].index("FROM", 1) :]
    final = dict(last)
    stages = {words.split()[2] for keyword, words in steps if keyword == "FROM" and " AS " in words}
    copied = [shlex.split(words) for keyword, words in steps if keyword == "COPY"]

    for words in copied:
        if words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in stages
        else:
            assert all(source == "." or list(shop.glob(source)) for source in words[:-1])
    ignored = (shop / ".dockerignore").read_text().split()
    sent = [path for path in project.FILES if not any(fnmatch(path, one) for one in ignored)]
    assert {"service.py", "pyproject.toml", "README.md"} <= set(sent)
    assert any(fnmatch(".env", one) for one in ignored)
    assert any(fnmatch(".env.local", one) for one in ignored)
    assert final["USER"] not in ("root", "0")
    assert final["STOPSIGNAL"] == "SIGTERM"
    assert final["HEALTHCHECK"].endswith('CMD ["upnext", "health", "--file"]')
    assert final["CMD"].startswith('["upnext", "run", "service"')  # no shell between the signals
    assert final["FROM"].endswith("-slim")


def test_the_extras_that_the_project_offers_are_those_that_its_files_install(shop: Path) -> None:
    facts = tomllib.loads((shop / "pyproject.toml").read_text())

    assert set(facts["project"]["optional-dependencies"]) == {"test", "server"}
    assert "'.[test]'" in (shop / "README.md").read_text()
    assert facts["project"]["readme"] in os.listdir(shop)
    assert not any("pytest" in one for one in facts["project"]["dependencies"])


def test_the_variables_of_the_example_are_those_that_are_read(shop: Path) -> None:
    named = {
        line.lstrip("#").partition("=")[0]
        for line in (shop / ".env.example").read_text().splitlines()
        if "=" in line
    }
    read = (shop / "service.py").read_text() + (shop / "compose.yaml").read_text()

    assert {"UPNEXT_REDIS_URL", "API_PORT", "WORKER_CONCURRENCY"} <= named
    assert [name for name in named if name not in read] == []
