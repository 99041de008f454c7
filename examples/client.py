"""Traffic for `service.py`: requests of several kinds at a steady rate, and how they fared.

    python examples/client.py
    python examples/client.py --requests 500 --rate 50 --weight orders=10 --weight reports=0

It keeps to the rate as long as no more than `--most` requests are open. In the end it waits for
all jobs that it was told of. Exit code 1: an answer was 5xx, there was none, or a job is not over.
API_URL names the service where it is not at http://localhost:8001.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections import Counter
from collections.abc import Callable
from statistics import quantiles
from typing import Any, Literal

import anyio
import httpx
from attrs import define, field, frozen
from rich.console import Console
from rich.live import Live
from rich.table import Table

Request = tuple[str, str, dict[str, Any] | None]
USERS = [f"user_{n}" for n in range(1, 21)]
ITEMS = [f"Widget {letter}" for letter in "ABCDEFGH"]


def order() -> Request:
    items = random.sample(ITEMS, random.randint(1, 4))
    return "POST", "/orders", {"user_id": random.choice(USERS), "items": items}


def notification() -> Request:
    channel = random.choice(["email", "sms", "push"])
    return (
        "POST",
        "/notifications",
        {"user_id": random.choice(USERS), "channel": channel}
        | {"message": "There is something new."},
    )


def inventory() -> Request:
    return "GET", f"/inventory/{random.choice(ITEMS)}", None


def user() -> Request:
    name = random.choice(["Ada", "Barbara", "Edsger", "Grace"])
    return "POST", "/users", {"name": name, "email": f"{name.lower()}@example.org"}


def report() -> Request:
    kind = random.choice(["sales", "stock", "users"])
    return "POST", "/reports", {"kind": kind, "days": random.choice([7, 30])}


def campaign() -> Request:
    return "POST", "/campaigns", {"name": "spring", "segments": random.choice([1, 3])}


@frozen
class Kind:
    """Requests of one kind, and how many there are of it beside the others."""

    make: Callable[[], Request]
    weight: float


KINDS = {
    "orders": Kind(order, 8),
    "inventory": Kind(inventory, 4),
    "notifications": Kind(notification, 4),
    "users": Kind(user, 2),
    "reports": Kind(report, 1),
    "campaigns": Kind(campaign, 1),
}


@define
class Tally:
    """What became of the requests of one kind."""

    sent: int = 0
    statuses: Counter[str] = field(factory=Counter[str])
    seconds: list[float] = field(factory=list[float])

    def percentile(self, n: int) -> str:
        if not self.seconds:
            return ""
        seconds = self.seconds * 2  # quantiles() wants two values
        return f"{quantiles(seconds, n=100, method='inclusive')[n - 1] * 1000:.1f}"


@define
class Traffic:
    """All there is to tell."""

    kinds: dict[str, Tally] = field(factory=lambda: {name: Tally() for name in KINDS})
    jobs: dict[str, str] = field(factory=dict[str, str])
    """Where the jobs stand that answers named."""
    problems: Counter[str] = field(factory=Counter[str])

    def count(self, which: Literal["2", "3", "4", "5"]) -> int:
        return sum(
            number
            for tally in self.kinds.values()
            for status, number in tally.statuses.items()
            if status.startswith(which)
        )

    @property
    def sent(self) -> int:
        return sum(tally.sent for tally in self.kinds.values())

    def table(self) -> Table:
        table = Table(title=f"{self.sent} requests")
        for heading in ("requests", "sent", "answers", "p50 ms", "p99 ms"):
            table.add_column(heading, justify="left" if heading == "requests" else "right")
        for name, tally in self.kinds.items():
            answers = " ".join(f"{n}x{status}" for status, n in sorted(tally.statuses.items()))
            p50, p99 = tally.percentile(50), tally.percentile(99)
            table.add_row(name, str(tally.sent), answers, p50, p99)
        states = Counter(self.jobs.values())
        said = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
        table.caption = f"jobs: {said or 'none'}"
        return table

    def summary(self) -> str:
        return (
            f"{self.sent} requests: {self.count('2')} 2xx, {self.count('4')} 4xx,"
            f" {self.count('5')} 5xx, {self.problems.total()} without an answer"
        )


OVER = ("complete", "failed", "cancelled", "expired")


async def send(client: httpx.AsyncClient, traffic: Traffic, name: str) -> None:
    """Send one request."""
    method, path, body = KINDS[name].make()
    tally = traffic.kinds[name]
    tally.sent += 1
    begin = anyio.current_time()
    try:
        answer = await client.request(method, path, json=body)
    except httpx.HTTPError as error:
        traffic.problems[f"{type(error).__name__}: {error}"] += 1
        return
    tally.seconds.append(anyio.current_time() - begin)
    tally.statuses[str(answer.status_code)] += 1
    if answer.is_success and "job_id" in (told := answer.json()):
        traffic.jobs[told["job_id"]] = "submitted"


async def follow(client: httpx.AsyncClient, traffic: Traffic, job_id: str) -> None:
    """Wait until a job is over. It is the service that waits: this asks every five seconds."""
    try:
        while traffic.jobs[job_id] not in OVER:
            answer = await client.get(f"/jobs/{job_id}", params={"wait": 5})
            traffic.jobs[job_id] = answer.raise_for_status().json()["status"]
    except httpx.HTTPError as error:
        traffic.problems[f"{type(error).__name__}: {error}"] += 1


async def generate(options: argparse.Namespace, traffic: Traffic) -> None:
    """Send all requests, then follow their jobs to their ends."""
    names, weights = list(options.weights), list(options.weights.values())
    room = anyio.Semaphore(options.most)
    async with open_client(options) as client:

        async def in_room(work: Callable[..., Any], word: str) -> None:
            try:
                await work(client, traffic, word)
            finally:
                room.release()

        begin = anyio.current_time()
        async with anyio.create_task_group() as group:
            for number in range(options.requests):
                await anyio.sleep_until(begin + number / options.rate)
                (name,) = random.choices(names, weights)
                await room.acquire()
                group.start_soon(in_room, send, name)
        with anyio.move_on_after(options.patience):
            async with anyio.create_task_group() as group:
                for job_id in list(traffic.jobs):
                    await room.acquire()
                    group.start_soon(in_room, follow, job_id)


def open_client(options: argparse.Namespace) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=options.most)
    # Without the environment's proxies: it is the service that is looked at.
    return httpx.AsyncClient(base_url=options.url, limits=limits, timeout=30, trust_env=False)


async def somebody_answers(options: argparse.Namespace) -> bool:
    async with open_client(options) as client:
        try:
            return (await client.get("/runtime/health")).is_success
        except httpx.TransportError:
            return False


async def show(options: argparse.Namespace, traffic: Traffic, console: Console) -> None:
    """Generate the traffic, with a table that lives where there is a terminal."""
    if not console.is_terminal:
        await generate(options, traffic)
        console.print(traffic.table())
        return
    async with anyio.create_task_group() as group:
        with Live(traffic.table(), console=console, auto_refresh=False) as live:

            async def refresh() -> None:
                while True:
                    await anyio.sleep(0.25)
                    live.update(traffic.table(), refresh=True)

            group.start_soon(refresh)
            await generate(options, traffic)
            live.update(traffic.table(), refresh=True)
            group.cancel_scope.cancel()


def weight(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    if name not in KINDS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(KINDS)}")
    try:
        return name, within(0, 1e6)(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{number!r} is no number: say {name}=2") from None


def within(least: float, most: float, kind: type[float | int] = float) -> Callable[..., Any]:
    def number(text: str) -> float:
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not from {least:g} to {most:g}")
        return value

    return number


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    described = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=described, allow_abbrev=False)
    add = parser.add_argument
    default = os.environ.get("API_URL", "http://localhost:8001")
    add("--url", default=default, help="where the service is; %(default)s")
    add("--requests", type=within(1, 1e7, int), default=200, help="how many; %(default)s")
    add("--rate", type=within(0.01, 1e5), default=20.0, help="requests a second; %(default)g")
    add("--most", type=within(1, 1000, int), default=50, help="open requests; %(default)s")
    add("--patience", type=within(0, 3600), default=60.0, help="seconds for jobs; %(default)g")
    say = " ".join(f"{name}={kind.weight:g}" for name, kind in KINDS.items())
    add("--weight", type=weight, action="append", default=[], metavar="KIND=N", help=say)
    add("--seed", type=int, help="for the same requests each time")
    add("--trio", action="store_true", help="run on Trio instead of asyncio")
    options = parser.parse_args(words)
    weights = {name: kind.weight for name, kind in KINDS.items()} | dict(options.weight)
    options.weights = {name: n for name, n in weights.items() if n > 0}
    if not options.weights:
        parser.error("all weights are 0")
    return options


def main() -> int:
    options, traffic = parsed(), Traffic()
    random.seed(options.seed)
    console = Console()
    backend = "trio" if options.trio else "asyncio"
    if not anyio.run(somebody_answers, options, backend=backend):
        sys.stderr.write(
            f"Nobody answers at {options.url}: start it with `upnext run examples/service.py`,"
            " or name another place with --url.\n"
        )
        return 1
    stopped = False
    try:
        anyio.run(show, options, traffic, console, backend=backend)
    except* KeyboardInterrupt:
        stopped = True
    print(traffic.summary())
    unfinished = sum(state not in OVER for state in traffic.jobs.values())
    print(f"{len(traffic.jobs)} jobs, {unfinished} not over")
    for problem, number in traffic.problems.most_common(5):
        print(f"{number}x{problem}")
    if stopped:
        return 130
    return 1 if traffic.count("5") or traffic.problems or unfinished else 0


if __name__ == "__main__":
    raise SystemExit(main())
