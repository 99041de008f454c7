from __future__ import annotations

import types

import orjson
import pytest
from attrs import asdict

from upnext.worker.execution.failure import MOST_MESSAGE, MOST_TRACEBACK, failure_of


class BrokenError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ValueError("bad"), "ValueError", "bad"),
        (ValueError(), "ValueError", "ValueError"),
        (BrokenError(), f"{__name__}.BrokenError", "cannot be shown"),
        (KeyError("k"), "KeyError", "'k'"),
        (ExceptionGroup("many", [OSError()]), "ExceptionGroup", "many"),
    ],
)
def test_the_type_and_the_message_are_kept(error: Exception, kind: str, message: str) -> None:
    failure = failure_of(raised(error))
    assert failure.type == kind
    assert message in failure.message
    assert "test_failure.py" in failure.traceback


def test_it_can_always_be_written_and_never_grows_without_bound() -> None:
    failure = failure_of(raised(ValueError("\ud800" + "x" * 100_000)), "prefix: ")
    assert failure.message.startswith("prefix: \\ud800xx")
    assert len(failure.message) == MOST_MESSAGE
    assert len(failure.traceback) <= MOST_TRACEBACK
    orjson.dumps(asdict(failure))


def call_through(module: str, function: object) -> BaseException:
    """What a function raises when a module of this name calls it."""
    namespace = types.ModuleType(module).__dict__
    exec("def run(function): function()", namespace)
    try:
        namespace["run"](function)
    except Exception as error:
        return raised_by(error, 1)
    raise AssertionError("it did not raise")


def raised_by(error: BaseException, skip: int) -> BaseException:
    trace = error.__traceback__
    for _ in range(skip):
        assert trace is not None
        trace = trace.tb_next
    return error.with_traceback(trace)


def users_function() -> None:
    raise ValueError("here")


@pytest.mark.parametrize(
    ("module", "shown"),
    [("anyio", False), ("upnext.worker.execution.invoke", False), ("anyio_helpers", True)],
)
def test_the_machinery_in_front_of_the_users_code_is_left_out(module: str, shown: bool) -> None:
    failure = failure_of(call_through(module, users_function))
    assert "users_function" in failure.traceback
    assert ("in run" in failure.traceback) is shown
