"""One sample of one subject in a process of its own; prints JSON.

A subject is one of the peers, the bare loop, or UpNext. What a sample is to do comes in
environment variables, because the subject's worker process needs most of them as well.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import anyio

from benchmarks.arrivals import OpenCaller, Turn, take_turns
from benchmarks.observe import Observer, drain, running

REDIS_URL = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379")
BACKEND = os.environ.get("BENCH_BACKEND", "asyncio")
LOOP = "trio" if BACKEND == "trio" else "asyncio"
"""What the clients of a sample run on; a library of threads is called from asyncio."""
LOOP_OPTIONS = {"use_uvloop": True} if BACKEND == "uvloop" else {}
"""For `limit`, and for our bulk enqueue. Callers of the latency sample run on the stock loop."""
CONCURRENCY = int(os.environ.get("BENCH_CONCURRENCY", "32"))
JOBS = int(os.environ.get("BENCH_JOBS", "20000"))
RATE = float(os.environ.get("BENCH_RATE", "200"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "1"))


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured.

    Args:
        worker: Command of one worker process.
        enqueue: Puts that many `noop` jobs on the queue; returns the seconds it took, without
            imports and connecting.
        finished: How many of that many jobs are finished, their results stored. One O(1) command.
        caller: Opens a client for the latency sample; None where only throughput is measured.
        results_db: Database that `finished` looks at.
        env: Environment variables of the worker.
    """

    worker: Sequence[str]
    enqueue: Callable[[int], float]
    finished: Callable[[Observer, int], int]
    caller: OpenCaller | None = None
    results_db: int = 0
    env: Mapping[str, str] = field(default_factory=dict[str, str])

    def throughput(self) -> dict[str, object]:
        """Enqueue, then start the worker and watch it drain the queue."""
        seconds = self.enqueue(JOBS)
        observer = Observer(REDIS_URL, self.results_db)
        with running(self.worker, self.env) as worker:
            drained = drain(worker, partial(self.finished, observer, JOBS), JOBS)
        return {
            "jobs": JOBS,
            "enqueue_per_s": JOBS / seconds,
            "drain_per_s": drained.rate,
            "drain_seconds": drained.seconds,
        }

    def latency(self) -> None:
        """Start the worker, and for each line of stdin send it jobs at a fixed rate.

        Prints a line when it can begin, and one of JSON for each turn.
        """
        if self.caller is None:
            raise RuntimeError("no latency sample for this subject")
        with running(self.worker, self.env):
            anyio.run(take_turns, self.caller, RATE, SECONDS, _called, _told, backend=LOOP)


async def _called() -> bool:
    print("ready", flush=True)
    return bool(await anyio.to_thread.run_sync(sys.stdin.readline))


def _told(turn: Turn) -> None:
    print(json.dumps(turn._asdict()), flush=True)


def main(subject: Subject, **more: Callable[[], dict[str, object]]) -> None:
    """Run the sample named on the command line: throughput, latency, or one of `more`."""
    # Ending the sample ends its worker, too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    samples = {"throughput": subject.throughput, **more}
    match sys.argv[1:]:
        case ["latency"]:
            subject.latency()
        case [kind] if kind in samples:
            print(json.dumps(samples[kind]()))
        case _:
            sys.exit(f"usage: {sys.argv[0]} latency|{'|'.join(samples)}")
