from __future__ import annotations

import pytest
from redis import exceptions as known

from tests.support.scripted import ScriptedServer, bulk, echo
from upnext.redis.library import Call, Caller, Library

LIBRARY = Library("lib_1", "#!lua name=lib_1\ncode")


class Functions:
    """A server's functions: FCALL answers with its first argument once they are loaded."""

    def __init__(self, load_reply: bytes = b"$5\r\nlib_1\r\n") -> None:
        self.loaded = False
        self.loads = 0
        self.load_reply = load_reply
        self.calls: list[list[bytes]] = []

    def __call__(self, words: list[bytes]) -> bytes | None:
        if words[:2] == [b"FUNCTION", b"LOAD"]:
            self.loads += 1
            self.loaded = not self.load_reply.startswith(b"-ERR broken")
            return self.load_reply
        if words[0] == b"FCALL":
            if not self.loaded:
                return b"-ERR Function not found\r\n"
            self.calls.append(words[1:])
            return b"-WRONGTYPE no\r\n" if words[-1] == b"bad" else bulk(words[-1])
        return echo(words)


async def test_a_call_names_function_keys_and_arguments() -> None:
    functions = Functions()
    functions.loaded = True
    caller = Caller(ScriptedServer(functions).link(), LIBRARY)
    assert await caller.call("put", ["k1", "k2"], [1, b"x"]) == b"x"
    assert functions.calls == [[b"lib_1_put", b"2", b"k1", b"k2", b"1", b"x"]]
    assert functions.loads == 0


@pytest.mark.parametrize(
    "load_reply",
    [b"$5\r\nlib_1\r\n", b"-ERR Library 'lib_1' already exists\r\n"],
    ids=["loaded", "another was faster"],
)
async def test_a_missing_function_loads_the_library_once(load_reply: bytes) -> None:
    functions = Functions(load_reply)
    server = ScriptedServer(functions)
    caller = Caller(server.link(), LIBRARY)
    calls = [Call("f", args=[n]) for n in range(3)]
    assert await caller.call_many(calls) == [b"0", b"1", b"2"]
    assert functions.loads == 1
    assert len(functions.calls) == 3
    assert len(server.writes) == 3, "introduction, calls, load with calls"


async def test_only_the_calls_that_missed_are_made_again() -> None:
    functions = Functions()

    def answer(words: list[bytes]) -> bytes | None:
        reply = functions(words)
        if words[-1] == b"0":
            functions.loaded = False  # flushed right after the first one
        return reply

    functions.loaded = True
    caller = Caller(ScriptedServer(answer).link(), LIBRARY)
    calls = [Call("f", args=[n]) for n in range(3)]
    assert await caller.call_many(calls) == [b"0", b"1", b"2"]
    assert [words[-1] for words in functions.calls] == [b"0", b"1", b"2"]


async def test_a_library_that_does_not_load_is_an_error() -> None:
    functions = Functions(b"-ERR broken code\r\n")
    caller = Caller(ScriptedServer(functions).link(), LIBRARY)
    with pytest.raises(known.ResponseError, match="broken code"):
        await caller.call("f", args=["x"])


async def test_errors_are_raised_or_left_in_place() -> None:
    functions = Functions()
    caller = Caller(ScriptedServer(functions).link(), LIBRARY)
    calls = [Call("f", args=["a"]), Call("f", args=["bad"]), Call("f", args=["b"])]
    with pytest.raises(known.ResponseError, match="WRONGTYPE"):
        await caller.call_many(calls)
    replies = await caller.call_many(calls, return_exceptions=True)
    assert [replies[0], replies[2]] == [b"a", b"b"]
    assert isinstance(replies[1], known.ResponseError)
    with pytest.raises(known.ResponseError, match="WRONGTYPE"):
        await caller.call("f", args=["bad"])
    assert await caller.call_many([]) == []
