"""Processes that use the embedded server, and their directory seen from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from upnext.redis.embedded_place import Place
from upnext.redis.embedded_process import ask

ROOT = Path(__file__).parents[2]

IN_A_BLOCK = """
import sys
from upnext.redis.embedded import embedded
print("imported", flush=True)
sys.stdin.readline()
with embedded() as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""

UNTIL_EXIT = """
import sys
from upnext.redis.embedded import embedded_url
print("imported", flush=True)
sys.stdin.readline()
embedded_url()
print(embedded_url(), flush=True)
sys.stdin.read()
"""


class User:
    """A process that uses the server of its working directory until its input ends."""

    def __init__(self, directory: Path, program: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=directory,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout
        assert self.output.readline() == "imported\n"

    def go(self) -> None:
        self.input.write("go\n")
        self.input.flush()

    def url(self) -> str:
        return self.output.readline().strip()

    def leave(self) -> None:
        self.input.close()
        assert self.process.wait() == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        self.output.close()
        self.input.close()


class Directory:
    """A working directory, seen from outside."""

    def __init__(self, path: Path, users: ExitStack) -> None:
        self.path = path
        self._users = users

    @property
    def place(self) -> Place:
        return Place.open(self.path)

    def enter(self, program: str = IN_A_BLOCK, **environment: str) -> User:
        user = User(self.path, program, **environment)
        self._users.callback(user.close)
        return user

    def start(self, program: str = IN_A_BLOCK, **environment: str) -> User:
        user = self.enter(program, **environment)
        user.go()
        assert user.url().startswith("unix:///")
        return user

    def pid(self) -> int:
        return int(self.place.pid_file.read_text())

    def answers(self) -> bool:
        return ask(self.place.socket(), "PING") == b"+PONG"

    def server_lives(self) -> bool:
        # Not by the pid: a killed process keeps its number until its parent collects it.
        with self.place.server() as alive:
            return not alive.try_exclusive()

    def kill_server(self) -> None:
        os.kill(self.pid(), signal.SIGKILL)
        self.place.server().exclusive().close()

    def starts(self) -> int:
        return self.place.log.read_text().count("Ready to accept connections")
