"""What jobs log goes to their own logs, and to nobody else's."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.unit.tasks.test_context import NotingHost, make
from upnext.tasks.context import Context, current_context
from upnext.worker.reporting.capture import Capture, capturing

log = logging.getLogger("app")


@pytest.fixture
def job() -> Iterator[tuple[Context, NotingHost]]:
    context, host = make()
    token = current_context.set(context)
    log.setLevel(logging.INFO)
    try:
        with capturing():
            yield context, host
    finally:
        current_context.reset(token)
        log.setLevel(logging.NOTSET)


def messages(host: NotingHost) -> list[str]:
    return [line["message"] for line in host.lines()]


def test_a_job_hears_what_its_code_logs(job: tuple[Context, NotingHost]) -> None:
    context, host = job
    log.info("one")
    log.debug("too quiet")
    context.log.warning("two", extra={"order": 7})
    assert messages(host) == ["one", "two"]
    assert host.lines()[1]["extra"] == {"order": 7}
    assert host.lines()[1]["logger"] == "upnext.job"


def test_it_does_not_hear_the_worker(job: tuple[Context, NotingHost]) -> None:
    _, host = job
    logging.getLogger("upnext.worker").error("mine")
    logging.getLogger("upnext").error("mine")
    assert messages(host) == []


def test_it_does_not_hear_others(job: tuple[Context, NotingHost]) -> None:
    _, host = job
    thread = threading.Thread(target=log.error, args=("elsewhere",))
    thread.start()
    thread.join()
    assert messages(host) == []


def test_after_the_last_block_nothing_is_captured() -> None:
    context, host = make()
    token = current_context.set(context)
    try:
        with capturing():
            with capturing():
                pass
            log.error("one")
        log.error("two")
    finally:
        current_context.reset(token)
    assert messages(host) == ["one"]
    assert not any(isinstance(one, Capture) for one in logging.getLogger().handlers)


@pytest.mark.parametrize(
    "set_up", ["", "logging.getLogger('app').addHandler(logging.NullHandler())"]
)
def test_logging_without_handlers_has_its_last_resort_as_ever(set_up: str) -> None:
    program = f"""
import logging
from upnext.worker.reporting.capture import capturing
log = logging.getLogger("app")
{set_up}
log.warning("before")
with capturing():
    log.warning("within")
    log.info("too quiet")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr.split() == ([] if set_up else ["before", "within"])
