"""From samples to a table: medians, ratios, and every failure with its reason."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.http.servers import Server
from benchmarks.report import markdown

HEADINGS = ("", "handler", "n", "req/s", "min-max", "CPU µs/req", "p50 ms", "p99 ms", "failed")

WIDTH = 110
"""Columns that the table needs, also where it is piped into a file."""

Measure = tuple[str, str]
"""A server's label and a handler."""

COMPARED: Sequence[tuple[str, Measure, Measure]] = (
    ("no-op / plain Quart", ("upnext (asyncio)", "noop"), ("quart (asyncio)", "noop")),
    ("no-op / plain QuartTrio", ("upnext (trio)", "noop"), ("quart (trio)", "noop")),
    ("submit / our no-op", ("upnext (asyncio)", "submit"), ("upnext (asyncio)", "noop")),
    ("submit / our no-op (trio)", ("upnext (trio)", "submit"), ("upnext (trio)", "noop")),
    (
        "submit / FastAPI and arq",
        ("upnext (asyncio)", "submit"),
        ("fastapi_arq (asyncio)", "submit"),
    ),
    (
        "submit / FastAPI and arq, theirs on uvloop and httptools",
        ("upnext (asyncio)", "submit"),
        ("fastapi_arq (uvloop)", "submit"),
    ),
    (
        "submit / FastAPI and arq, both on uvloop",
        ("upnext (uvloop)", "submit"),
        ("fastapi_arq (uvloop)", "submit"),
    ),
)


@dataclass(slots=True)
class Line:
    """All samples of one handler on one server."""

    server: Server
    handler: str
    samples: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def values(self, name: str) -> list[float]:
        """One number of each sample."""
        return [float(sample[name]) for sample in self.samples]

    def cells(self) -> list[str]:
        """The line of the table."""
        cells = [self.server.label, self.handler, str(len(self.samples) or "")]
        if self.samples:
            rates = self.values("requests_per_s")
            cells += [f"{median(rates):,.0f}", f"{min(rates):,.0f}-{max(rates):,.0f}"]
            cells.append(f"{median(self.values('cpu_us')):,.0f}")
            cells += [f"{median(self.values(name)):.1f}" for name in ("p50_ms", "p99_ms")]
        else:
            cells += [""] * 5
        return [*cells, str(len(self.failures) or "")]


def ratios(lines: Sequence[Line]) -> dict[str, float]:
    """How the medians of requests per second compare."""
    rates = {
        (line.server.label, line.handler): median(line.values("requests_per_s"))
        for line in lines
        if line.samples
    }
    flawed = {(line.server.label, line.handler) for line in lines if line.failures}
    return {
        what + (" - INCOMPLETE, samples failed" if {ours, theirs} & flawed else ""): rates[ours]
        / rates[theirs]
        for what, ours, theirs in COMPARED
        if ours in rates and theirs in rates
    }


def show(lines: Sequence[Line]) -> None:
    """Print the tables to the terminal."""
    console = Console()
    console.width = max(console.width, WIDTH)
    table = Table(*HEADINGS)
    for line in lines:
        table.add_row(*line.cells())
    console.print(table)
    if found := ratios(lines):
        table = Table("ratio of requests per second", "value")
        for what, value in found.items():
            table.add_row(what, f"{value:.2f}")
        console.print(table)
    for line in lines:
        for failure in line.failures:
            console.print(f"{line.server.label} {line.handler}: {failure}", markup=False)


def write(folder: Path, lines: Sequence[Line], about: Mapping[str, str]) -> Path:
    """Write http.md and http.json and return the former's path."""
    folder.mkdir(parents=True, exist_ok=True)
    text = ["# HTTP benchmark", "", *(f"- {key}: {value}" for key, value in about.items()), ""]
    text += [*markdown(HEADINGS, [line.cells() for line in lines]), "", "Medians.", ""]
    found = ratios(lines)
    rows = [[what, f"{value:.2f}"] for what, value in found.items()]
    text += markdown(("ratio of requests per second", "value"), rows)
    failures = [f"- {x.server.label} {x.handler}: {why}" for x in lines for why in x.failures]
    text += ["", "## Failed samples", "", *failures] if failures else []
    page = folder / "http.md"
    page.write_text("\n".join(text) + "\n")
    samples = {
        f"{line.server.label} {line.handler}": {"samples": line.samples, "failures": line.failures}
        for line in lines
    }
    record = {"about": dict(about), "ratios": found, "servers": samples}
    (folder / "http.json").write_text(json.dumps(record, indent=2) + "\n")
    return page
