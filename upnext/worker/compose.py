"""Wires the stages of one worker together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import anyio

from upnext.contracts.handlers import encode_handler
from upnext.contracts.keys import Keys
from upnext.model.identity import new_worker_id
from upnext.model.report import Pace
from upnext.settings import QueueSettings
from upnext.tasks.definition import TaskDefinition
from upnext.tasks.middleware import Middleware
from upnext.worker.execution.around import around
from upnext.worker.execution.attempt import Attempt
from upnext.worker.execution.canceller import Canceller
from upnext.worker.execution.drainer import Drainer
from upnext.worker.execution.executor import Executor
from upnext.worker.execution.hook_calls import HookCalls
from upnext.worker.execution.host import LocalHost
from upnext.worker.execution.invoke import InProcess, Invocations
from upnext.worker.execution.running import Running
from upnext.worker.execution.slots import Slots
from upnext.worker.execution.unwinding import Unwinding
from upnext.worker.intake.demand import Demand
from upnext.worker.intake.fetcher import Fetcher
from upnext.worker.intake.inbox import Inbox
from upnext.worker.intake.rescuer import Rescuer
from upnext.worker.lifespan import Life
from upnext.worker.permits import Permits, groups_of
from upnext.worker.ports import BlockingRenewPort, StorePort
from upnext.worker.queue_config import SyncExecutor
from upnext.worker.reporting.hatch import Hatch
from upnext.worker.reporting.heartbeat import Heartbeat
from upnext.worker.reporting.mailbox import Mailbox
from upnext.worker.reporting.reporter import Reporter
from upnext.worker.scheduling.cron_scheduler import CronScheduler
from upnext.worker.scheduling.event_router import MOST_LEASE, EventRouter
from upnext.worker.scheduling.stager import Stager
from upnext.worker.settlement.flusher import Flusher
from upnext.worker.settlement.leases import Leases
from upnext.worker.settlement.outbox import Outbox
from upnext.worker.settlement.renewal import LoopRenewal, ThreadRenewal
from upnext.worker.store_clock import StoreClock
from upnext.worker.supervisor import Parts
from upnext.worker.worker import Worker

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
    middleware: Sequence[Middleware] = (),
    lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
    capture_logs: bool = True,
    pace: Pace = Pace(),  # noqa: B008 - frozen
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
        middleware: What it has around every attempt, the outermost first.
        lifespan: What it opens before intake and closes after the last job.
        capture_logs: Whether what jobs log goes to their own logs, where their task does not say.
        pace: How often progress is worth telling.
    """
    worker, functions = new_worker_id(name), list(definitions)
    lease, period = queue.claim_timeout_ms, queue.claim_timeout_ms / 1000 / RENEWALS_PER_LEASE
    slots, leases, running, clock = (
        Slots(concurrency, max_waiting),
        Leases(),
        Running(),
        StoreClock(),
    )
    limited = frozenset(name for name, task in definitions.items() if task.is_limited)
    demand = Demand(functions, limited)
    groups = groups_of({name: task.limits for name, task in definitions.items()})
    # A worker without groups has nothing between itself and the store.
    held = Permits(store, worker, groups, leases, lease) if groups else store
    inbox = Inbox(slots, queue.inbox_size)
    outbox = Outbox(queue.outbox_size)
    mailbox = Mailbox()
    stager = Stager(store, functions)
    handlers = {
        name: encode_handler(definition.pattern)
        for name, definition in definitions.items()
        if definition.pattern is not None
    }
    router = EventRouter(store, worker, handlers, min(lease, MOST_LEASE))
    crons = CronScheduler(store, name, definitions, clock)
    fetcher = Fetcher(held, worker, functions, inbox, demand, leases, clock, queue.batch_size)
    drainer = Drainer(store, keys, functions, limited, fetcher, inbox, slots.awaited)
    canceller = Canceller(
        held,
        keys,
        worker,
        functions,
        running,
        inbox,
        outbox,
        leases,
        fetcher,
        stager,
        limited,
        {group: names for group, (_, names) in groups.items()},
        router,
        crons,
        drainer,
    )
    flusher = Flusher(
        held,
        worker,
        outbox,
        leases,
        queue.batch_size,
        queue.flush_interval_ms / 1000,
        mailbox,
        on_written=drainer.settled,
    )
    if open_blocking_store is None:
        renewal = LoopRenewal(held, worker, leases, period, canceller.revoke)
    else:
        open_own = open_blocking_store
        if isinstance(held, Permits):
            with_permits = held.blocking
            open_own = lambda: with_permits(open_blocking_store())  # noqa: E731
        renewal = ThreadRenewal(
            open_own,
            worker,
            functions,
            leases,
            period,
            BLOCKED_LEASES * lease / 1000,
            canceller.revoke,
            fetcher.doubt,
            running.names,
        )
    by_processes = sync_executor is SyncExecutor.PROCESS and any(
        not definition.is_async for definition in definitions.values()
    )
    hatch = Hatch(mailbox, lambda held: running.find(held) is not None) if by_processes else None
    invocations = Invocations(
        sync_executor,
        threads=anyio.CapacityLimiter(concurrency + max_waiting),
        processes=anyio.CapacityLimiter(concurrency + max_waiting),
        hatch=hatch,
    )

    def host_of(definition: TaskDefinition) -> LocalHost:
        captures = capture_logs if definition.capture_logs is None else definition.capture_logs
        return LocalHost(definition, mailbox, running, clock, pace, captures)

    life = None if lifespan is None else Life(name, lifespan)
    unwinding = Unwinding(store, keys.waiter_channel(worker))

    def attempt_of(definition: TaskDefinition) -> Attempt:
        hooks = (
            HookCalls(definition, invocations.threads, flusher.receipts)
            if definition.hooks
            else None
        )
        call = invocations.of(definition)
        return Attempt(
            definition,
            around(call, life=life, middleware=middleware, hooks=hooks),
            running,
            clock,
            unwinding,
            unseen=isinstance(call, InProcess),
            hooks=hooks,
            host=host_of(definition),
        )

    attempts = {name: attempt_of(definition) for name, definition in definitions.items()}

    def start_over() -> None:
        """The server has nothing of what it was told."""
        crons.note_lost()
        stager.note_all()
        fetcher.doubt()

    heartbeat = Heartbeat(
        store,
        worker,
        name,
        concurrency,
        {name: definition.describe() for name, definition in definitions.items()},
        active=lambda: running.statistics().running,
        settled=lambda: flusher.written,
        claimed_at=lambda: fetcher.claimed_at,
        on_lost=start_over,
    )
    return Parts(
        worker=worker,
        functions=functions,
        store=held,
        slots=slots,
        inbox=inbox,
        outbox=outbox,
        leases=leases,
        running=running,
        fetcher=fetcher,
        rescuer=Rescuer(
            store,
            worker,
            functions,
            lease,
            period,
            {
                name: most
                for name, definition in definitions.items()
                if (most := definition.max_deliveries) is not None
            },
        ),
        stager=stager,
        router=router,
        crons=crons,
        executor=Executor(inbox, outbox, slots, attempts),
        drainer=drainer,
        canceller=canceller,
        flusher=flusher,
        reporter=Reporter(store, worker, mailbox),
        hatch=hatch,
        renewal=renewal,
        heartbeat=heartbeat,
        life=life,
        limiters=(invocations.threads, invocations.processes),
    )


def compose_worker(
    worker: Worker,
    *,
    store: StorePort,
    keys: Keys,
    queue: QueueSettings,
    open_blocking_store: Callable[[], BlockingRenewPort] | None,
    sync_executor: SyncExecutor | None = None,
    pace: Pace = Pace(),  # noqa: B008 - frozen
) -> Parts:
    """Build the stages of a worker as it was declared: for the runner, and for tests.

    Args:
        worker: What was declared.
        store: The queue.
        keys: The names of its channels.
        queue: The settings, with the worker's own over them.
        open_blocking_store: As for `compose`.
        sync_executor: Where sync functions run; None: where the worker says.
        pace: How often progress is worth telling.
    """
    return compose(
        name=worker.name,
        definitions={task.name: task for task in worker.registry},
        store=store,
        keys=keys,
        queue=queue,
        concurrency=worker.concurrency,
        max_waiting=worker.max_waiting,
        sync_executor=sync_executor or worker.sync_executor,
        open_blocking_store=open_blocking_store,
        capture_logs=worker.capture_logs,
        pace=pace,
        middleware=tuple(worker.middlewares),
        lifespan=None if worker.lifespan is None else partial(worker.lifespan, worker),
    )
