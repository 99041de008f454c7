"""Events between real processes: handlers elsewhere, wildcards, quiet workers, the command line."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

import upnext
from tests.acceptance.test_worker_process import LOOPS, commands_within
from tests.support import service
from tests.support.command import error_of
from tests.support.command import upnext as command
from tests.support.servers import RedisServer
from tests.support.workers import Ledger, WorkerProcess, workers
from upnext.contracts.keys import Keys
from upnext.model.identity import function_tag, handler_job_id

Start = Callable[..., WorkerProcess]
ALL = ("receipt", "reserve", "audit", "journal", "book keeping")
EVENTS = Keys().events


@pytest.fixture(autouse=True)
def server(server_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("UPNEXT_REDIS_URL", server_url)
    for worker in (service.shop, service.back):
        monkeypatch.setattr(worker, "redis_url", server_url)
    return server_url


@pytest.fixture
def env(server_url: str) -> dict[str, str]:
    """For the command line."""
    return {"UPNEXT_REDIS_URL": server_url}


async def enlisted(server: RedisServer, count: int) -> None:
    with server.client() as client, anyio.fail_after(30):
        while client.hlen(EVENTS + "handlers") < count:  # noqa: ASYNC110 - keys have no signal
            await anyio.sleep(0.02)


def job(name: str, event_id: str) -> str:
    return handler_job_id(function_tag(name), event_id)


async def ended(name: str, event_id: str) -> upnext.JobStatus:
    with anyio.fail_after(30):
        while True:
            try:
                return (await upnext.Future(job(name, event_id)).result()).status
            except upnext.JobNotFoundError:
                await anyio.sleep(0.01)


@LOOPS
async def test_handlers_in_two_processes_get_the_event_and_know_who_sent_it(
    start_worker: Start,
    redis_server: RedisServer,
    ledger: Ledger,
    tmp_path: Path,
    env: dict[str, str],
    loop: list[str],
) -> None:
    start_worker(*loop, "--only", "shop")
    start_worker(*loop, "--only", "back office")
    await enlisted(redis_server, len(ALL))
    seller = await service.sell.submit(7)
    event_id = await seller.value()
    assert [await ended(name, event_id) for name in ALL] == [upnext.JobStatus.COMPLETE] * 5
    assert sorted(ledger.starts()) == sorted(job(name, event_id) for name in ALL)
    assert all(len(pids) == 1 for pids in ledger.starts().values())
    for name in ("receipt", "audit", "journal"):
        told = json.loads(
            command("status", job(name, event_id), "--json", cwd=tmp_path, **env).stdout
        )
        assert (told["parent_id"], told["root_id"]) == (seller.job_id, seller.job_id)
        assert told["source"] == {
            "type": "event",
            "event": "order.paid",
            "event_id": event_id,
            "event_pattern": {"audit": "order.*", "journal": "**"}.get(name, "order.paid"),
            "event_handler_name": name,
        }


async def test_an_event_waits_for_the_first_worker_and_survives_the_death_of_all(
    start_worker: Start, redis_server: RedisServer
) -> None:
    first = await service.paid.send(n=1)  # nobody runs yet
    shop = start_worker("--only", "shop")
    assert await ended("receipt", first) is upnext.JobStatus.COMPLETE
    shop.kill()
    second = await anyio.to_thread.run_sync(lambda: service.paid.send_sync(n=2))
    start_worker("--only", "shop")
    assert await ended("receipt", second) is upnext.JobStatus.COMPLETE


async def test_a_handler_runs_in_a_worker_process_and_knows_its_event(
    start_worker: Start,
) -> None:
    worker = start_worker("--only", "processes")
    event_id = await upnext.send_event("order.packed", n=1)
    assert await ended("pack", event_id) is upnext.JobStatus.COMPLETE
    name, pid = (await upnext.Future[str](job("pack", event_id)).value()).split()
    assert name == "order.packed"
    assert int(pid) != worker.pid


async def test_sigterm_under_load_loses_no_event(
    start_worker: Start, redis_server: RedisServer, ledger: Ledger
) -> None:
    shop = start_worker("--only", "shop")
    await enlisted(redis_server, 3)
    sent = [await service.paid.send(n=n) for n in range(300)]
    ledger.wait_for("start", 100)
    shop.send(signal.SIGTERM)
    assert shop.exit_code() == 0, shop.output
    start_worker("--only", "shop")
    for name in ("receipt", "reserve", "audit"):
        for event_id in sent:
            assert await ended(name, event_id) is upnext.JobStatus.COMPLETE
    starts = ledger.starts()
    assert {len(pids) for pids in starts.values()} == {1}
    assert len(starts) == 3 * len(sent)


async def test_an_idle_worker_with_handlers_is_quiet_and_routes_an_event_at_once(
    server_url: str, redis_server: RedisServer, ledger: Ledger
) -> None:
    with workers(server_url, ledger.path) as start:
        start("--only", "shop")
        await enlisted(redis_server, 3)
        assert await ended("receipt", await service.paid.send(n=1)) is upnext.JobStatus.COMPLETE
        commands = await anyio.to_thread.run_sync(commands_within, redis_server, 6.0)
        assert len(commands) / 6 <= 5, commands
        began = time.monotonic()
        assert await ended("receipt", await service.paid.send(n=2)) is upnext.JobStatus.COMPLETE
        assert time.monotonic() - began < 1.0  # far below the sweep that covers a lost wake-up


async def test_an_idle_worker_without_handlers_sends_nothing_for_events(
    server_url: str, redis_server: RedisServer, ledger: Ledger
) -> None:
    with workers(server_url, ledger.path) as start:
        start("--only", "service")
        await (await service.touch.submit(1)).value()
        await upnext.send_event("order.paid", n=1)
        commands = await anyio.to_thread.run_sync(commands_within, redis_server, 6.0)
        assert [line for line in commands if "@events" in line] == []


async def test_what_nobody_handles_is_seen_on_the_command_line(
    start_worker: Start, redis_server: RedisServer, tmp_path: Path, env: dict[str, str]
) -> None:
    assert "No handler of any event is known." in command("events", cwd=tmp_path, **env).stdout
    start_worker("--only", "shop")
    await enlisted(redis_server, 3)
    event_id = await upnext.send_event("nobody.cares", text="\x1b[2J")
    with anyio.fail_after(30), redis_server.client() as client:
        while not client.exists(EVENTS + "unhandled"):  # noqa: ASYNC110
            await anyio.sleep(0.02)
    shown = command("events", cwd=tmp_path, **env).stdout
    for text in ("0 to be routed", "receipt", "order.*", "nobody.cares", event_id):
        assert text in shown
    assert "\x1b" not in shown
    told = json.loads(command("events", "--json", cwd=tmp_path, **env).stdout)
    assert told["handlers"] == [
        {"name": "audit", "pattern": "order.*"},
        {"name": "receipt", "pattern": "order.paid"},
        {"name": "reserve", "pattern": "order.paid"},
    ]
    [lost] = told["unhandled"]
    assert (lost["id"], lost["event"], lost["data"]) == (
        event_id, "nobody.cares", {"text": "\x1b[2J"},
    )  # fmt: skip


async def test_a_handler_whose_code_is_gone_can_be_taken_off_the_roll(
    start_worker: Start, redis_server: RedisServer, tmp_path: Path, env: dict[str, str]
) -> None:
    shop = start_worker("--only", "shop")
    await enlisted(redis_server, 3)
    shop.send(signal.SIGTERM)
    assert shop.exit_code() == 0
    assert "audit" in command("events", cwd=tmp_path, **env).stdout
    assert "audit" not in command("events", "--forget", "audit", cwd=tmp_path, **env).stdout
    assert "no handler 'audit'" in error_of(
        "events", "--forget", "audit", cwd=tmp_path, code=1, **env
    )


def test_list_and_inspect_show_events(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import upnext\n"
        "worker = upnext.Worker('shop')\n"
        "@worker.event('order.paid').on(retries=3)\n"
        "async def receipt(n: int) -> None: ...\n"
        "@worker.event('order.*').on\n"
        "def audit(n: int) -> None: ...\n"
    )
    for words in (("list", "app.py"), ("inspect", "app.py")):
        shown = command(*words, cwd=tmp_path).stdout
        assert "receipt (on order.paid)" in shown
        assert "audit (on order.*)" in shown
    told = json.loads(command("inspect", "app.py", "--json", cwd=tmp_path).stdout)
    assert told["workers"][0]["events"] == ["order.paid", "order.*"]
    assert told["workers"][0]["tasks"] == []
