"""Jobs made by the clock: declared in the code, and added while the worker runs."""

from __future__ import annotations

import anyio
from _beside import beside

import upnext

worker = upnext.Worker("weather")


@worker.cron("* * * * * *", arguments={"city": "Oslo"}, overlap="skip", timeout=10)
async def measure(city: str) -> str:
    """Runs every second; it knows which second it is for, however late it runs."""
    at = upnext.get_current_context().scheduled_at
    return f"{city} " + ("by hand" if at is None else f"at second {at.second}")


@worker.cron("0 7 * * mon-fri", timezone="Europe/Oslo", jitter=30, retries=3)
async def forecast() -> None:
    """At seven by the clock in Oslo, also on the days on which that clock is changed."""


async def first_run(name: str) -> str:
    """The result of the first job that a schedule made."""
    while True:
        schedule = await upnext.schedules.get(measure, name)
        if schedule.last_job:
            return await measure.future(schedule.last_job).value()
        await anyio.sleep(0.1)


async def main() -> None:
    print(await first_run("measure"))

    await upnext.schedules.add(
        measure,
        "*/2 * * * * *",
        name="harbour",
        arguments={"city": "Bergen"},
        note="asked for by the harbour master",
    )
    print(await first_run("harbour"))
    await upnext.schedules.pause(measure, "harbour")
    print(await (await upnext.schedules.run_now(measure, "harbour")).value())

    for schedule in await upnext.schedules.list():
        state = "paused" if schedule.paused else "goes on"
        print(f"{schedule.name}: {schedule.plan.expression} {state}, from {schedule.origin}")


if __name__ == "__main__":
    with beside(__file__):
        anyio.run(main)
