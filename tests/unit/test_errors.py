"""Errors cross processes."""

from __future__ import annotations

import pickle

import pytest

from upnext.errors import (
    CodecError,
    DeadLetterNotFoundError,
    JobNotFoundError,
    JobRefusedError,
    MalformedJobIdError,
    QueueFullError,
    UpNextError,
)


@pytest.mark.parametrize(
    "error",
    [
        JobNotFoundError("f-1"),
        MalformedJobIdError("what?"),
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


def test_an_error_names_what_it_is_about() -> None:
    missing = JobNotFoundError("f-1")
    assert missing.job_id == "f-1"
    assert "no job f-1" in str(missing)
    assert isinstance(missing, UpNextError)
    assert isinstance(missing, LookupError)
    malformed = MalformedJobIdError("what?")
    assert str(malformed) == "'what?' is not a job id (expected <function>-<32 hex digits>)"
    assert malformed.job_id == "what?"
    assert isinstance(malformed, JobNotFoundError)
    assert isinstance(malformed, ValueError)
    assert QueueFullError("f-1").job_id == JobRefusedError("f-1", "so").job_id == "f-1"
