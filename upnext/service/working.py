"""One worker of a process: its queue, its stages, how its end is told."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from typing import cast

from anyio.abc import TaskStatus
from attrs import evolve, frozen
from redis.exceptions import RedisError

from upnext.client.connect import bounds_of
from upnext.contracts.keys import Keys
from upnext.redis.url import Address
from upnext.service.surroundings import Surroundings
from upnext.store.blocking import BlockingStore
from upnext.store.bounds import Bounds
from upnext.worker.compose import compose_worker
from upnext.worker.lifespan import LifespanError
from upnext.worker.log import Log
from upnext.worker.shutdown import Shutdown
from upnext.worker.supervisor import run_worker
from upnext.worker.worker import Worker

__all__ = ["work"]

logger = Log("upnext.runner")


async def work(
    worker: Worker,
    around: Surroundings,
    shutdown: Shutdown,
    proofs: list[Callable[[], bool]],
    task_status: TaskStatus[None],
) -> bool:
    """Run a worker until it is told to stop; return whether it ended as it should.

    Args:
        worker: As it was declared.
        around: What it shares.
        shutdown: Its two stops.
        proofs: Gets what tells whether it can claim.
        task_status: Told when it takes jobs.
    """
    settings = around.settings
    address = around.address(worker.redis_url)
    queue = worker.queue_config.over(settings.queue)
    bounds = bounds_of(evolve(settings, queue=queue))
    store = around.store(address, worker.name, bounds)
    try:
        logger.info("worker %s connects to %s", worker.name, address.describe())
        await store.now()  # an unreachable broker is found out before anything is started
        parts = compose_worker(
            worker,
            store=store,
            keys=around.keys,
            queue=queue,
            open_blocking_store=partial(_open_blocking_store, address, around.keys, bounds),
            pace=settings.pace,
        )
        proofs.append(lambda: parts.heartbeat.healthy)
        started = _Started(worker.name, parts.worker, task_status)
        report = await run_worker(
            parts, shutdown, _give_up, task_status=cast("TaskStatus[None]", started)
        )
    except (RedisError, LifespanError) as error:
        logger.error("worker %s: %s", worker.name, error)
    except Exception:  # the other components are ended before the process is
        logger.exception("worker %s crashed", worker.name)
    else:
        logger.info("worker %s stopped", worker.name)
        return report.clean
    return False


@frozen
class _Started:
    """Passes on that a worker takes jobs, and logs it then: others wait for that line."""

    _name: str
    _id: str
    _status: TaskStatus[None]

    def started(self, value: None = None) -> None:
        logger.info("worker %s started as %s", self._name, self._id)
        self._status.started(value)


def _open_blocking_store(address: Address, keys: Keys, bounds: Bounds) -> BlockingStore:
    return BlockingStore(address.blocking_client(), keys, bounds)


async def _give_up(names: list[str]) -> None:
    """End a process that jobs which swallow their cancellation would keep for ever."""
    logging.shutdown()
    os._exit(1)
