"""Jobs that submit jobs and wait for them: a tree four levels deep on a single slot.

A job that waits for another job lends its slot meanwhile. So `concurrency=1` is enough, and a tree
deeper than the concurrency cannot deadlock.
"""

from __future__ import annotations

import anyio
from _beside import beside

import upnext

worker = upnext.Worker("tree", concurrency=1)


@worker.task
async def price(item: str) -> float:
    return {"tent": 199.0, "stove": 45.5, "rope": 60.0, "map": 12.5}[item]


@worker.task
async def basket(items: list[str]) -> float:
    """One job per item, submitted in one write."""
    prices = await upnext.submit_many(price, [{"item": item} for item in items])
    return sum(await upnext.gather(*prices))


@worker.task
async def quote(items: list[str], customer: str) -> str:
    total = (await basket.wait(items)).value
    return f"{customer}: {total:.2f}"


@worker.task
async def quotes(baskets: dict[str, list[str]]) -> list[str]:
    """The root: one job per customer, side by side."""
    jobs = [await quote.submit(items, customer) for customer, items in baskets.items()]
    return await upnext.gather(*jobs)


async def main() -> None:
    result = await quotes.wait({"Ann": ["tent", "stove"], "Ben": ["rope"], "Eve": ["map", "tent"]})
    for line in result.value:
        print(line)


if __name__ == "__main__":
    with beside(__file__):
        anyio.run(main)
