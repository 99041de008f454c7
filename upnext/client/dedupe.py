"""Deduplication as callers ask for it: which kind, and what makes two submits equal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from attrs import evolve, frozen

from upnext.contracts.codec import ArgumentsCodec
from upnext.model.dedupe import Caching, Dedupe, DedupeKind
from upnext.model.policy import seconds
from upnext.model.template import KeyTemplate
from upnext.tasks.definition import TaskDefinition

_NAMES = {
    DedupeKind.UNIQUE: "unique_for",
    DedupeKind.DEBOUNCE: "debounce",
    DedupeKind.RERUN: "rerun_key",
}
"""The option that asks for a kind."""


@frozen(kw_only=True)
class Dedupes:
    """One kind of deduplication, and the template of its key. Times are in milliseconds."""

    kind: DedupeKind
    template: KeyTemplate | None = None
    """None: equal arguments make equal submits; for a debounce, the whole task has one key."""
    window: int = 0
    most: int | None = None

    @classmethod
    def of(
        cls,
        before: Dedupes | None,
        *,
        unique_for: float | timedelta | None,
        unique_key: str | None,
        debounce: float | timedelta | None,
        debounce_key: str | None,
        debounce_max: float | timedelta | None,
        rerun_key: str | None,
    ) -> Dedupes | None:
        """What options ask for, on top of what was asked for before.

        Raises:
            ValueError: they cannot be used together, or one of them not at all.
        """
        given = {
            DedupeKind.UNIQUE: unique_for is not None or unique_key is not None,
            DedupeKind.DEBOUNCE: any(
                option is not None for option in (debounce, debounce_key, debounce_max)
            ),
            DedupeKind.RERUN: rerun_key is not None,
        }
        kinds = [kind for kind, asked in given.items() if asked]
        if not kinds:
            return before
        if len(kinds) > 1:
            names = " and ".join(_NAMES[kind] for kind in kinds)
            raise ValueError(f"{names} contradict each other: give one of them")
        kind = kinds[0]
        made = before if before is not None and before.kind is kind else cls(kind=kind)
        if unique_for is not None:
            made = evolve(made, window=_period(unique_for, "unique_for"))
        if debounce is not None:
            made = evolve(made, window=_period(debounce, "debounce"))
        if debounce_max is not None:
            made = evolve(made, most=_period(debounce_max, "debounce_max"))
        for text, what in (
            (unique_key, "unique_key"),
            (debounce_key, "debounce_key"),
            (rerun_key, "rerun_key"),
        ):
            if text is not None:
                made = evolve(made, template=KeyTemplate.parse(text, what))
        if kind is not DedupeKind.RERUN and not made.window:
            option = next(
                name
                for name, value in (
                    ("unique_key", unique_key),
                    ("debounce_key", debounce_key),
                    ("debounce_max", debounce_max),
                )
                if value is not None
            )
            raise ValueError(f"{option} needs {_NAMES[kind]}, the seconds for which it holds")
        if made.most is not None and made.most < made.window:
            raise ValueError(
                f"debounce_max ({made.most / 1000:g} s) must not be shorter than debounce"
                f" ({made.window / 1000:g} s)"
            )
        return made

    @property
    def name(self) -> str:
        """The option that asked for it."""
        return _NAMES[self.kind]

    def check(self, parameters: Iterable[str], function: str) -> None:
        """See that the function has the parameters that the key speaks of.

        Raises:
            ValueError: it lacks one.
        """
        if self.template is not None:
            self.template.check(parameters, function)

    def check_time(self, *, timed: bool) -> None:
        """See that no time is given where the kind itself says when the job runs.

        Raises:
            ValueError: there is one.
        """
        if timed and self.kind is not DedupeKind.UNIQUE:
            raise ValueError(f"{self.name} says when the job runs: leave out delay and at")

    def of_call(
        self, codec: ArgumentsCodec, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Dedupe:
        """How one call is deduplicated.

        Raises:
            ValueError: the key cannot be made of these arguments.
        """
        if self.template is not None:
            key = self.template.render(codec.bound(args, kwargs))
        elif self.kind is DedupeKind.UNIQUE:
            key = digest_of(codec, args, kwargs)
        else:
            key = ""
        return Dedupe(self.kind, key, self.window, self.most)


def caching_of(
    definition: TaskDefinition, args: tuple[Any, ...], kwargs: dict[str, Any], *, fresh: bool
) -> Caching:
    """Where the result of one call of a task with a `cache_ttl` is cached.

    Raises:
        ValueError: the key cannot be made of these arguments.
    """
    codec, template = definition.arguments, definition.cache_template
    if template is None:
        key = digest_of(codec, args, kwargs)
    else:
        key = template.render(codec.bound(args, kwargs))
    return Caching(key, (definition.cache_ttl or 0) * 1000, fresh)


def digest_of(codec: ArgumentsCodec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """A short key that equal calls share."""
    return hashlib.sha256(codec.canonical(args, kwargs)).hexdigest()[:32]


def _period(value: float | timedelta, what: str) -> int:
    milliseconds = round(seconds(value, what) * 1000)
    if milliseconds < 1:
        raise ValueError(f"{what} must be more than 0 seconds")
    return milliseconds
