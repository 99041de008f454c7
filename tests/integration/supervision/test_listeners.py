"""Listening sockets that outlive who accepts on them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from upnext.errors import ConfigurationError
from upnext.supervision.listeners import Listeners, bind


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    made = Listeners()
    yield made
    made.close()


def port_of(listening: socket.socket) -> int:
    port: int = listening.getsockname()[1]
    return port


def accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_a_place_is_bound_once(listeners: Listeners) -> None:
    [first] = listeners.lend("api", "127.0.0.1", 0)
    [again] = listeners.lend("api", "127.0.0.1", 0)
    [other] = listeners.lend("other", "127.0.0.1", 0)
    assert first is again
    assert port_of(first) != port_of(other)
    assert accepts(port_of(first))


def test_what_new_code_does_not_ask_for_is_closed_once_it_runs(listeners: Listeners) -> None:
    [kept] = listeners.lend("kept", "127.0.0.1", 0)
    [moved] = listeners.lend("moved", "127.0.0.1", 0)
    ports = port_of(kept), port_of(moved)
    listeners.begin()
    listeners.lend("kept", "127.0.0.1", 0)
    assert [accepts(port) for port in ports] == [True, True]
    listeners.drop_unwanted()
    assert [accepts(port) for port in ports] == [True, False]


def test_a_taken_port_is_one_clear_line(listeners: Listeners) -> None:
    [taken] = bind("first", "127.0.0.1", 0)
    with taken, pytest.raises(ConfigurationError, match=f"port {port_of(taken)}.*in use"):
        listeners.lend("second", "127.0.0.1", port_of(taken))
    assert listeners.lend("second", "127.0.0.1", 0)


def test_a_host_that_is_none(listeners: Listeners) -> None:
    with pytest.raises(ConfigurationError, match="no address of this machine"):
        listeners.lend("api", "192.0.2.1", 0)
