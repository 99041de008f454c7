"""One child process, in a process group of its own, for as long as somebody waits for it."""

from __future__ import annotations

import codecs
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import anyio
from anyio.abc import ByteReceiveStream, Process, TaskStatus
from attrs import define, field

from upnext.api.static.command import Step

__all__ = ["GRACE", "run_child"]

GRACE = 5.0
"""Seconds a process group gets between SIGTERM and SIGKILL."""
LINGER = 1.0
"""Seconds for which output is read that others still write after the program itself has ended."""
REAP = 1.0
"""Seconds that the kernel gets to end what was killed."""
LONGEST = 4096
"""Characters of a line that are kept."""

# Colours and cursor movements; window titles and links; other control characters.
_TERMINAL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0a-\x1f\x7f-\x9f]"
)


async def run_child(
    step: Step,
    program: str,
    *,
    cwd: Path,
    on_line: Callable[[str], object],
    keep_stdin: bool = False,
    grace: float = GRACE,
    task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED,
) -> int:
    """Run one program to its end and return its exit code, negative for a signal.

    Cancelled, it sends SIGTERM to the program's process group, and SIGKILL after `grace` seconds.
    What a program that ended by itself left running in its group is ended likewise. Output is
    read until the end, so that no one waits on a full pipe.

    Args:
        step: Arguments and environment.
        program: The path of the executable.
        cwd: Where it runs.
        on_line: Called for each line it writes, without colours and control characters.
        keep_stdin: Leave its input open and silent, as a terminal's is: several dev servers end
            with their input, which then is when this process is gone. Otherwise it has none.
        grace: Seconds.
        task_status: Told the process id once it runs.

    Raises:
        OSError: The program cannot be started.
    """
    process = await anyio.open_process(
        [program, *step.words[1:]],
        stdin=subprocess.PIPE if keep_stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env={**os.environ, **dict(step.variables)},
        start_new_session=True,
    )
    assert process.stdout is not None
    output = _Output(process.stdout, on_line)
    async with process:
        task_status.started(process.pid)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(output.follow)
                await process.wait()
                group.cancel_scope.deadline = anyio.current_time() + LINGER
        finally:
            await _end(process, output, grace)
            output.finish()
        return await process.wait()


async def _end(process: Process, output: _Output, grace: float) -> None:
    if not _signal(process, signal.SIGTERM):
        return
    with anyio.move_on_after(grace, shield=True):
        # The output ends when the last one of the group that could write to it has ended.
        await output.follow()
        await process.wait()
    _signal(process, signal.SIGKILL)
    with anyio.move_on_after(REAP, shield=True):
        await process.wait()


def _signal(process: Process, number: signal.Signals) -> bool:
    """Signal the whole group; False if nobody is in it any more."""
    try:
        # Its number is the leader's and stays taken while anyone is in the group.
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):  # macOS refuses where only the dead are left
        return False
    return True


@define(eq=False)
class _Output:
    """Turns bytes into lines; what is not a whole line yet outlives a cancelled read."""

    _stream: ByteReceiveStream
    _on_line: Callable[[str], object]
    _decoder: codecs.IncrementalDecoder = field(
        factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"), init=False
    )
    _rest: str = field(default="", init=False)

    async def follow(self) -> None:
        """Hand on lines until the output ends."""
        while True:
            try:
                chunk = await self._stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return
            *lines, rest = (self._rest + self._decoder.decode(chunk)).split("\n")
            self._rest = rest[-LONGEST:]
            for line in lines:
                self._tell(line)

    def finish(self) -> None:
        """Hand on a last line without its end."""
        rest, self._rest = self._rest, ""
        self._tell(rest)

    def _tell(self, line: str) -> None:
        # A progress bar writes its line again and again; the last one stands.
        shown = _TERMINAL.sub("", line.rstrip("\r").rpartition("\r")[2])[:LONGEST].rstrip()
        if shown:
            self._on_line(shown)
