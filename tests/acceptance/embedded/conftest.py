from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.embedded import Directory


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    with ExitStack() as users:
        made = Directory(tmp_path_factory.mktemp("d"), users)
        yield made
    if made.server_lives():
        made.kill_server()
