from __future__ import annotations

import pytest
from redis import exceptions as known

from upnext.redis.faults import (
    NOT_EXECUTED,
    FunctionMissingError,
    ServerBusyError,
    reply_error,
    with_advice,
)

# What servers really say, the class redis-py users catch, and a word of the advice.
REPLIES = [
    ("OOM command not allowed when used memory > 'maxmemory'.", known.OutOfMemoryError, "drain"),
    ("MISCONF Redis is configured to save RDB snapshots", known.ResponseError, "free disk"),
    ("NOGROUP No such key 's' or consumer group 'g'", known.ResponseError, "create it at id 0"),
    ("NOAUTH Authentication required.", known.AuthenticationError, "user and password"),
    ("WRONGPASS invalid username-password pair", known.AuthenticationError, "user and password"),
    ("NOPERM this user has no permissions", known.NoPermissionError, "ACL SETUSER"),
    ("LOADING Redis is loading the dataset", known.BusyLoadingError, "reads its data"),
    ("READONLY You can't write against a read only replica.", known.ReadOnlyError, "primary"),
    ("MASTERDOWN Link with MASTER is down", known.MasterDownError, "primary"),
    ("BUSY Redis is busy running a script.", ServerBusyError, "FUNCTION KILL"),
    ("TRYAGAIN Multiple keys request during rehashing", known.TryAgainError, "try again"),
    ("CLUSTERDOWN The cluster is down", known.ClusterDownError, "CLUSTER INFO"),
    ("NOREPLICAS Not enough good replicas", known.ResponseError, "min-replicas-to-write"),
    ("WRONGTYPE Operation against a key", known.ResponseError, "database of its own"),
    ("NOPROTO unsupported protocol version", known.ResponseError, "Redis 7.0"),
    ("MOVED 3999 127.0.0.1:6381", known.ResponseError, "check the Redis URL"),
    ("ASK 3999 127.0.0.1:6381", known.ResponseError, "check the Redis URL"),
    ("ERR Function not found", FunctionMissingError, "load the function library"),
    ("ERR max number of clients reached", known.ConnectionError, "maxclients"),
    ("ERR invalid password", known.AuthenticationError, "user and password"),
    ("ERR unknown command 'FCALL', with args", known.ResponseError, "Redis 7.0"),
    ("ERR DB index is out of range", known.ResponseError, "fewer databases"),
]


@pytest.mark.parametrize(("reply", "kind", "advice"), REPLIES, ids=[r[0][:20] for r in REPLIES])
def test_a_reply_becomes_the_known_class_with_a_line_of_advice(
    reply: str, kind: type[Exception], advice: str
) -> None:
    error = reply_error(reply)
    assert type(error) is kind
    said, told = str(error).split("\n")
    assert said in reply
    assert advice in told


@pytest.mark.parametrize(
    ("reply", "kind", "message"),
    [
        ("ERR value is not an integer", known.ResponseError, "value is not an integer"),
        ("BUSYGROUP Consumer Group name exists", known.ResponseError, "BUSYGROUP Consumer"),
        ("NOSCRIPT No matching script.", known.NoScriptError, "No matching script."),
        ("EXECABORT Transaction discarded", known.ExecAbortError, "Transaction discarded"),
        ("CROSSSLOT Keys in request", known.ClusterCrossSlotError, "Keys in request"),
        ("UPNEXT_OWN made by a script", known.ResponseError, "UPNEXT_OWN made by a script"),
        ("", known.ResponseError, ""),
    ],
)
def test_a_reply_without_advice_keeps_its_words(
    reply: str, kind: type[Exception], message: str
) -> None:
    error = reply_error(reply)
    assert type(error) is kind
    assert str(error).startswith(message)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (known.ResponseError("BUSY Redis is busy"), ServerBusyError),
        (known.ResponseError("Function not found"), FunctionMissingError),
        (known.OutOfMemoryError("command not allowed"), known.OutOfMemoryError),
        (known.ReadOnlyError("You can't write"), known.ReadOnlyError),
        (known.BusyLoadingError("loading"), known.BusyLoadingError),
        (known.AuthenticationError("invalid"), known.AuthenticationError),
        (known.ResponseError("MISCONF stop-writes"), known.ResponseError),
    ],
)
def test_what_redis_py_raised_gets_the_same_class_and_advice(
    raised: known.ResponseError, kind: type[Exception]
) -> None:
    error = with_advice(raised)
    assert type(error) is kind
    assert str(error).startswith(f"{raised}\n")


def test_only_what_was_not_executed_may_be_sent_again() -> None:
    again = [reply for reply, *_ in REPLIES if isinstance(reply_error(reply), NOT_EXECUTED)]
    assert {reply.split()[0] for reply in again} == {
        "LOADING",
        "READONLY",
        "MASTERDOWN",
        "BUSY",
        "TRYAGAIN",
    }
