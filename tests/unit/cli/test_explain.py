"""One clear line for what a user can do something about."""

from __future__ import annotations

import pytest
from redis import exceptions as known

from upnext.cli.explain import FAILURE, USAGE, CommandError, explain, unknown
from upnext.errors import (
    ConfigurationError,
    JobNotFoundError,
    MalformedJobIdError,
    StaticBuildError,
)
from upnext.redis.embedded import EmbeddedServerError


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (known.ConnectionError("refused"), FAILURE, "The broker cannot be reached: refused"),
        (known.TimeoutError("slow"), FAILURE, "The broker cannot be reached: slow"),
        (
            known.AuthenticationError("WRONGPASS\ncheck the password"),
            FAILURE,
            "The broker refused: WRONGPASS - check the password",
        ),
        (known.ResponseError("MISCONF disk\nfree space"), FAILURE, "The broker refused: MISCONF"),
        (EmbeddedServerError("no binary"), FAILURE, "no binary - Set UPNEXT_REDIS_URL"),
        (ConfigurationError("UPNEXT_DEBUG='x'"), USAGE, "UPNEXT_DEBUG='x'"),
        (JobNotFoundError("add-1"), FAILURE, "no job add-1"),
        (MalformedJobIdError("add"), USAGE, "'add' is not a job id"),
        (
            ExceptionGroup("tasks", [ExceptionGroup("more", [known.ConnectionError("gone")])]),
            FAILURE,
            "The broker cannot be reached: gone",
        ),
    ],
)
def test_known_errors(error: Exception, code: int, line: str) -> None:
    explained = explain(error)

    assert explained is not None
    assert explained.code == code
    assert str(explained).startswith(line)
    assert "\n" not in str(explained)


def test_a_failed_build_shows_what_it_wrote() -> None:
    explained = explain(StaticBuildError("/app", "npm ci", 1, ("a", "b"), limit=300))

    assert explained is not None
    assert str(explained) == "static files /app: `npm ci` ended with exit code 1"
    assert (explained.details, explained.code) == ("a\nb", FAILURE)


def test_a_defect_is_not_explained_away() -> None:
    assert explain(KeyError("x")) is None
    assert explain(ExceptionGroup("two", [known.ConnectionError("a"), KeyError("b")])) is None


def test_a_command_error_explains_itself() -> None:
    error = CommandError("no", code=FAILURE)

    assert explain(error) is error


def test_unknown_names_what_there_is_and_the_nearest() -> None:
    assert str(unknown("worker", "emial", ["reports", "email"])) == (
        "No worker named 'emial'. Did you mean 'email'? There is: email, reports."
    )
    assert str(unknown("task", "x", [])) == "No task named 'x'. There is: none."
