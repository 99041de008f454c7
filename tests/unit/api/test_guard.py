"""What every request is put through: deadlines, and the runtime's own routes."""

from __future__ import annotations

import anyio
import pytest

from tests.support.asking import asking
from upnext import Api
from upnext.api.runtime import Runtime


async def test_a_handler_past_its_deadline_is_cancelled() -> None:
    api, ended = Api("a", request_timeout=30), []

    @api.get("/slow")
    async def slow() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(anyio.current_effective_deadline() - anyio.current_time())

    async with asking(api) as client:
        answer = await client.get("/slow", headers={"X-Request-Timeout": "0.01"})
    assert (answer.status_code, answer.json()) == (504, {"detail": "not done within 0.01 seconds"})
    assert len(ended) == 1


@pytest.mark.parametrize(
    ("longest", "header", "seconds"), [(5, "60", 5), (60, "5", 5), (None, "5", 5), (5, None, 5)]
)
async def test_the_shorter_limit_counts(
    longest: float | None, header: str | None, seconds: float
) -> None:
    api = Api("a", request_timeout=longest)

    @api.get("/")
    async def get() -> float:
        return anyio.current_effective_deadline() - anyio.current_time()

    async with asking(api) as client:
        headers = {} if header is None else {"X-Request-Timeout": header}
        left = (await client.get("/", headers=headers)).json()
    assert seconds - 2 < left <= seconds


@pytest.mark.parametrize("header", ["soon", "0", "-1", "nan", "inf", ""])
async def test_a_timeout_that_is_none_is_refused(header: str) -> None:
    async with asking(Api("a")) as client:
        answer = await client.get("/", headers={"X-Request-Timeout": header})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("X-Request-Timeout must be a number of seconds")


class Broker:
    def __init__(self, error: Exception | None = None, *, hangs: bool = False) -> None:
        self.error, self.hangs = error, hangs

    async def ping(self) -> None:
        if self.hangs:
            await anyio.sleep_forever()
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize(
    ("runtime", "status", "told"),
    [
        (Runtime(Broker()), 200, {"status": "ok", "broker": "ok"}),
        (Runtime(), 200, {"status": "ok", "broker": "none"}),
        (
            Runtime(Broker(OSError("refused"))),
            503,
            {"status": "degraded", "detail": "the broker cannot be reached: refused"},
        ),
        (
            Runtime(Broker(hangs=True)),
            503,
            {"status": "degraded", "detail": "the broker did not answer within 0.01 s"},
        ),
        (
            Runtime(Broker(), stopping=True),
            503,
            {"status": "stopping", "detail": "the server is stopping"},
        ),
    ],
)
async def test_health_and_readiness(
    runtime: Runtime, status: int, told: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upnext.api.runtime.PATIENCE", 0.01)
    async with asking(Api("a"), runtime=runtime) as client:
        assert (await client.get("/runtime/health")).json() == {"status": "ok"}
        answer = await client.get("/runtime/ready")
        assert (answer.status_code, answer.json()) == (status, told)
        assert (await client.post("/runtime/ready")).status_code == 405
        assert (await client.get("/runtime/other")).status_code == 404
