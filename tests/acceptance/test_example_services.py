"""The examples that serve: each as it stands, spoken to as its own text says."""

from __future__ import annotations

import json
import re
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from tests.support.command import environment
from tests.support.programs import Program
from tests.support.servers import free_port
from upnext.contracts.keys import Keys
from upnext.redis.url import Address
from upnext.store.blocking import BlockingStore
from upnext.store.bounds import Bounds

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ORDERLY = 5.0
"""Seconds in which Ctrl+C ends a service."""

Start = Callable[..., Program]
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@pytest.fixture
def start(tmp_path: Path, redis_url: str) -> Iterator[Start]:
    """Start a program with `start("-m", "upnext", …)`; it ends with the test."""
    settings = {"UPNEXT_REDIS_URL": redis_url, "UPNEXT_ARTIFACT_DIR": str(tmp_path / "artifacts")}
    env = environment(**settings, PORT="0")
    with ExitStack() as stack:

        def begin(*words: str | Path, **more: str) -> Program:
            program = Program(*words, cwd=tmp_path, env=env | more)
            stack.callback(program.close)
            return program

        yield begin


@pytest.fixture
def serve(start: Start) -> Callable[..., tuple[Program, httpx.Client]]:
    """Start an example with an `Api`; returns it with a client of what it serves."""
    with ExitStack() as stack:

        def begin(
            name: str, backend: str = "asyncio", command: str = "run"
        ) -> tuple[Program, httpx.Client]:
            file = EXAMPLES / name
            program = start("-m", "upnext", command, file, "--async-backend", backend)
            url = program.wait_for(" listens at ").split()[-1]
            program.wait_for(" started as ")
            client = httpx.Client(base_url=url, timeout=20, trust_env=False)
            return program, stack.enter_context(client)

        yield begin


def stop(program: Program) -> None:
    """Ctrl+C."""
    begin = time.monotonic()
    program.send(signal.SIGINT)
    code = program.exit_code()
    assert time.monotonic() - begin < ORDERLY
    assert code == 0, program.output
    assert "Traceback" not in program.output
    assert " ERROR " not in program.output


def traffic(url: httpx.URL | str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLES / "client.py", "--url", str(url), *words],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def wait_until_all_are_over(url: str) -> list[str]:
    """The states of all jobs there are, once each is terminal. Crons make new ones meanwhile."""
    with Address.parse(url).blocking_client() as client:
        store = BlockingStore(client, Keys(), Bounds())
        ids = {key.decode().rpartition(":")[2] for key in client.scan_iter("upnext:*:job:*")}
        open_jobs, states, until = ids, list[str](), time.monotonic() + 20
        while open_jobs:
            assert time.monotonic() < until, open_jobs
            for job_id in list(open_jobs):
                record = store.lookup(job_id)
                if record is not None and record.status.is_terminal():
                    open_jobs.remove(job_id)
                    states.append(record.status.value)
        return states


@pytest.mark.hard_limit(120)
@pytest.mark.parametrize(("command", "backend"), [("run", "trio"), ("dev", "asyncio")])
def test_the_service_takes_orders_and_traffic(
    serve: Callable[..., tuple[Program, httpx.Client]],
    redis_url: str,
    command: str,
    backend: str,
    tmp_path: Path,
) -> None:
    program, client = serve("service.py", backend, command)
    # What the README's curl sends.
    body = '{"user_id":"user_1","items":["Widget A","Widget B"]}'
    taken = client.post("/orders", content=body, headers={"content-type": "application/json"})
    assert taken.status_code == 202
    job = client.get(f"/jobs/{taken.json()['job_id']}", params={"wait": 20}).json()
    assert job["status"] == "complete"
    assert job["result"]["bought"] == ["Widget A", "Widget B"]
    assert client.get("/jobs/nonsense").status_code == 404
    assert client.post("/orders", json={"user_id": "user_1"}).status_code == 422

    other = ["--trio"] if backend == "asyncio" else []
    done = traffic(client.base_url, "--requests", "60", "--rate", "30", "--seed", "7", *other)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "60 requests: 60 2xx, 0 4xx, 0 5xx, 0 without an answer" in done.stdout
    assert ", 0 not over" in done.stdout
    states = wait_until_all_are_over(redis_url)
    assert len(states) > 100
    assert set(states) == {"complete"}
    stop(program)
    see_png(next(tmp_path.rglob("*.png")).read_bytes())
    see_pdf(next(tmp_path.rglob("*.pdf")).read_bytes())


@pytest.mark.hard_limit(120)
def test_no_order_is_lost_when_the_service_is_stopped_at_work(
    serve: Callable[..., tuple[Program, httpx.Client]],
) -> None:
    program, client = serve("service.py", command="dev")
    order = {"user_id": "user_1", "items": ["Widget A", "Widget B", "Widget C"]}
    orders = [client.post("/orders", json=order).json()["job_id"] for _ in range(100)]
    stop(program)

    program, client = serve("service.py", command="dev")
    for job_id in orders:
        job = client.get(f"/jobs/{job_id}", params={"wait": 20}).json()
        assert job["status"] == "complete", job
    stop(program)


def see_png(image: bytes) -> None:
    """Read a PNG as a viewer does."""
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(image):
        (length,) = struct.unpack(">I", image[place : place + 4])
        kind, data = image[place + 4 : place + 8], image[place + 8 : place + 8 + length]
        (crc,) = struct.unpack(">I", image[place + 8 + length : place + 12 + length])
        assert crc == zlib.crc32(kind + data)
        chunks[kind] = data
        place += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + 3 * width)


