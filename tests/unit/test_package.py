"""The package's front door."""

from __future__ import annotations

import subprocess
import sys

import pytest

import upnext


def test_names_are_imported_when_they_are_first_used() -> None:
    program = (
        "import sys, upnext\n"
        "assert not {'anyio', 'redis', 'cattrs', 'upnext.runner'} & sys.modules.keys()\n"
        "assert 'run' in dir(upnext)\n"
        "from upnext import run\n"
        "assert 'upnext.runner' in sys.modules and upnext.run is run\n"
        "print(upnext.__version__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == f"{upnext.__version__}\n", done.stderr


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'upnext' has no attribute 'Celery'"):
        upnext.Celery  # noqa: B018
