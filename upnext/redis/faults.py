"""What a server's error reply means: which exception redis-py users know, and what to do."""

from __future__ import annotations

from attrs import frozen
from redis import exceptions as known


class ServerBusyError(known.ResponseError):
    """A script runs longer than the server's ``busy-reply-threshold``; nothing was executed."""


class FunctionMissingError(known.ResponseError):
    """The server lacks the function that was called; load its library and call again."""


NOT_EXECUTED: tuple[type[known.RedisError], ...] = (
    known.BusyLoadingError,
    known.ReadOnlyError,
    known.MasterDownError,
    known.TryAgainError,
    ServerBusyError,
)
"""Replies after which a command may be sent again although it is not idempotent."""


@frozen
class Fault:
    """One kind of error reply.

    Attributes:
        kind: The exception class for it.
        advice: One line on what to do, added to the message; empty where nothing is to say.
    """

    kind: type[known.RedisError]
    advice: str = ""


_USER = "check the user and password in the Redis URL (redis://user:password@host)"
_CLUSTER = "every command must go to the node that owns its keys: check the Redis URL"

BY_CODE: dict[str, Fault] = {
    "OOM": Fault(
        known.OutOfMemoryError,
        "the server is full: raise maxmemory or let workers drain the queue, then try again",
    ),
    "MISCONF": Fault(
        known.ResponseError,
        "the server cannot write its data to disk: free disk space and look at the server's log",
    ),
    "NOGROUP": Fault(
        known.ResponseError,
        "the stream's consumer group is gone, the data was probably deleted: create it at id 0",
    ),
    "NOAUTH": Fault(known.AuthenticationError, _USER),
    "WRONGPASS": Fault(known.AuthenticationError, _USER),
    "NOPERM": Fault(
        known.NoPermissionError, "this user may not do that: extend its rules with ACL SETUSER"
    ),
    "LOADING": Fault(
        known.BusyLoadingError, "the server still reads its data from disk: try again soon"
    ),
    "READONLY": Fault(
        known.ReadOnlyError, "this server is a replica: the Redis URL must name the primary"
    ),
    "MASTERDOWN": Fault(
        known.MasterDownError, "this replica has lost its primary: see that the primary runs"
    ),
    "BUSY": Fault(
        ServerBusyError, "a script blocks the server: wait for it or end it with FUNCTION KILL"
    ),
    "TRYAGAIN": Fault(known.TryAgainError, "the cluster moves these keys: try again soon"),
    "NOREPLICAS": Fault(
        known.ResponseError,
        "fewer replicas than min-replicas-to-write are in reach: bring them back",
    ),
    "WRONGTYPE": Fault(
        known.ResponseError, "another program uses this key: give this one a database of its own"
    ),
    "NOSCRIPT": Fault(known.NoScriptError),
    "EXECABORT": Fault(known.ExecAbortError),
    # Not redis-py's MovedError and AskError: these take the message apart and raise when it has
    # a line more, or is not formed as a server would form it.
    "MOVED": Fault(known.ResponseError, _CLUSTER),
    "ASK": Fault(known.ResponseError, _CLUSTER),
    "CROSSSLOT": Fault(known.ClusterCrossSlotError),
    "CLUSTERDOWN": Fault(
        known.ClusterDownError, "the cluster does not serve all slots: see CLUSTER INFO"
    ),
    "NOPROTO": Fault(known.ResponseError, "Redis 7.0 or later, or Valkey, is needed"),
}
"""By the first word of the reply."""

BY_TEXT: tuple[tuple[str, Fault], ...] = (
    ("Function not found", Fault(FunctionMissingError, "load the function library again")),
    (
        "max number of clients reached",
        Fault(known.ConnectionError, "raise maxclients on the server or run fewer programs"),
    ),
    ("invalid password", Fault(known.AuthenticationError, _USER)),
    (
        "AUTH <password> called without any password",
        Fault(known.AuthenticationError, "the server has no password: take it out of the URL"),
    ),
    ("unknown command", Fault(known.ResponseError, "Redis 7.0 or later, or Valkey, is needed")),
    ("DB index is out of range", Fault(known.ResponseError, "the server has fewer databases")),
)
"""Replies of the general kind ``ERR``, by how their text begins (upper and lower case alike)."""


def reply_error(reply: str) -> known.RedisError:
    """Translate an error reply into the exception that redis-py users know.

    The message is the server's (without its code where redis-py drops it, too), and below it,
    where there is something to say, one line on what to do.

    Args:
        reply: The reply without its leading minus sign.
    """
    code, _, text = reply.partition(" ")
    fault = BY_CODE.get(code)
    if fault is None:
        # What no table knows stays whole: users look for "BUSYGROUP" in the message.
        text = text if code == "ERR" else reply
        fault = _general(text)
    elif fault.kind in {known.ResponseError, ServerBusyError}:
        text = reply  # redis-py has no class for the code, so its users look for the code
    if fault is None:
        return known.ResponseError(text)
    message = f"{text}\n{fault.advice}" if fault.advice else text
    return fault.kind(message)


def with_advice(error: known.ResponseError | known.ConnectionError) -> known.RedisError:
    """Translate what redis-py made of an error reply into what :func:`reply_error` makes of it."""
    code = next((c for c, fault in BY_CODE.items() if fault.kind is type(error)), None)
    if code is None or type(error) is known.ResponseError:
        return reply_error(str(error))
    return reply_error(f"{code} {error}")


def _general(text: str) -> Fault | None:
    lowered = text.lower()
    return next((f for begin, f in BY_TEXT if lowered.startswith(begin.lower())), None)