def see_pdf(document: bytes) -> None:
    """Follow a PDF's table of objects from its end."""
    assert document.startswith(b"%PDF-1.")
    found = re.search(rb"startxref\n(\d+)\n%%EOF\n$", document)
    assert found is not None
    table = document[int(found[1]) :]
    assert table.startswith(b"xref\n0 6\n")
    places = [int(place) for place in re.findall(rb"(\d{10}) 00000 n \n", table)]
    assert len(places) == 5
    for number, place in enumerate(places, 1):
        assert document[place:].startswith(b"%d 0 obj\n" % number)
    stream = re.search(rb"/Length (\d+) >>\nstream\n(.*)\nendstream", document, re.DOTALL)
    assert stream is not None
    assert int(stream[1]) == len(stream[2])


def test_the_client_says_that_nobody_answers() -> None:
    done = traffic(f"http://127.0.0.1:{free_port()}")

    assert done.returncode == 1
    assert done.stderr.startswith("Nobody answers at http://127.0.0.1:")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


class Broken(BaseHTTPRequestHandler):
    """Healthy, and able to do nothing."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/runtime/health" else 503)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def test_the_client_fails_with_the_service() -> None:
    with HTTPServer(("127.0.0.1", 0), Broken) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        weights = [f"--weight={name}=0" for name in ("orders", "notifications", "users")]
        weights += ["--weight=reports=0", "--weight=campaigns=0"]
        done = traffic(url, "--requests", "5", "--rate", "100", *weights)
        server.shutdown()
        thread.join()

    assert done.returncode == 1
    assert "5 requests: 0 2xx, 0 4xx, 5 5xx, 0 without an answer" in done.stdout


@BACKENDS
def test_a_fastapi_app_is_served_beside_its_worker(
    serve: Callable[..., tuple[Program, httpx.Client]], backend: str
) -> None:
    program, client = serve("fastapi_app.py", backend)

    ordered = client.post("/thumbnails", params={"url": "https://example.org/a.png"})
    assert ordered.status_code == 202
    made = client.get(f"/thumbnails/{ordered.json()['job_id']}", params={"wait": 10})
    assert made.json() == {"url": "https://example.org/a.png?width=128"}
    assert client.get("/thumbnails/nonsense").status_code == 404
    wrong = client.post("/thumbnails", params={"url": "x", "width": 5})
    assert wrong.status_code == 422
    assert "/thumbnails/{job_id}" in client.get("/openapi.json").json()["paths"]
    assert client.get("/runtime/ready").json()["status"] == "ok"
    stop(program)


@BACKENDS
def test_a_browser_hears_a_story(
    serve: Callable[..., tuple[Program, httpx.Client]], backend: str
) -> None:
    program, client = serve("streaming.py", backend)

    assert "EventSource" in client.get("/").text
    story = client.post("/stories", params={"pause": 0}).json()["job_id"]
    heard = events_of(client, story)
    assert [data for name, data in heard if name == "output"][:4] == ["Once", "upon", "a", "time"]
    assert heard[-2] == ("result", {"status": "complete", "error": None, "value": 52})
    assert heard[-1] == ("end", None)
    assert max(data["fraction"] for name, data in heard if name == "progress") == 1.0
    assert [name for name, _ in events_of(client, "nonsense")] == ["error", "end"]
    stop(program)


def events_of(client: httpx.Client, job_id: str) -> list[tuple[str, object]]:
    answer = client.get(f"/stories/{job_id}/events")
    assert answer.headers["content-type"] == "text/event-stream"
    found = re.findall(r"event: (\w+)\nid: .*\ndata: (.*)\n\n", answer.text)
    return [(name, json.loads(data)) for name, data in found]


def test_a_quart_app_submits_to_a_worker_elsewhere(start: Start) -> None:
    port = free_port()
    worker = start("-m", "upnext", "run", EXAMPLES / "quart_app.py")
    app = start(EXAMPLES / "quart_app.py", PORT=str(port))
    app.wait_for("Running on")
    worker.wait_for(" started as ")

    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        ordered = connected(client, "POST", "/greetings/Ada")
        assert ordered.status_code == 202
        greeted = client.get(f"/greetings/{ordered.json()['job_id']}")
        assert greeted.json() == {"greeting": "Hello, Ada!"}
        assert client.get("/greetings/nonsense").status_code == 404
    stop(worker)


def test_a_django_project_submits_to_a_worker_elsewhere(start: Start) -> None:
    port = str(free_port())
    folder = EXAMPLES / "django_app"
    worker = start("-m", "upnext", "run", folder / "tasks.py")
    # Without the reloader, which would be a second process.
    app = start(folder / "app.py", "runserver", port, "--noreload")
    app.wait_for("Starting development server")
    worker.wait_for(" started as ")

    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        ordered = connected(client, "POST", "/mails/?to=ada@example.org")
        assert ordered.status_code == 202
        sent = client.get(f"/mails/{ordered.json()['job_id']}/")
        assert sent.json() == {"result": "'Welcome' sent to ada@example.org"}
        assert client.get("/mails/nonsense/").status_code == 404
    stop(worker)


def connected(client: httpx.Client, method: str, path: str) -> httpx.Response:
    """Ask a server that said it begins to listen."""
    until = time.monotonic() + 20
    while True:
        try:
            return client.request(method, path)
        except httpx.ConnectError:
            assert time.monotonic() < until
            time.sleep(0.05)


@pytest.mark.hard_limit(120)
def test_the_service_is_what_its_openapi_document_says(
    serve: Callable[..., tuple[Program, httpx.Client]], tmp_path: Path
) -> None:
    if find_spec("schemathesis") is None:
        pytest.skip("schemathesis is not installed")
    program, client = serve("service.py")

    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{client.base_url}/openapi.json"),
            *("--max-examples", "20", "--seed", "1", "--no-color", "--checks", "all"),
        ],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    stop(program)
