"""Background jobs and HTTP APIs for Python on structured concurrency.

    worker = upnext.Worker("mail")

    @worker.task(retries=3)
    async def send(to: str) -> int: ...

    await send.submit("ada@example.org")

Names are imported when first used: `import upnext` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from upnext.api.api import Api
    from upnext.api.sse import sse
    from upnext.api.static.package_manager import PackageManager, StaticRuntime
    from upnext.api.tracking.config import ApiTrackingConfig
    from upnext.client.artifacts import create_artifact, create_artifact_sync
    from upnext.client.dead_letters import DeadLetter, dead_letters
    from upnext.client.event import (
        EventHandle,
        TypedEvent,
        send_event,
        send_event_idempotent,
        send_event_idempotent_sync,
        send_event_sync,
    )
    from upnext.client.future import Future
    from upnext.client.group import Group, group
    from upnext.client.handle import TaskHandle
    from upnext.client.parallel import first_completed, gather, map_tasks, submit_many
    from upnext.client.pauses import pause, pause_sync, paused, resume, resume_sync
    from upnext.client.result import TaskExecutionError, TaskResult, TaskTimeoutError
    from upnext.client.schedules import schedules
    from upnext.errors import (
        ArtifactError,
        CodecError,
        ConfigurationError,
        DeadLetterNotFoundError,
        EventRefusedError,
        JobNotFoundError,
        JobRefusedError,
        OutputLostError,
        QueueFullError,
        ScheduleExistsError,
        ScheduleNotFoundError,
        StaticBuildError,
        UpNextError,
    )
    from upnext.model.artifact import Artifact, ArtifactType
    from upnext.model.cron import MissedRunPolicy, Overlap
    from upnext.model.report import LogLine, Progress
    from upnext.model.schedule import Schedule
    from upnext.model.status import CancelReason, FailureReason, JobStatus
    from upnext.runner import run
    from upnext.tasks.context import Context, get_current_context
    from upnext.tasks.control import Discard, Retry, Snooze, check_cancelled
    from upnext.worker.queue_config import SyncExecutor, WorkerQueueConfig
    from upnext.worker.worker import Worker

__all__ = [
    "Api",
    "ApiTrackingConfig",
    "Artifact",
    "ArtifactError",
    "ArtifactType",
    "CancelReason",
    "CodecError",
    "ConfigurationError",
    "Context",
    "DeadLetter",
    "DeadLetterNotFoundError",
    "Discard",
    "EventHandle",
    "EventRefusedError",
    "FailureReason",
    "Future",
    "Group",
    "JobNotFoundError",
    "JobRefusedError",
    "JobStatus",
    "LogLine",
    "MissedRunPolicy",
    "OutputLostError",
    "Overlap",
    "PackageManager",
    "Progress",
    "QueueFullError",
    "Retry",
    "Schedule",
    "ScheduleExistsError",
    "ScheduleNotFoundError",
    "Snooze",
    "StaticBuildError",
    "StaticRuntime",
    "SyncExecutor",
    "TaskExecutionError",
    "TaskHandle",
    "TaskResult",
    "TaskTimeoutError",
    "TypedEvent",
    "UpNextError",
    "Worker",
    "WorkerQueueConfig",
    "__version__",
    "check_cancelled",
    "create_artifact",
    "create_artifact_sync",
    "dead_letters",
    "first_completed",
    "gather",
    "get_current_context",
    "group",
    "map_tasks",
    "pause",
    "pause_sync",
    "paused",
    "resume",
    "resume_sync",
    "run",
    "schedules",
    "send_event",
    "send_event_idempotent",
    "send_event_idempotent_sync",
    "send_event_sync",
    "sse",
    "submit_many",
]

_HOMES = {
    "upnext.api.api": ("Api",),
    "upnext.api.static.package_manager": ("PackageManager", "StaticRuntime"),
    "upnext.api.tracking.config": ("ApiTrackingConfig",),
    "upnext.api.sse": ("sse",),
    "upnext.client.artifacts": ("create_artifact", "create_artifact_sync"),
    "upnext.client.event": (
        "EventHandle",
        "TypedEvent",
        "send_event",
        "send_event_idempotent",
        "send_event_idempotent_sync",
        "send_event_sync",
    ),
    "upnext.client.dead_letters": ("DeadLetter", "dead_letters"),
    "upnext.client.future": ("Future",),
    "upnext.client.group": ("Group", "group"),
    "upnext.client.handle": ("TaskHandle",),
    "upnext.client.parallel": ("first_completed", "gather", "map_tasks", "submit_many"),
    "upnext.client.pauses": ("pause", "pause_sync", "paused", "resume", "resume_sync"),
    "upnext.client.result": ("TaskExecutionError", "TaskResult", "TaskTimeoutError"),
    "upnext.client.schedules": ("schedules",),
    "upnext.errors": (
        "ArtifactError",
        "CodecError",
        "ConfigurationError",
        "EventRefusedError",
        "DeadLetterNotFoundError",
        "JobNotFoundError",
        "JobRefusedError",
        "OutputLostError",
        "QueueFullError",
        "ScheduleExistsError",
        "ScheduleNotFoundError",
        "StaticBuildError",
        "UpNextError",
    ),
    "upnext.model.artifact": ("Artifact", "ArtifactType"),
    "upnext.model.report": ("LogLine", "Progress"),
    "upnext.model.cron": ("MissedRunPolicy", "Overlap"),
    "upnext.model.schedule": ("Schedule",),
    "upnext.model.status": ("CancelReason", "FailureReason", "JobStatus"),
    "upnext.runner": ("run",),
    "upnext.tasks.context": ("Context", "get_current_context"),
    "upnext.tasks.control": ("Discard", "Retry", "Snooze", "check_cancelled"),
    "upnext.worker.queue_config": ("SyncExecutor", "WorkerQueueConfig"),
    "upnext.worker.worker": ("Worker",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'upnext' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
