from __future__ import annotations

import anyio
import pytest

from upnext.worker.execution.blame import is_the_jobs


class Panic(BaseException):
    """As extension modules raise it: PyO3's `PanicException` is no `Exception`."""


class Other(BaseException):
    pass


@pytest.mark.parametrize("raised", [ValueError(), SystemExit(), Panic(), TimeoutError()])
async def test_what_a_function_raises_is_its_own(raised: BaseException) -> None:
    assert is_the_jobs(raised)
    assert is_the_jobs(BaseExceptionGroup("both", [raised, Other()]))


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), GeneratorExit()])
async def test_what_ends_the_process_is_not(raised: BaseException) -> None:
    assert not is_the_jobs(raised)
    assert not is_the_jobs(BaseExceptionGroup("both", [ValueError(), raised]))


async def test_a_cancellation_is_not_if_there_was_one() -> None:
    cancelled = anyio.get_cancelled_exc_class()
    raised: list[BaseException] = []
    blamed: list[bool] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep_forever()
        except cancelled as error:
            raised.append(error)
            blamed.append(is_the_jobs(error))
            raise
    assert blamed == [False]
    assert is_the_jobs(raised[0])  # it went astray: nobody cancels this task
