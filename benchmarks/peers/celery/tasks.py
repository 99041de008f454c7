"""The tasks of the Celery worker.

Prefetch: https://docs.celeryq.dev/en/stable/userguide/optimizing.html#prefetch-limits says 64 or
128 for each slot where there are many short tasks.
"""

from __future__ import annotations

import time

from celery import Celery

from benchmarks import sample

app = Celery("tasks", broker=f"{sample.REDIS_URL}/0", backend=f"{sample.REDIS_URL}/1")
app.conf.update(worker_prefetch_multiplier=128, worker_enable_remote_control=False)


@app.task(name="noop")
def noop(n: int) -> int:
    return n


@app.task(name="stamp")
def stamp() -> int:
    return time.time_ns()
