"""Failing, trying again, and giving up: by policy, or by the job's own decision."""

from __future__ import annotations

import anyio
from _beside import beside

import upnext

worker = upnext.Worker("retries")


@worker.task(retries=3, retry_delay=0.1, retry_backoff=2, no_retry_on=(ValueError,))
async def fetch(url: str) -> str:
    """Fails twice before it succeeds; a URL that is none is not worth a second try."""
    if "://" not in url:
        raise ValueError(f"{url!r} is not a URL")
    attempt = upnext.get_current_context().attempt
    if attempt < 3:
        raise ConnectionError(f"attempt {attempt}: connection refused")
    return f"{url}: 200 OK"


@worker.task(retries=5)
async def call_api(customer: int) -> str:
    """Knows better than any policy what to do next."""
    if customer < 0:
        raise upnext.Discard(f"there is no customer {customer}")
    attempt = upnext.get_current_context().attempt
    if attempt == 1:
        raise upnext.Retry(delay=0.2)  # the API said: Retry-After
    return f"customer {customer} after {attempt} attempts"


async def main() -> None:
    result = await fetch.wait("https://example.org")
    print(f"{result.value}, attempts: {result.attempts}")
    print((await call_api.wait(42)).value)

    for hopeless in (await fetch.submit("example.org"), await call_api.submit(-1)):
        try:
            await hopeless.value()
        except upnext.TaskExecutionError as error:
            print(f"{error.status} after {error.task_result.attempts} attempt: {error.error}")


if __name__ == "__main__":
    with beside(__file__):
        anyio.run(main)
