"""Taking clients in."""

from __future__ import annotations

import socket
import struct

import anyio

from tests.integration.api.conftest import Serving
from upnext import Api


async def test_clients_that_come_together_are_taken_in_together(serving: Serving) -> None:
    api = Api("served")
    asked: list[str] = []
    first = [f"client{n}" for n in range(32)]
    all_here = anyio.Event()

    @api.get("/from/{name}")
    async def from_(name: str) -> str:
        asked.append(name)
        if set(first) <= set(asked):
            all_here.set()
        return name

    def ask(name: str) -> bytes:
        return f"GET /from/{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode()

    async with serving(api) as served:
        # The event loop has no turn before all of them wait, and one has much to ask.
        clients = [socket.create_connection(served.address) for _ in first]
        for client, name in zip(clients, first, strict=True):
            client.sendall(ask(name))
        clients[0].sendall(ask("again") * 20)
        await all_here.wait()
        assert asked.count("again") < 10
        for client in clients:
            client.close()


async def test_a_client_that_left_before_he_was_taken_in(serving: Serving) -> None:
    api = Api("served")

    @api.get("/hello")
    async def hello() -> str:
        return "here"

    async with serving(api) as served:
        clients = [socket.create_connection(served.address) for _ in range(3)]
        for client in clients:  # closed with a reset
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        assert (await served.client.get("/hello")).json() == "here"
