"""The actors of the dramatiq worker. Plain functions: its async support adds a thread hop.

Broker and results: https://redis.io/docs/latest/integrate/dramatiq/
"""

from __future__ import annotations

import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks import sample

broker = RedisBroker(url=sample.REDIS_URL)
broker.add_middleware(Results(backend=RedisBackend(url=f"{sample.REDIS_URL}/1")))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def noop(n: int) -> int:
    return n


@dramatiq.actor(store_results=True)
def stamp() -> int:
    return time.time_ns()
