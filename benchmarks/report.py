"""From samples to a table: medians, ratios, and every failure with its reason."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.contestants import Contestant

RIVALS = ("saq", "taskiq", "streaq")
"""The async peers whose fastest is the measure."""

LATENCIES = ("ping_ms", "start_ms", "result_ms")
HEADINGS = (
    "",
    "n",
    "drain/s",
    "min-max",
    "enqueue/s",
    "PING ms",
    "start ms",
    "result ms",
    "failed",
)


@dataclass(slots=True)
class Line:
    """All samples of one contestant."""

    contestant: Contestant
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def values(self, kind: str, *path: str) -> list[float]:
        """Return one number of each sample of a kind."""
        found: list[float] = []
        for sample in self.samples.get(kind, []):
            value: Any = sample
            for key in path:
                value = value[key]
            found.append(float(value))
        return found

    def middle(self, kind: str, *path: str) -> float | None:
        """Return the median of that number, None without a sample."""
        values = self.values(kind, *path)
        return median(values) if values else None

    def cells(self) -> list[str]:
        """Return the line of the table."""
        rates = self.values("throughput", "drain_per_s")
        spread = f"{min(rates):,.0f}-{max(rates):,.0f}" if rates else ""
        cells = [self.contestant.label, str(len(rates) or "")]
        cells += [_number(self.middle("throughput", "drain_per_s")), spread]
        cells.append(_number(self.middle("throughput", "enqueue_per_s")))
        for name in LATENCIES:
            pair = [self.middle("latency", name, share) for share in ("p50", "p99")]
            cells.append(" / ".join(f"{v:.2f}" for v in pair if v is not None))
        cells.append(str(len(self.failures)) if self.failures else "")
        return cells


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _best(lines: Iterable[Line], *path: str) -> float | None:
    found = [line.middle("throughput", *path) for line in lines]
    return max((value for value in found if value is not None), default=None)


def ratios(lines: Sequence[Line]) -> list[tuple[str, float]]:
    """Compare UpNext with the bare loop and the fastest async peer, backend by backend."""
    by_name = {line.contestant.label: line for line in lines}
    rivals = _best((x for x in lines if x.contestant.name in RIVALS), "drain_per_s")
    bulk = _best((x for x in lines if x.contestant.name == "streaq"), "enqueue_per_s")
    found: list[tuple[str, float]] = []
    for backend in ("asyncio", "uvloop", "trio"):
        ours, limit = by_name.get(f"upnext ({backend})"), by_name.get(f"limit ({backend})")
        if ours is None:
            continue
        # Medians of unequal numbers of samples come from unequal moments: say so.
        flaw = " - INCOMPLETE, samples failed" if ours.failures else ""
        drain = ours.middle("throughput", "drain_per_s")
        enqueue = ours.middle("throughput", "enqueue_per_s")
        ceiling = limit.middle("throughput", "drain_per_s") if limit else None
        growth = ours.middle("memory", "rss_growth_mib")
        for what, value, measure in (
            (f"drain / limit ({backend})", drain, ceiling),
            (f"drain / fastest of {', '.join(RIVALS)} ({backend})", drain, rivals),
            (f"bulk enqueue / streaq's ({backend})", enqueue, bulk),
            (f"RSS growth, 50,000th to 200,000th job, MiB ({backend})", growth, 1.0),
        ):
            if value is not None and measure is not None:
                found.append((what + flaw, value / measure))
    return found


def show(lines: Sequence[Line]) -> None:
    """Print the tables to the terminal."""
    console = Console()
    table = Table(*HEADINGS)
    for line in lines:
        table.add_row(*line.cells())
    console.print(table)
    if found := ratios(lines):
        table = Table("ratio", "value")
        for what, value in found:
            table.add_row(what, f"{value:.2f}")
        console.print(table)
    for line in lines:
        for failure in line.failures:
            console.print(f"[red]{line.contestant.label}[/red] {failure}", highlight=False)


def write(folder: Path, lines: Sequence[Line], about: dict[str, Any]) -> Path:
    """Write latest.md and latest.json and return the former's path."""
    folder.mkdir(parents=True, exist_ok=True)
    text = ["# Benchmark", ""]
    text += [f"- {key}: {value}" for key, value in about.items()]
    text += ["", *markdown(HEADINGS, [line.cells() for line in lines])]
    text += ["", "Medians; latencies are p50 / p99 of all turns.", ""]
    text += markdown(("ratio", "value"), [[what, f"{v:.2f}"] for what, v in ratios(lines)])
    failures = [f"- {x.contestant.label}: {why}" for x in lines for why in x.failures]
    text += ["", "## Failed samples", "", *failures] if failures else []
    page = folder / "latest.md"
    page.write_text("\n".join(text) + "\n")
    record = {
        "about": about,
        "ratios": dict(ratios(lines)),
        "contestants": {
            line.contestant.label: {"samples": line.samples, "failures": line.failures}
            for line in lines
        },
    }
    (folder / "latest.json").write_text(json.dumps(record, indent=2) + "\n")
    return page


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]
