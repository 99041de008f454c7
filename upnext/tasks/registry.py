"""The tasks of one worker, by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from upnext.errors import ConfigurationError
from upnext.tasks.definition import TaskDefinition


class Registry:
    """Owns the table of one worker's definitions."""

    def __init__(self, definitions: Iterable[TaskDefinition] = ()) -> None:
        self._by_name: dict[str, TaskDefinition] = {}
        for definition in definitions:
            self.add(definition)

    def add(self, definition: TaskDefinition) -> None:
        """Add a definition.

        Raises:
            ConfigurationError: another function has this name; both places are named.
        """
        present = self._by_name.setdefault(definition.name, definition)
        if present is not definition and not _is_same(present, definition):
            raise ConfigurationError(
                f"two tasks are called {definition.name!r}: {present.place} and"
                f" {definition.place}. Give one of them another name (@worker.task(name=…))."
            )
        self._by_name[definition.name] = definition

    def get(self, name: str) -> TaskDefinition:
        """The definition with this name.

        Raises:
            LookupError: there is none; the message lists those there are.
        """
        found = self._by_name.get(name)
        if found is None:
            raise LookupError(f"no task {name!r} here. {self._known(name)}")
        return found

    def find(self, name: str) -> TaskDefinition | None:
        """The definition with this name, or None."""
        return self._by_name.get(name)

    @property
    def names(self) -> list[str]:
        """The names, in the order of declaration."""
        return list(self._by_name)

    def __iter__(self) -> Iterator[TaskDefinition]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def _known(self, name: str) -> str:
        if not self._by_name:
            return "None is declared."
        near = difflib.get_close_matches(name, self._by_name, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        return f"{hint}There are: {', '.join(sorted(self._by_name))}."


def merge(registries: Iterable[Registry]) -> Registry:
    """All tasks of the workers of one process.

    Raises:
        ConfigurationError: two functions have one name; both places are named.
    """
    return Registry(definition for registry in registries for definition in registry)


def _is_same(one: TaskDefinition, other: TaskDefinition) -> bool:
    """One function declared twice: a module that was run as a script and imported as well.

    Its code was then compiled twice. Two closures of one function share their code.
    """
    return (
        one.file != ""
        and (one.file, one.line, one.qualname) == (other.file, other.line, other.qualname)
        and one.code is not other.code
    )
