"""A shop: HTTP endpoints in front; jobs, events and crons behind them.

    upnext run examples/service.py      serve it; `upnext dev` starts anew when this file changes
    python examples/client.py           traffic for it

    curl -X POST http://localhost:8001/orders -H 'content-type: application/json' \
      -d '{"user_id":"user_1","items":["Widget A","Widget B"]}'

http://localhost:8001/docs has a page on all endpoints. It needs no Redis: an embedded Valkey starts
by itself where UPNEXT_REDIS_URL names none.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Any, Literal
from zlib import crc32

import anyio
from _paper import chart_png, page_pdf
from attrs import frozen
from quart import abort

import upnext
from upnext import ArtifactType, JobStatus

api = upnext.Api("shop", port=int(os.environ.get("PORT", "8001")))
shop = upnext.Worker("shop", concurrency=32)
office = upnext.Worker("office", concurrency=4)

LONGEST_WAIT = 30.0
"""Seconds that `GET /jobs/{job_id}?wait=…` waits at most."""


@frozen
class NewOrder:
    user_id: str
    items: list[str]


@frozen
class Stock:
    item: str
    price: float
    available: int


@frozen
class Receipt:
    user_id: str
    total: float
    bought: list[str]
    missing: list[str]


# Orders and the inventory


@shop.task
async def process_order(order: NewOrder) -> Receipt:
    """Look all items up, charge, tell the customer. Each step is a job below this one.

    While it waits for them its slot is lent: 1,000 orders at once cannot block each other.
    """
    context = upnext.get_current_context()
    context.set_progress(0.0, "looking for the items")
    items = [{"item": item} for item in order.items]
    stock: list[Stock] = await upnext.map_tasks(check_inventory, items)
    context.set_progress(0.5, "charging")
    bought = [each for each in stock if each.available]
    total = round(sum(each.price for each in bought), 2)
    await charge.wait(order.user_id, total)
    await notify.submit(order.user_id, "email", f"You paid {total:.2f}.")
    missing = [each.item for each in stock if not each.available]
    return Receipt(order.user_id, total, [each.item for each in bought], missing)


@shop.task
def check_inventory(item: str) -> Stock:
    """A sync function: it runs in a thread, and may take its time."""
    time.sleep(0.002)
    number = crc32(item.encode())
    return Stock(item, price=number % 9000 / 100 + 10, available=number % 9)


@shop.task(retries=3, retry_delay=0.1, retry_jitter=True)
async def charge(user_id: str, amount: float) -> str:
    """The bank is away now and then; the next attempt reaches it."""
    context = upnext.get_current_context()
    if context.attempt == 1 and crc32(context.job_id.encode()) % 10 == 0:
        raise ConnectionError("the bank does not answer")
    await anyio.sleep(0.01)
    return f"{user_id} paid {amount:.2f}"


@shop.task(rate_limit="200/s")
async def notify(user_id: str, channel: Literal["email", "sms", "push"], message: str) -> str:
    """Never more than 200 a second, however many workers there are."""
    await anyio.sleep(0.005)
    return f"{channel} to {user_id}: {message}"


# Registrations: an event, and whoever is interested in it

registered = shop.event("user.registered")


@registered.on(retries=2)
async def create_profile(name: str, email: str) -> str:
    return f"{name} <{email}>"


@registered.on
async def welcome(name: str, email: str) -> None:
    await notify.submit(email, "email", f"Welcome, {name}!")


@office.event("user.*").on
async def keep_record(**data: Any) -> str:
    """Another worker, which listens to everything that happens to users."""
    return f"{upnext.get_current_context().event} of {data.get('name')}"


# Reports: files that belong to a job


@office.task(timeout=60)
async def make_report(kind: Literal["sales", "stock", "users"], days: int) -> dict[str, Any]:
    """A chart, a page and a table, kept as artifacts of the job."""
    context = upnext.get_current_context()
    figures = [float(crc32(f"{kind} {day}".encode()) % 1000) for day in range(days)]
    context.set_progress(20, "drawing")
    stored = [await upnext.create_artifact(f"{kind}.png", chart_png(figures), ArtifactType.PNG)]
    lines = [f"{kind}, {days} days", *(f"day {n}: {x:.0f}" for n, x in enumerate(figures, 1))]
    context.set_progress(60, "writing")
    stored += [await upnext.create_artifact(f"{kind}.pdf", page_pdf(lines), ArtifactType.PDF)]
    table = "".join(f"{n},{x:.0f}\n" for n, x in enumerate(figures, 1))
    stored += [await upnext.create_artifact(f"{kind}.csv", table, ArtifactType.CSV)]
    return {"total": sum(figures), "artifacts": [artifact.id for artifact in stored]}


# A campaign: three levels of jobs. A deadline or a cancellation of the first reaches all.


@office.task(timeout=60)
async def run_campaign(name: str, segments: int) -> int:
    async with upnext.group() as group:
        futures = [await group.submit(run_segment, name, n) for n in range(segments)]
    return sum([await future.value() for future in futures])


@office.task
async def run_segment(campaign: str, segment: int) -> int:
    users = [f"user_{segment}{n}" for n in range(3)]
    sent = await upnext.map_tasks(deliver, [{"campaign": campaign, "user_id": u} for u in users])
    return len(sent)


@shop.task
async def deliver(campaign: str, user_id: str) -> str:
    await anyio.sleep(0.02)
    return f"{campaign} for {user_id}"


# Crons


@shop.cron("*/5 * * * * *")
async def heartbeat() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@shop.cron("*/10 * * * * *", overlap="skip")
async def restock() -> list[str]:
    """Look for what is sold out."""
    names = [{"item": f"Widget {letter}"} for letter in "ABCDEFGH"]
    stock: list[Stock] = await upnext.map_tasks(check_inventory, names)
    return [each.item for each in stock if not each.available]


@shop.cron("*/15 * * * * *", retries=2)
def clear_carts() -> int:
    """Sync functions can be crons, too."""
    time.sleep(0.01)
    return 0


@office.cron("*/30 * * * * *", arguments={"days": 7})
async def digest(days: int) -> str:
    """A job that submits another one, as any job may."""
    return (await make_report.submit("sales", days)).job_id


# The endpoints


@frozen
class Accepted:
    job_id: str


@frozen
class Job:
    job_id: str
    status: JobStatus
    result: Any = None
    error: str | None = None


@frozen
class Notification:
    user_id: str
    message: str
    channel: Literal["email", "sms", "push"] = "email"


@frozen
class NewReport:
    kind: Literal["sales", "stock", "users"]
    days: Literal[7, 30, 90] = 7


@frozen
class NewUser:
    name: str
    email: str


@frozen
class Campaign:
    name: str
    segments: Literal[1, 3, 10] = 3


@frozen
class Registered:
    event_id: str


@api.post("/orders", status_code=202, tags=["shop"])
async def create_order(order: NewOrder) -> Accepted:
    """Take an order: the answer comes at once, the work is done by jobs."""
    return Accepted((await process_order.submit(order)).job_id)


@api.get("/inventory/{item}", tags=["shop"], responses={503: "nobody looked"})
async def look_up(item: str) -> Stock:
    """Have a job look an item up, and wait for it, but no longer than five seconds."""
    try:
        return (await check_inventory.options(deadline=5).wait(item)).value
    except upnext.TaskExecutionError as error:
        abort(503, f"nobody looked: {error}")


@api.post("/users", status_code=202, tags=["shop"])
async def register(user: NewUser) -> Registered:
    """Say that there is a new user; this knows none of those who listen."""
    return Registered(await registered.send(name=user.name, email=user.email))


@api.post("/notifications", status_code=202, tags=["office"])
async def send_notification(note: Notification) -> Accepted:
    """Tell a user something, when the limits allow it."""
    future = await notify.submit(note.user_id, note.channel, note.message)
    return Accepted(future.job_id)


@api.post("/reports", status_code=202, tags=["office"])
async def order_report(report: NewReport) -> Accepted:
    """Have a report made."""
    future = await make_report.submit(report.kind, report.days)
    return Accepted(future.job_id)


@api.post("/campaigns", status_code=202, tags=["office"])
async def start_campaign(campaign: Campaign) -> Accepted:
    """Start a tree of jobs: the campaign, its segments, and a job for each user of them."""
    future = await run_campaign.submit(campaign.name, campaign.segments)
    return Accepted(future.job_id)


jobs = api.group("/jobs", tags=["jobs"], responses={404: "there is no such job"})


@jobs.get("/{job_id}")
async def read_job(job_id: str, wait: float = 0.0) -> Job:
    """Where a job stands; `wait` so many seconds, 30 at most, for its end."""
    future = upnext.Future[Any](job_id)
    try:
        result = await future.result(timeout=min(LONGEST_WAIT, max(0.0, wait)))
    except upnext.TaskExecutionError as error:
        return Job(job_id, error.status, error=error.error)
    except TimeoutError:
        return Job(job_id, await future.status())
    except upnext.JobNotFoundError:
        abort(404, "there is no such job")
    return Job(job_id, result.status, result.value)


@jobs.post("/{job_id}/cancel", status_code=202)
async def cancel_job(job_id: str) -> Job:
    """Cancel a job and all that is below it."""
    future = upnext.Future[Any](job_id)
    try:
        await future.cancel("asked for over HTTP")
        return Job(job_id, await future.status())
    except upnext.JobNotFoundError:
        abort(404, "there is no such job")


if __name__ == "__main__":
    raise SystemExit(upnext.run(api, shop, office))
