"""Runs a machine that does the same to a real server and to its model."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.property.rig import Rig
from tests.support.clocked import ClockedServer, clock_shim
from tests.support.servers import find_binary

EXAMPLES = int(os.environ.get("UPNEXT_PROPERTY_EXAMPLES", "150"))


def run_machine(make: Callable[[Rig], RuleBasedStateMachine]) -> None:
    """Draw histories, on a server of their own; skips the test where there is none."""
    if find_binary("redis") is None:
        pytest.skip("no redis server program on this machine")
    if clock_shim() is None:
        pytest.skip("no C compiler on this machine, or not Linux: the server's clock stays real")
    with ClockedServer("redis") as server, Rig.on(server) as rig:
        run_state_machine_as_test(
            lambda: make(rig),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=40,
                deadline=None,
                print_blob=True,
                report_multiple_bugs=False,
            ),
        )
