"""The tasks of the taskiq worker.

Brokers: https://pypi.org/project/taskiq-redis. The stream broker, because it is
the one that acknowledges (the list broker loses what a killed worker held) and reads batches; it
is also the faster one here.
The worker runs on uvloop where that is installed (taskiq/cli/worker/run.py; extra `taskiq[uv]`).
"""

from __future__ import annotations

import time

from taskiq.serializers import ORJSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks import sample

results = RedisAsyncResultBackend(
    f"{sample.REDIS_URL}/1", result_ex_time=3600, serializer=ORJSONSerializer()
)
broker = (
    RedisStreamBroker(sample.REDIS_URL, consumer_id="0")
    .with_result_backend(results)
    .with_serializer(ORJSONSerializer())
)


@broker.task(task_name="noop")
async def noop(n: int) -> int:
    return n


@broker.task(task_name="stamp")
async def stamp() -> int:
    return time.time_ns()
