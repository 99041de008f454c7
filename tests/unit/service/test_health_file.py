"""One file for many to write and anybody to look at."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from upnext.service.health_file import HealthFile
from upnext.settings import Settings


def test_its_age_is_the_time_since_it_was_touched(tmp_path: Path) -> None:
    file = HealthFile(tmp_path / "alive")
    assert file.age() is None
    file.touch()
    os.utime(file.path, (1, file.path.stat().st_mtime - 100))
    assert 100 <= (file.age() or 0) < 110
    file.touch()
    assert abs(file.age() or 100) < 10
    file.remove()
    file.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_replaced_and_what_it_leads_to_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    file = HealthFile(tmp_path / "alive")
    file.path.symlink_to(precious)
    file.touch()
    assert precious.read_text() == "mine"
    assert not file.path.is_symlink()


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        HealthFile(tmp_path / "no" / "alive").touch()
    (tmp_path / "alive").mkdir()
    with pytest.raises(OSError, match="alive"):
        HealthFile(tmp_path / "alive").touch()
    assert [each.name for each in tmp_path.iterdir()] == ["alive"]


def test_where_it_is() -> None:
    default = Settings.load({}).health_file
    assert HealthFile.at(default).path == Path(tempfile.gettempdir()) / ".upnext_alive"
    named = Settings.load({"UPNEXT_HEALTH_FILE": "/run/alive"}).health_file
    assert HealthFile.at(named).path == Path("/run/alive")
