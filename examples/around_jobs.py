"""What goes around jobs: a lifespan, middleware and hooks; and the artifacts that they leave."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
from _beside import beside

import upnext
from upnext import ArtifactType

os.environ.setdefault("UPNEXT_ARTIFACT_DIR", "artifacts")  # or UPNEXT_URL, for a server


class Shop:
    """What all jobs share: a real one would hold a pool of connections."""

    def __init__(self) -> None:
        self.prices = {"pen": 2, "ink": 7}
        self.sold = Counter[str]()


async def lifespan(worker: upnext.Worker) -> AsyncIterator[Shop]:
    shop = Shop()
    yield shop
    await anyio.Path("sold.txt").write_text(" ".join(sorted(shop.sold.elements())))


worker = upnext.Worker("around", lifespan=lifespan)


@worker.middleware
async def known_articles_only(ctx: upnext.Context) -> AsyncIterator[None]:
    try:
        yield
    except KeyError as error:  # no retry will help
        raise upnext.Discard(f"there is no {error}") from error


def count(ctx: upnext.Context, article: str) -> None:
    ctx.state.sold[article] += 1


@worker.task(retries=3, on_success=count)
async def sell(article: str, number: int) -> str:
    shop: Shop = upnext.get_current_context().state
    bill = f"{number} of {article}: {number * shop.prices[article]}"
    await upnext.create_artifact(f"{article}.txt", bill, ArtifactType.TEXT)
    return article


async def main() -> None:
    result = await sell.wait("pen", 3)
    await sell.wait("ink", 1)
    print(bill_of(result.job_id))
    try:
        await sell.wait("car", 1)
    except upnext.TaskExecutionError as error:
        print(f"{error.status}: {error.error}")


def bill_of(job_id: str) -> str:
    (bill,) = Path("artifacts", job_id).glob("*.txt")
    return bill.read_text()


if __name__ == "__main__":
    with beside(__file__):
        anyio.run(main)
    print(Path("sold.txt").read_text())  # the lifespan is closed by now
