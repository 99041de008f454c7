"""`@worker.task` in its forms."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from upnext.client.declarations import TaskDeclarations
from upnext.client.handle import TaskHandle
from upnext.errors import ConfigurationError


def test_bare_and_called() -> None:
    worker = TaskDeclarations()

    @worker.task
    async def send(to: str) -> int:
        """Send it."""
        return len(to)

    @worker.task(name="resize-image", retries=2)
    def resize(width: int) -> int:
        return width

    assert isinstance(send, TaskHandle)
    assert (send.name, send.function_key, send.__name__) == ("send", "send", "send")
    assert send.__doc__ == "Send it."
    assert resize.name == resize.definition.name == "resize-image"
    assert resize.definition.retries == 2
    assert resize.func(3) == 3
    assert worker.tasks == {"send": send, "resize-image": resize}
    assert worker.registry.get("send") is send.definition


def test_mistakes_are_named() -> None:
    worker = TaskDeclarations()
    worker.task(name="a")(lambda: 1)
    with pytest.raises(ConfigurationError, match="two tasks are called 'a'"):
        worker.task(name="a")(lambda: 2)
    assert worker.tasks["a"]() == 1
    with pytest.raises(TypeError, match="retires"):
        worker.task(name="b", retires=1)(lambda: 1)
    with pytest.raises(ValueError, match="no name"):
        worker.task(lambda: 1)


def test_local_classes_in_annotations() -> None:
    @dataclass
    class Local:
        n: int

    worker = TaskDeclarations()

    @worker.task
    def take(local: Local) -> Local:
        return local

    @worker.task()
    def take_too(local: Local) -> None: ...

    for task in (take, take_too):
        encoded = task.definition.arguments.encode((Local(1),), {})
        assert task.definition.arguments.decode(encoded) == ((), {"local": Local(1)})
    assert take.definition.result.decode(b'{"n":2}') == Local(2)
