"""Wires the stages of one worker together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import anyio

from upnext.contracts.keys import Keys
from upnext.model.identity import new_worker_id
from upnext.settings import QueueSettings
from upnext.tasks.definition import TaskDefinition
from upnext.worker.execution.attempt import Attempt
from upnext.worker.execution.canceller import Canceller
from upnext.worker.execution.executor import Executor
from upnext.worker.execution.invoke import Invocations
from upnext.worker.execution.running import Running
from upnext.worker.execution.slots import Slots
from upnext.worker.execution.unwinding import Unwinding
from upnext.worker.intake.demand import Demand
from upnext.worker.intake.fetcher import Fetcher
from upnext.worker.intake.inbox import Inbox
from upnext.worker.intake.rescuer import Rescuer
from upnext.worker.ports import BlockingRenewPort, StorePort
from upnext.worker.queue_config import SyncExecutor
from upnext.worker.reporting.heartbeat import Heartbeat
from upnext.worker.scheduling.stager import Stager
from upnext.worker.settlement.flusher import Flusher
from upnext.worker.settlement.leases import Leases
from upnext.worker.settlement.outbox import Outbox
from upnext.worker.settlement.renewal import LoopRenewal, ThreadRenewal
from upnext.worker.store_clock import StoreClock
from upnext.worker.supervisor import Parts

RENEWALS_PER_LEASE = 3
"""Two renewals may be lost before a lease is."""
BLOCKED_LEASES = 5
"""A loop that stands still for so many leases gives its jobs to another worker."""


def compose(
    *,
    name: str,
    definitions: Mapping[str, TaskDefinition],
    store: StorePort,
    keys: Keys,
    queue: QueueSettings,
    concurrency: int,
    max_waiting: int,
    sync_executor: SyncExecutor,
    open_blocking_store: Callable[[], BlockingRenewPort] | None,
) -> Parts:
    """Build the stages of a worker; call it inside the event loop that will run them.

    Args:
        name: The worker's name; its id is this and a random part, new at every start.
        definitions: What it runs, by function name.
        store: The queue.
        keys: The names of its channels.
        queue: How it takes jobs in and writes results back.
        concurrency: Jobs that run at once.
        max_waiting: Jobs that may wait for other jobs at once, besides those that run.
        sync_executor: Where sync functions run.
        open_blocking_store: Opens the renewal thread's own connection; None renews from the
            event loop.
    """
    worker, functions = new_worker_id(name), list(definitions)
    lease, period = queue.claim_timeout_ms, queue.claim_timeout_ms / 1000 / RENEWALS_PER_LEASE
    slots, leases, running, clock = (
        Slots(concurrency, max_waiting),
        Leases(),
        Running(),
        StoreClock(),
    )
    demand = Demand(functions)
    inbox = Inbox(slots, queue.inbox_size)
    outbox = Outbox(queue.outbox_size)
    stager = Stager(store, functions)
    fetcher = Fetcher(store, worker, functions, inbox, demand, leases, clock, queue.batch_size)
    canceller = Canceller(
        store, keys, worker, functions, running, inbox, outbox, leases, fetcher, stager
    )
    flusher = Flusher(
        store, worker, outbox, leases, queue.batch_size, queue.flush_interval_ms / 1000
    )
    if open_blocking_store is None:
        renewal = LoopRenewal(store, worker, leases, period, canceller.revoke)
    else:
        renewal = ThreadRenewal(
            open_blocking_store,
            worker,
            functions,
            leases,
            period,
            BLOCKED_LEASES * lease / 1000,
            canceller.revoke,
            fetcher.doubt,
            running.names,
        )
    invocations = Invocations(
        sync_executor,
        threads=anyio.CapacityLimiter(concurrency + max_waiting),
        processes=anyio.CapacityLimiter(concurrency + max_waiting),
    )
    unwinding = Unwinding(store, keys.waiter_channel(worker))
    attempts = {
        name: Attempt(definition, invocations.of(definition), running, clock, unwinding)
        for name, definition in definitions.items()
    }
    heartbeat = Heartbeat(
        store,
        worker,
        name,
        concurrency,
        {name: definition.describe() for name, definition in definitions.items()},
        active=lambda: running.statistics().running,
        settled=lambda: flusher.written,
        claimed_at=lambda: fetcher.claimed_at,
    )
    return Parts(
        worker=worker,
        functions=functions,
        store=store,
        slots=slots,
        inbox=inbox,
        outbox=outbox,
        leases=leases,
        running=running,
        fetcher=fetcher,
        rescuer=Rescuer(store, worker, functions, lease, period),
        stager=stager,
        executor=Executor(inbox, outbox, slots, attempts),
        canceller=canceller,
        flusher=flusher,
        renewal=renewal,
        heartbeat=heartbeat,
    )
