"""Run everything in alternation and write a table: python -m benchmarks.run --help."""

from __future__ import annotations

import argparse
import os
import platform
import random
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import report, server
from benchmarks.contestants import CONTESTANTS, Contestant
from benchmarks.turns import Seat, summary

RESULTS = Path(__file__).parent / "results"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000, help="no-op jobs, limit and upnext")
    parser.add_argument("--peer-jobs", type=int, default=10_000, help="no-op jobs, each peer")
    parser.add_argument("--repeats", type=int, default=3, help="samples of throughput")
    parser.add_argument("--turns", type=int, default=20, help="of each (latency)")
    parser.add_argument("--concurrency", type=int, default=32, help="jobs that run at once")
    parser.add_argument("--rate", type=float, default=200.0, help="arrivals a second (latency)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of arrivals a turn (latency)")
    parser.add_argument("--seed", type=int, default=1, help="of the order of samples")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="e.g. limit upnext streaq")
    parser.add_argument("--kinds", nargs="+", default=["throughput", "latency", "memory"])
    parser.add_argument("--quick", action="store_true", help="one short sample of each")
    options = parser.parse_args(argv)
    if options.quick:
        options.jobs, options.peer_jobs = 20_000, 2_000
        options.repeats, options.turns = 1, 3
        options.kinds = [kind for kind in options.kinds if kind != "memory"]
    names = {contestant.name for contestant in CONTESTANTS}
    if unknown := set(options.only or ()) - names:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(sorted(names))}")
    return options


def _knobs(options: argparse.Namespace, contestant: Contestant) -> dict[str, str]:
    jobs = options.peer_jobs if contestant.is_peer else options.jobs
    return {
        "BENCH_JOBS": str(jobs),
        "BENCH_CONCURRENCY": str(options.concurrency),
        "BENCH_RATE": str(options.rate),
        "BENCH_SECONDS": str(options.seconds),
    }


def _about(options: argparse.Namespace, lines: Iterable[report.Line]) -> dict[str, str]:
    about = {
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "server": server.version(),
        "samples": f"{options.repeats} each, {options.jobs:,} jobs (peers {options.peer_jobs:,}), "
        f"concurrency {options.concurrency}; {options.rate:.0f} arrivals/s, "
        f"{options.turns} turns of {options.seconds:g} s",
    }
    loads = [
        float(sample["load_before"])
        for line in lines
        for samples in line.samples.values()
        for sample in samples
    ]
    if loads:
        # The run itself keeps two to three processes busy; more than that is somebody else's.
        about["load average before samples"] = f"{min(loads):.1f} to {max(loads):.1f}"
    return about


def main(argv: Sequence[str] | None = None) -> None:
    """Take every sample, round after round in a shuffled order, and write the table.

    Latency comes last, in turns.
    """
    options = _arguments(argv)
    # Being ended ends the sample under way, and that its worker.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    console = Console(stderr=True)
    chosen = [c for c in CONTESTANTS if not options.only or c.name in options.only]
    lines = {contestant: report.Line(contestant) for contestant in chosen}
    shuffler = random.Random(options.seed)

    def save() -> Path:
        """After each sample and round: a run that is broken off leaves what it has."""
        return report.write(RESULTS, list(lines.values()), _about(options, lines.values()))

    @contextmanager
    def noted(contestant: Contestant, kind: str) -> Iterator[None]:
        console.print(f"{datetime.now():%H:%M:%S} {contestant.label} {kind}", highlight=False)
        try:
            yield
        except (RuntimeError, OSError, ValueError, IndexError) as error:
            lines[contestant].failures.append(f"{kind}: {error}")
            console.print(f"  failed: {error}", style="red", markup=False)

    def take(contestant: Contestant, kind: str, knobs: dict[str, str]) -> None:
        with noted(contestant, kind):
            sample = contestant.take(kind, knobs)
            lines[contestant].samples.setdefault(kind, []).append(sample)

    def take_turns() -> None:
        load, turns = os.getloadavg()[0], dict[Contestant, list[dict[str, Any]]]()
        with ExitStack() as stack:
            seats: dict[Contestant, Seat] = {}
            for contestant in chosen:
                if "latency" in contestant.kinds:
                    with noted(contestant, "latency"):
                        seat = stack.enter_context(contestant.seat(_knobs(options, contestant)))
                        seat.ready()
                        seats[contestant], turns[contestant] = seat, []
            for number in range(1, options.turns + 1):
                for contestant in shuffler.sample(list(seats), len(seats)):
                    with noted(contestant, f"latency, turn {number}"):
                        turns[contestant].append(seats[contestant].turn())
                seats = {c: seat for c, seat in seats.items() if len(turns[c]) == number}
                for contestant, taken in turns.items():
                    if taken:
                        sample = {"load_before": load, **summary(taken)}
                        lines[contestant].samples["latency"] = [sample]
                save()

    for contestant in chosen:  # environments made, bytecode compiled, pages cached
        take(contestant, "throughput", _knobs(options, contestant) | {"BENCH_JOBS": "2000"})
        lines[contestant].samples.clear()
    for number in range(options.repeats):
        kinds = {"throughput", "memory"} & set(options.kinds)
        plan = [(c, kind) for c in chosen for kind in c.kinds if kind in kinds]
        shuffler.shuffle(plan)
        for contestant, kind in plan:
            if kind == "memory" and number:
                continue
            take(contestant, kind, _knobs(options, contestant))
            save()

    if "latency" in options.kinds:
        take_turns()
    page = save()
    report.show(list(lines.values()))
    print(f"written: {page}")


if __name__ == "__main__":
    main()
