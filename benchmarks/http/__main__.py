"""Ask every server in alternation and write a table: python -m benchmarks.http --help."""

from __future__ import annotations

import argparse
import os
import platform
import random
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks import server
from benchmarks.http import load, report
from benchmarks.http.servers import METHODS, SERVERS

RESULTS = Path(__file__).parent.parent / "results"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="samples of each")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a sample")
    parser.add_argument("--warm-up", type=float, default=1.0, help="seconds before it")
    parser.add_argument("--connections", type=int, default=32, help="requests at once")
    parser.add_argument("--seed", type=int, default=1, help="of the order of samples")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="e.g. upnext quart")
    parser.add_argument("--backends", nargs="+", metavar="NAME", help="e.g. asyncio trio")
    parser.add_argument("--handlers", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--quick", action="store_true", help="one short sample of each")
    options = parser.parse_args(argv)
    if options.quick:
        options.rounds, options.seconds = 1, 2.0
    for chosen, known in (
        (options.only, {each.name for each in SERVERS}),
        (options.backends, {each.backend for each in SERVERS}),
    ):
        if unknown := set(chosen or ()) - known:
            names = ", ".join(sorted(known))
            parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {names}")
    return options


def _about(options: argparse.Namespace, lines: Sequence[report.Line]) -> dict[str, str]:
    about = {
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "server": server.version(),
        "samples": f"{options.rounds} each, {options.connections} connections for "
        f"{options.seconds:g} s after {options.warm_up:g} s of warming up",
    }
    if loads := [load_before for line in lines for load_before in line.values("load_before")]:
        about["load average before samples"] = f"{min(loads):.1f} to {max(loads):.1f}"
    return about


def main(argv: Sequence[str] | None = None) -> None:
    """Take every sample, round after round in a shuffled order, and write the table."""
    options = _arguments(argv)
    try:
        load.binary()
        server.binary()
    except RuntimeError as error:
        sys.exit(str(error))
    # Being ended ends the sample under way, and that its server.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    console = Console(stderr=True)
    lines = [
        report.Line(each, handler)
        for each in SERVERS
        if (not options.only or each.name in options.only)
        and (not options.backends or each.backend in options.backends)
        for handler in each.handlers
        if handler in options.handlers
    ]
    shuffler = random.Random(options.seed)

    def take(line: report.Line, seconds: float) -> None:
        console.print(f"{datetime.now():%H:%M:%S} {line.server.label} {line.handler}")
        try:
            sample = line.server.take(line.handler, options.connections, options.warm_up, seconds)
        except (RuntimeError, OSError, ValueError) as error:
            line.failures.append(str(error))
            console.print(f"  failed: {error}", style="red", markup=False)
        else:
            line.samples.append(sample)

    for line in lines:  # environments made, bytecode compiled, pages cached
        take(line, 1.0)
        line.samples.clear()
    for _ in range(options.rounds):
        for line in shuffler.sample(lines, len(lines)):
            take(line, options.seconds)
            # A run that is broken off leaves what it has.
            report.write(RESULTS, lines, _about(options, lines))

    page = report.write(RESULTS, lines, _about(options, lines))
    report.show(lines)
    print(f"written: {page}")


if __name__ == "__main__":
    main()
