"""What a task is: a function, and how its jobs are to be run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import cached_property
from types import CodeType
from typing import Any, TypeVar, cast

import orjson
from attrs import Attribute, Factory, field, frozen

from upnext.contracts.codec import ArgumentsCodec, ResultCodec, hints_of
from upnext.model.cron import CronPlan
from upnext.model.identity import function_tag
from upnext.model.limits import MOST_UNITS, Limits, limit_keys
from upnext.model.policy import ErrorTypes, RateLimit, RetryPolicy, retries_on, seconds
from upnext.model.template import KeyTemplate
from upnext.tasks.hooks import Hook, code_of, is_async, module_of, name_of

V = TypeVar("V")

DEFAULT_TIMEOUT = 1800.0
"""Seconds."""

ErrorKinds = type[BaseException] | Iterable[type[BaseException]] | None
"""What users may pass as `retry_on`."""


def _types(value: Any) -> ErrorTypes:
    if value is None:
        return ()
    # A text is iterable, but it is one mistake and not one for each of its letters.
    if isinstance(value, type | str | bytes) or not isinstance(value, Iterable):
        return (cast("type[BaseException]", value),)
    return tuple(cast("Iterable[type[BaseException]]", value))


def _rate(value: Any) -> RateLimit | None:
    rate = RateLimit.parse(value) if isinstance(value, str) else value
    if rate is None:
        return None
    if not isinstance(rate, RateLimit):
        raise ValueError(f"rate_limit must be a text such as '100/m' or '5/10s', not {value!r}")
    if rate.count * rate.window * 1000 >= MOST_UNITS:
        raise ValueError(f"rate_limit {value!r} is more than can be counted: give a shorter time")
    return rate


def _limit_template(it: TaskDefinition, option: str, limit: str) -> KeyTemplate | None:
    text = getattr(it, option)
    if text is None:
        return None
    if getattr(it, limit) is None:
        raise ValueError(f"{option} says whose {limit} it is: give {limit}, too")
    template = _checked(it, text, option)
    if not template.names:
        raise ValueError(f"{option} {text!r} must name an argument in braces, as in '{{user_id}}'")
    return template


def _checked(it: TaskDefinition, text: str, option: str) -> KeyTemplate:
    template = KeyTemplate.parse(text, option)
    return template.check(inspect.signature(it.function).parameters, it.name)


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _name(value: Any) -> str:
    stripped = _stripped(value)
    if not isinstance(stripped, str) or not stripped:
        raise ValueError(f"a task's name must be a text that is not empty, not {value!r}")
    return stripped


def _not_empty(instance: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{attribute.name} must be a text that is not empty, not {value!r}")


def _optional_text(instance: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None:
        _not_empty(instance, attribute, value)


def _optional_count(instance: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ValueError(f"{attribute.name} must be a whole number, 1 or more, not {value!r}")
    if value is not None and value * 1000 >= MOST_UNITS:  # cache_ttl is kept in milliseconds
        raise ValueError(f"{attribute.name} {value!r} is more than can be counted: give less")


def _flag(instance: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{attribute.name} must be True or False, not {value!r}")


def _optional_flag(instance: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None:
        _flag(instance, attribute, value)


def _timeout(value: float | timedelta | None) -> float | None:
    if value is None:
        return None
    if not (number := seconds(value, "timeout")):
        raise ValueError("timeout must be more than 0 seconds; None is no timeout")
    return number


def _exceptions(instance: object, attribute: Attribute[Any], value: tuple[Any, ...]) -> None:
    for item in value:
        if not (isinstance(item, type) and issubclass(item, BaseException)):
            raise ValueError(f"{attribute.name} must name exception classes, not {item!r}")


def _hook(instance: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and not callable(value):
        raise ValueError(f"{attribute.name} must be callable, not {value!r}")


def _function(instance: object, attribute: Attribute[Any], value: object) -> None:
    if not callable(value):
        raise TypeError(f"a task is made of a function, not of {value!r}")
    if inspect.isasyncgenfunction(value) or inspect.isgeneratorfunction(value):
        raise TypeError(f"{name_of(value)} is a generator; a task returns its result at once")


def _own(make: Callable[[TaskDefinition], V]) -> V:
    """A field worked out from the others."""
    return Factory(make, takes_self=True)


def _make_policy(it: TaskDefinition) -> RetryPolicy:
    return RetryPolicy(
        retries=it.retries,
        delay=it.retry_delay,
        backoff=it.retry_backoff,
        jitter=it.retry_jitter,
        max_delay=it.retry_max_delay,
    )


def _cache_template(it: TaskDefinition) -> KeyTemplate | None:
    if it.cache_key is None:
        return None
    if it.cache_ttl is None:
        raise ValueError("cache_key needs cache_ttl, the seconds for which a result is kept")
    return _checked(it, it.cache_key, "cache_key")


@frozen(kw_only=True, eq=False)
class TaskDefinition:
    """A declared task. Made by `@worker.task`; nobody changes it afterwards.

    Raises:
        ValueError: a parameter cannot be used; one line says which and why.
        TypeError: the function is no function.
    """

    function: Callable[..., Any] = field(validator=_function)
    name: str = field(converter=_name)
    """The function key: what the queue calls it. Unique in a workspace."""

    retries: int = 0
    retry_delay: float | timedelta = 1.0
    """Seconds."""
    retry_backoff: float = 2.0
    retry_jitter: float | bool = False
    retry_max_delay: float | timedelta | None = None
    """Seconds."""
    retry_on: ErrorTypes = field(default=(), converter=_types, validator=_exceptions)
    no_retry_on: ErrorTypes = field(default=(), converter=_types, validator=_exceptions)
    timeout: float | None = field(default=DEFAULT_TIMEOUT, converter=_timeout)
    """Seconds one attempt may take; None: as long as it likes."""

    cache_key: str | None = field(default=None, validator=_optional_text)
    """A template; None: equal arguments have one result."""
    cache_ttl: int | None = field(default=None, validator=_optional_count)
    """Seconds for which a result is cached; None: not at all."""
    rate_limit: RateLimit | None = field(default=None, converter=_rate)
    rate_limit_key: str | None = field(default=None, validator=_optional_text)
    """Whose rate it is, as a template over arguments; None: the function's."""
    max_concurrency: int | None = field(default=None, validator=_optional_count)
    """In the whole workspace."""
    concurrency_key: str | None = field(default=None, validator=_optional_text)
    """Whose jobs are counted, as a template over arguments; None: all of the function."""
    routing_group: str | None = field(default=None, converter=_stripped, validator=_optional_text)
    group_max_concurrency: int | None = field(default=None, validator=_optional_count)
    dead_letter: bool = field(default=False, validator=_flag)
    """Whether a job that fails for good is kept aside for a replay."""
    max_deliveries: int | None = field(default=None, validator=_optional_count)
    """A job lost with its worker so often becomes a dead letter; None: as the settings say."""
    capture_logs: bool | None = field(default=None, validator=_optional_flag)
    """Whether what its jobs log goes to their own logs; None: as their worker says."""

    on_start: Hook | None = field(default=None, validator=_hook)
    on_success: Hook | None = field(default=None, validator=_hook)
    on_failure: Hook | None = field(default=None, validator=_hook)
    on_retry: Hook | None = field(default=None, validator=_hook)
    on_complete: Hook | None = field(default=None, validator=_hook)

    pattern: str | None = None
    """The events that a handler listens to; None for a task."""
    schedule: CronPlan | None = field(default=None, repr=False)
    """When its jobs are made by themselves; None for a plain task."""
    schedule_arguments: Mapping[str, Any] = field(factory=dict[str, Any], repr=False)
    """What these jobs are called with."""

    scope: Mapping[str, Any] = field(factory=dict[str, Any], repr=False)
    """Local names that the function's annotations may speak of."""
    _rate_key: KeyTemplate | None = field(
        init=False,
        repr=False,
        default=_own(lambda it: _limit_template(it, "rate_limit_key", "rate_limit")),
    )
    _number_key: KeyTemplate | None = field(
        init=False,
        repr=False,
        default=_own(lambda it: _limit_template(it, "concurrency_key", "max_concurrency")),
    )
    has_keys: bool = field(
        init=False,
        repr=False,
        default=_own(lambda it: bool(it._rate_key or it._number_key or it.cache_ttl)),
    )
    """Whether more than its options belongs to a job: keys, made of its arguments."""
    retry_policy: RetryPolicy = field(init=False, repr=False, default=_own(_make_policy))
    cache_template: KeyTemplate | None = field(
        init=False, repr=False, default=_own(_cache_template)
    )
    tag: str = field(init=False, repr=False, default=_own(lambda it: function_tag(it.name)))
    """The name as Redis keys and job ids have it."""
    is_async: bool = field(init=False, default=_own(lambda it: is_async(it.function)))
    module: str = field(init=False, default=_own(lambda it: module_of(it.function)))
    qualname: str = field(init=False, default=_own(lambda it: name_of(it.function)))
    code: CodeType | None = field(
        init=False, repr=False, default=_own(lambda it: code_of(it.function))
    )
    file: str = field(init=False, default=_own(lambda it: it.code.co_filename if it.code else ""))
    """Where the function is written, so that another process can find it; '' when unknown."""
    line: int = field(
        init=False, repr=False, default=_own(lambda it: it.code.co_firstlineno if it.code else 0)
    )

    @property
    def kind(self) -> str:
        """What makes its jobs: `task`, `event` or `cron`."""
        if self.pattern is not None:
            return "event"
        return "task" if self.schedule is None else "cron"

    @property
    def place(self) -> str:
        """Where the function is written, as `file:line`."""
        return f"{self.file}:{self.line}" if self.file else f"{self.module}.{self.qualname}"

    @property
    def source(self) -> tuple[str, str]:
        """The module's name and its file: how another process imports the function again."""
        return self.module, self.file

    def __attrs_post_init__(self) -> None:
        if self.group_max_concurrency is not None and self.routing_group is None:
            raise ValueError("group_max_concurrency limits a group: give routing_group, too")

    @property
    def limits(self) -> Limits:
        """How it is limited, as the queue has it."""
        return Limits.of(orjson.loads(self.describe()))

    @property
    def is_limited(self) -> bool:
        """Whether its jobs are claimed only as far as a limit lets them start."""
        limits = (self.rate_limit, self.max_concurrency, self.routing_group)
        return any(limit is not None for limit in limits)

    def limit_keys(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Whose share of the limits a call counts against; '' where limits have no keys.

        Raises:
            ValueError: a key cannot be made of these arguments.
        """
        rate, number = self._rate_key, self._number_key
        if rate is None and number is None:
            return ""
        given = self.arguments.bound(args, kwargs)
        return limit_keys(
            "" if number is None else number.render(given),
            "" if rate is None else rate.render(given),
        )

    @property
    def max_attempts(self) -> int:
        """The first attempt and all retries."""
        return self.retry_policy.max_attempts

    @cached_property
    def hooks(self) -> tuple[Hook, ...]:
        """The hooks that are set."""
        every = (self.on_start, self.on_success, self.on_failure, self.on_retry, self.on_complete)
        return tuple(hook for hook in every if hook is not None)

    def retries_on(self, error_type: type[BaseException]) -> bool:
        """Whether this kind of error is worth another attempt, if one is left."""
        return retries_on(error_type, self.retry_on, self.no_retry_on)

    @cached_property
    def hints(self) -> dict[str, Any]:
        """The function's annotations, resolved when first needed: they may speak of what is
        defined after it."""
        return hints_of(self.function, self.scope)

    @cached_property
    def arguments(self) -> ArgumentsCodec:
        """Writes and reads the arguments of its jobs."""
        return ArgumentsCodec.of(self.function, self.hints)

    @cached_property
    def result(self) -> ResultCodec:
        """Writes and reads the results of its jobs."""
        return ResultCodec.of(self.hints.get("return", Any))

    @cached_property
    def scheduled_call(self) -> bytes:
        """The arguments of the jobs that its schedule makes, encoded.

        Raises:
            CodecError: one of them cannot be written as JSON.
        """
        return self.arguments.encode((), dict(self.schedule_arguments))

    def describe(self) -> bytes:
        """The definition as JSON: what the queue, the CLI and the dashboard know of it."""
        rate, policy = self.rate_limit, self.retry_policy
        return orjson.dumps(
            {
                "name": self.name,
                "kind": self.kind,
                "pattern": self.pattern,
                "module": self.module,
                "qualname": self.qualname,
                "place": self.place,
                "is_async": self.is_async,
                "retries": self.retries,
                "retry_delay": policy.delay,
                "retry_backoff": policy.backoff,
                "retry_jitter": policy.jitter,
                "retry_max_delay": policy.max_delay,
                "retry_on": [kind.__qualname__ for kind in self.retry_on],
                "no_retry_on": [kind.__qualname__ for kind in self.no_retry_on],
                "timeout": self.timeout,
                "cache_key": self.cache_key,
                "cache_ttl": self.cache_ttl,
                "rate_limit": None
                if rate is None
                else {"count": rate.count, "seconds": rate.window},
                "rate_limit_key": self.rate_limit_key,
                "max_concurrency": self.max_concurrency,
                "concurrency_key": self.concurrency_key,
                "routing_group": self.routing_group,
                "group_max_concurrency": self.group_max_concurrency,
                "dead_letter": self.dead_letter,
                **({} if self.schedule is None else _described(self.schedule)),
                "max_deliveries": self.max_deliveries,
            }
        )


def _described(plan: CronPlan) -> dict[str, Any]:
    catch_up = plan.max_catch_up
    return {
        "schedule": plan.expression,
        "timezone": plan.timezone,
        "jitter": plan.jitter / 1000,
        "missed_run_policy": plan.missed_run_policy,
        "max_catch_up_seconds": None if catch_up is None else catch_up / 1000,
        "overlap": plan.overlap,
    }
