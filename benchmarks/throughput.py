"""UpNext's throughput: one worker process, no-op async jobs, results stored, nothing turned off.

python -m benchmarks.throughput throughput   bulk enqueue with submit_many, then drain
python -m benchmarks.throughput memory       the worker's RSS from its 50,000th to 200,000th job
"""

from __future__ import annotations

import os
import sys
import time
from functools import cache, partial
from pathlib import Path

import anyio
from redis import Redis

from benchmarks import sample
from benchmarks.observe import Observer, drain, running

os.environ.setdefault("UPNEXT_REDIS_URL", sample.REDIS_URL)

BULK = 1000
"""Jobs in one submit_many."""

RSS_FROM, RSS_TO = 50_000, 200_000

WORKER = [sys.executable, "-m", "upnext", "run", str(Path(__file__).with_name("noop.py"))]
WORKER += ["--redis-url", sample.REDIS_URL, "--async-backend", sample.LOOP]
WORKER += ["--uvloop"] if sample.BACKEND == "uvloop" else []
WORKER += ["--concurrency", str(sample.CONCURRENCY)]


async def put(jobs: int) -> float:
    """Submit in bulk and return the seconds that took."""
    import upnext
    from benchmarks.noop import noop

    await upnext.submit_many(noop, [{"n": -1}])  # connected, library loaded
    begin = time.perf_counter()
    for start in range(1, jobs, BULK):
        await upnext.submit_many(noop, [{"n": n} for n in range(start, min(start + BULK, jobs))])
    return time.perf_counter() - begin


@cache
def lanes() -> list[str]:
    """Return the job streams; called once the jobs are there."""
    with Redis.from_url(sample.REDIS_URL, decode_responses=True) as redis:
        return list(redis.scan_iter(match="upnext:{*}:lane:*", _type="stream", count=10_000))


def finished(redis: Observer, jobs: int) -> int:
    """Count settled jobs: an entry leaves its lane in the script that stores its result."""
    return jobs - sum(redis.integer("XLEN", lane) for lane in lanes())


SUBJECT = sample.Subject(
    worker=WORKER,
    enqueue=lambda jobs: anyio.run(
        put, jobs, backend=sample.LOOP, backend_options=sample.LOOP_OPTIONS
    ),
    finished=finished,
    env={"UPNEXT_QUEUE_RUNTIME_PROFILE": "throughput"},
)


def memory() -> dict[str, object]:
    """Drain a little more than 200,000 jobs and compare the worker's resident memory."""
    jobs = RSS_TO + 20_000
    SUBJECT.enqueue(jobs)
    marks: dict[int, int] = {}
    with running(SUBJECT.worker, SUBJECT.env) as worker:

        def mark(done: int) -> None:
            for limit in (RSS_FROM, RSS_TO):
                if done >= limit and limit not in marks:
                    marks[limit] = worker.resident_kib()

        drain(worker, partial(finished, Observer(sample.REDIS_URL), jobs), jobs, mark)
    lanes.cache_clear()
    left = finished(Observer(sample.REDIS_URL), 0)
    return {
        "rss_mib_at_50000": marks[RSS_FROM] / 1024,
        "rss_mib_at_200000": marks[RSS_TO] / 1024,
        "rss_growth_mib": (marks[RSS_TO] - marks[RSS_FROM]) / 1024,
        "left_in_streams": -left,
    }


if __name__ == "__main__":
    sample.main(SUBJECT, memory=memory)
