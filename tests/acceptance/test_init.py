"""A project that `upnext init` wrote: its tests pass, it runs, and it ends as it should."""

from __future__ import annotations

import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import httpx

from tests.support.command import environment, upnext


def test_what_init_writes_passes_its_tests_and_runs(tmp_path: Path) -> None:
    done = upnext("init", "shop", cwd=tmp_path)
    assert "cd shop" in done.stdout
    shop = tmp_path / "shop"

    run_its_tests(shop)

    running = subprocess.Popen(
        [sys.executable, "-m", "upnext", "run", "service.py"],
        cwd=shop,
        env=environment(API_PORT="0"),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with running:
        try:
            assert running.stderr is not None
            lines = iter(running.stderr.readline, "")
            url = next(line for line in lines if "listens at" in line).split()[-1]
            with httpx.Client(base_url=url, timeout=10) as client:
                order(client)
            # Every handler of the event has its job, too, and the log tells of it.
            assert next(line for line in lines if "2 x tea: on the way" in line)
            running.send_signal(signal.SIGTERM)
            rest = running.stderr.read()
            assert running.wait(30) == 0, rest
            assert "Traceback" not in rest
        finally:
            running.kill()


def run_its_tests(shop: Path) -> None:
    """Without a network, with this interpreter and this UpNext."""
    installed = entry_points(group="pytest11", name="upnext")
    plugin = [] if installed else ["-p", "upnext.testing.plugin"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *plugin],
        cwd=shop,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def order(client: httpx.Client) -> None:
    """Place an order and see it fulfilled."""
    placed = client.post("/orders", json={"item": "tea", "count": 2})
    assert placed.status_code == 202
    job = placed.json()["job"]
    receipt = {"text": "2 x tea", "attempts": 1}
    assert client.get(f"/orders/{job}", params={"wait": 5}).json() == {
        "status": "complete",
        "receipt": receipt,
    }
    assert client.get("/orders/nothing").status_code == 404
    assert client.get("/runtime/ready").json()["status"] == "ok"
