"""The table of docs/parity.toml is true, and docs/parity.md is what it makes."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import docs.make_parity as make_parity
from docs.make_parity import ABSENT, collected, find, main, page, pages_problems, problems, shown

TESTS = {"tests/unit/test_a.py::test_it"}
GOOD: dict[str, Any] = {"name": "Worker", "does": "works", "test": "unit/test_a.py::test_it"}


def test_the_page_is_true_and_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--check"])
    assert capsys.readouterr().err == ""
    assert code == 0


def complaints(*rows: dict[str, Any], mistakes: tuple[dict[str, Any], ...] = ()) -> list[str]:
    table = {
        "planned": {"api": "HTTP APIs"},
        "part": [{"title": "Part", "rows": rows}],
        "mistakes": [{"title": "Mistakes", "rows": mistakes}],
    }
    return list(problems(table, TESTS))


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


@pytest.mark.parametrize(
    "row",
    [
        GOOD,
        {"does": "a behaviour", "test": "unit/test_a.py::test_it"},
        {**without("test"), "planned": "api", "name": "Api(port)", "default": "8000"},
        {**without("test"), "gone": "nobody used it", "name": "Worker.teleport"},
        {**GOOD, "name": "Worker(concurrency)", "default": "2"},
        {**GOOD, "name": "Worker.task(retries)", "default": "0"},
        {**GOOD, "name": "SyncExecutor.THREAD.value", "default": "'thread'"},
        {**GOOD, "name": "Context.attempt", "default": "1"},
        {**GOOD, "name": "upnext.model.cron.Cron"},
        {**GOOD, "name": "run(worker_timeout)", "default": "30.0", "was": "3.0", "differs": "…"},
        {**GOOD, "name": "UPNEXT_WORKSPACE_ID", "default": "'local'", "field": "workspace_id",
         "sample": "acme"},
        {**without("test"), "name": "UPNEXT_CLOUD_URL", "gone": "nobody read it"},
    ],
    ids=lambda row: row.get("name", "a behaviour"),
)  # fmt: skip
def test_a_true_row_has_no_complaint(row: dict[str, Any]) -> None:
    assert complaints(row) == []


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({**GOOD, "test": "unit/test_a.py::test_other"}, "there is no test"),
        ({**GOOD, "test": ["unit/test_a.py::test_it", "no/test_b.py::test_it"]}, "no/test_b.py"),
        (without("test"), "neither a test, nor planned, nor gone"),
        ({**without("test"), "differs": "so"}, "neither a test, nor planned, nor gone"),
        ({**without("test"), "planned": "the moon"}, "nothing called 'the moon' is planned"),
        ({**GOOD, "planned": "api"}, "planned, and there as well"),
        (without("does"), "what it does is not said"),
        ({**GOOD, "tests": "x"}, "unknown words: tests"),
        ({**GOOD, "name": "Wrker"}, "it is not there"),
        ({**GOOD, "name": "Worker.teleport"}, "it is not there"),
        ({**GOOD, "name": "Worker.task(retires)"}, "it is not there"),
        ({**GOOD, "name": "upnext.nowhere.Thing"}, "it is not there"),
        ({**GOOD, "name": "Worker(concurrency)", "default": "3"}, "it is 2, not 3"),
        ({**GOOD, "name": "Worker(concurrency)", "default": "2", "was": "4"}, "say why"),
        ({**GOOD, "gone": "it is not wanted"}, "said to be gone, and is there"),
        ({**GOOD, "gone": "…", "name": "Wrker", "instead": "Workr"}, "there is no Workr"),
        ({**GOOD, "name": "UPNEXT_DEBUG", "default": "True", "field": "debug", "sample": "1"},
         "it is False, not True"),
        ({**GOOD, "name": "UPNEXT_ENV", "default": "False", "field": "debug", "sample": "1"},
         "changes nothing"),
        ({**GOOD, "name": "UPNEXT_DEBUG", "gone": "nobody used it"}, "said to be gone"),
    ],
)  # fmt: skip
def test_what_is_not_true_is_one_complaint(row: dict[str, Any], complaint: str) -> None:
    [found] = complaints(row)
    assert complaint in found
    assert found.startswith("Part: ")


def test_a_mistake_needs_a_test_and_its_words() -> None:
    good = {"wrong": "it was lost", "holds": "it is kept", "test": "unit/test_a.py::test_it"}
    assert complaints(mistakes=(good,)) == []
    assert len(complaints(mistakes=({**good, "test": []},))) == 1
    for name in good:
        bad = {key: value for key, value in good.items() if key != name}
        assert len(complaints(mistakes=(bad,))) == 1


def test_what_pytest_would_collect_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "tests/unit"
    folder.mkdir(parents=True)
    (folder / "test_a.py").write_text(
        "async def test_one(): ...\ndef helper():\n    def test_no(): ...\n"
        "class TestMany:\n    def test_two(self): ...\nclass Other:\n    def test_no(self): ...\n"
    )
    (folder / "support.py").write_text("def test_no(): ...\n")
    assert collected(tmp_path) == {
        "tests/unit/test_a.py::test_one",
        "tests/unit/test_a.py::TestMany::test_two",
    }


def test_pages_written_by_hand_name_real_tests(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        "`tests/unit/test_a.py::test_it`, `tests/unit/test_a.py::test_gone`"
    )
    assert list(pages_problems(tmp_path, TESTS)) == [
        "a.md: there is no test tests/unit/test_a.py::test_gone"
    ]


def test_names_are_found_as_the_table_writes_them() -> None:
    assert find("Worker.task(timeout)") == 1800.0
    assert find("Nothing(at_all)") is ABSENT
    assert shown(find("Worker.cron(missed_run_policy)")) == "MissedRunPolicy.LATEST_ONLY"


def test_the_page_is_written_only_when_the_table_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, written = tmp_path / "parity.toml", tmp_path / "parity.md"
    monkeypatch.setattr(make_parity, "SOURCE", source)
    monkeypatch.setattr(make_parity, "PAGE", written)
    head = '[planned]\n[[mistakes]]\ntitle = "M"\nrows = []\n[[part]]\ntitle = "P"\n'
    source.write_text(head + 'rows = [{ name = "Wrker", does = "a | b", planned = "x" }]\n')
    assert main([]) == 1
    assert "P: Wrker: nothing called 'x' is planned" in capsys.readouterr().err
    assert not written.exists()
    source.write_text(head + 'rows = [{ name = "Wrker", does = "a | b", gone = "so" }]\n')
    assert main([]) == 0
    assert written.read_text() == page(tomllib.loads(source.read_text()))
    assert "| `Wrker` |  | a \\| b. **Gone:** so |  |" in written.read_text()
    assert main(["--check"]) == 0
    written.write_text("old")
    assert main(["--check"]) == 1
    assert capsys.readouterr().err == "parity.md is out of date: python -m docs.make_parity\n"
