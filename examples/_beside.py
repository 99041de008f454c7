"""What all examples share: the workers of a file, run beside a program that needs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from threading import Event, Thread


@contextmanager
def beside(file: str, log: Callable[[str], object] = sys.stderr.write) -> Generator[None]:
    """Run `upnext run FILE` as a child process for the length of the block.

    The block begins once the worker has started, and ends with a SIGTERM that lets it drain. A
    worker that ends by itself interrupts the block, so that nobody waits for results for ever.

    Args:
        file: The file that declares the workers; an example passes its own `__file__`.
        log: Gets each line of the worker's log, in a thread.

    Raises:
        SystemExit: The worker did not start, ended by itself, or did not end cleanly.
    """
    command = [sys.executable, "-m", "upnext", "run", file]
    tail: deque[str] = deque(maxlen=20)
    leaving = Event()

    def relay(lines: Iterable[str]) -> None:
        for line in lines:
            tail.append(line)
            log(line)
        if not leaving.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as for a shell's background job
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stderr is not None
        try:
            for line in worker.stderr:
                tail.append(line)
                if " started as " in line:
                    break
            else:
                raise SystemExit(f"The worker did not start:\n{''.join(tail)}")
            relaying = Thread(target=relay, args=(worker.stderr,))
            relaying.start()
            try:
                yield
            except KeyboardInterrupt:
                if not relaying.is_alive():
                    raise SystemExit(f"The worker ended by itself:\n{''.join(tail)}") from None
                # Ctrl+C; the terminal has sent it to the worker as well.
                print("\nFinishing what runs. Ctrl+C again to stop at once.", file=sys.stderr)
                raise SystemExit(130) from None
            finally:
                leaving.set()
                worker.terminate()
                relaying.join()
        finally:
            worker.terminate()
    if worker.returncode != 0:
        raise SystemExit(f"The worker ended with exit code {worker.returncode}.")
