"""Where worker processes hand in what their jobs say."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import anyio
import orjson
from anyio.abc import ByteStream, TaskStatus
from anyio.streams.buffered import BufferedByteReceiveStream

from upnext.model.job import Held
from upnext.model.report import Report, ReportKind
from upnext.worker.log import logger
from upnext.worker.reporting.mailbox import Key, Mailbox

HEAD = struct.Struct("!II")
"""Lengths of a message's JSON and of its payload."""
HEARD = b"\1"
"""The answer to a message that asks for one: all before it is in the mailbox."""


class Hatch:
    """Owns a Unix socket, in a directory of this user's alone, and who talks on it.

    A process connects when a job of its says something for the first time, and keeps the
    connection for its later jobs. A job's first message waits for an answer, so that from then on
    it is known here; so does its last one, so that its result does not overtake what it said.
    """

    def __init__(self, mailbox: Mailbox, is_running: Callable[[Held], bool]) -> None:
        self.address: str | None = None
        """Where processes connect; None: nowhere."""
        self._mailbox = mailbox
        self._is_running = is_running
        self._talking: dict[Key, anyio.Event] = {}

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        """Listen until cancelled."""
        try:
            folder = tempfile.TemporaryDirectory(prefix="upnext-", ignore_cleanup_errors=True)
        except OSError as error:
            logger.warning("jobs in processes cannot report, there is nowhere to: %s", error)
            task_status.started()
            return
        with folder as name:
            address = Path(name) / "reports"
            async with await anyio.create_unix_listener(address, mode=0o600) as listener:
                self.address = str(address)
                task_status.started()
                try:
                    async with anyio.create_task_group() as group:
                        await listener.serve(self._serve, group)
                finally:
                    self.address = None

    def leave(self, held: Held) -> anyio.Event | None:
        """A process is done with a job, or dead.

        Returns:
            None when it said nothing; else what is set when all that it said is in the mailbox.
        """
        return self._talking.pop((held.id, held.delivery), None)

    async def _serve(self, stream: ByteStream) -> None:
        over = anyio.Event()
        reader = BufferedByteReceiveStream(stream)
        try:
            async with stream:
                while True:
                    sizes = HEAD.unpack(await reader.receive_exactly(HEAD.size))
                    head, payload = [await reader.receive_exactly(size) for size in sizes]
                    message = orjson.loads(head)
                    held = Held(message["function"], message["id"], message["delivery"])
                    match message["kind"]:
                        case "hello":
                            if not self._is_running(held):
                                return
                            over = self._talking[held.id, held.delivery] = anyio.Event()
                            await stream.send(HEARD)
                        case "bye":
                            over.set()
                            await stream.send(HEARD)
                        case kind:
                            report = Report(
                                kind=ReportKind(kind), payload=payload, text=message["text"]
                            )
                            self._mailbox.put(held, message["started"], report)
                            # While the mailbox is crowded nothing is read, and so the job waits.
                            await self._mailbox.room(held)
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
            pass  # the process ended
        finally:
            over.set()
