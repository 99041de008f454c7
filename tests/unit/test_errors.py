"""Errors cross processes."""

from __future__ import annotations

import pickle

import pytest

from upnext.errors import (
    CodecError,
    DeadLetterNotFoundError,
    JobNotFoundError,
    JobRefusedError,
    QueueFullError,
)


@pytest.mark.parametrize(
    "error",
    [
        JobNotFoundError("f-1"),
        DeadLetterNotFoundError("f-1"),
        JobRefusedError("f-1", "because"),
        QueueFullError("f-1"),
        CodecError("a.b[2]", "is no number"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_the_same_after_pickling(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
