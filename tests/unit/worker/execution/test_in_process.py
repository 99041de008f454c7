from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import to_process

from upnext.tasks.context import Context
from upnext.tasks.definition import TaskDefinition
from upnext.tasks.modules import ModuleSource
from upnext.worker.execution.child import Answer, run_in_child
from upnext.worker.execution.invoke import InProcess, WorkerProcessDiedError

CONTEXT = Context(job_id="work-1")


def work() -> int:
    return 1


class Processes:
    """Stands in for AnyIO's: ends calls as it is told."""

    def __init__(self, *endings: Answer | BaseException) -> None:
        self.endings = list(endings)

    async def run_sync(self, *args: Any, **options: Any) -> Answer:
        ending = self.endings.pop(0)
        if isinstance(ending, BaseException):
            raise ending
        return ending


async def call(monkeypatch: pytest.MonkeyPatch, *endings: Answer | BaseException) -> bytes:
    processes = Processes(*endings)
    monkeypatch.setattr(to_process, "run_sync", processes.run_sync)
    invoke = InProcess(ModuleSource(name=__name__, file=None), anyio.CapacityLimiter(1))
    return await invoke(TaskDefinition(function=work, name="work"), b"{}", CONTEXT)


@pytest.mark.parametrize(
    "early",
    [
        KeyboardInterrupt(),
        ProcessLookupError(),
        anyio.BrokenWorkerProcess("Error during worker process initialization"),
    ],
)
async def test_a_process_interrupted_before_it_called_the_function_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, early: BaseException
) -> None:
    assert await call(monkeypatch, early, Answer(result=b"1")) == b"1"


async def test_a_process_that_died_later_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(WorkerProcessDiedError, match="died with the job"):
        await call(monkeypatch, anyio.BrokenWorkerProcess(), Answer(result=b"1"))


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_would_end_the_parent_does_not_cross_back(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    def interrupted(*_: object) -> None:
        raise kind

    monkeypatch.setattr("upnext.worker.execution.child._find", interrupted)
    monkeypatch.setattr("upnext.worker.execution.child._leave_stopping_to_the_parent", lambda: None)
    source = ModuleSource(name=__name__, file=None)
    answer = run_in_child(source, "work", "work", b"{}", CONTEXT)
    assert answer.failure is not None
    assert answer.failure.type == kind.__name__
