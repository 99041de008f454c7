"""The verbs that hold functions up, bound to one link."""

from __future__ import annotations

from collections.abc import Sequence

from upnext.redis.library import raise_first
from upnext.store.bounds import Bounds
from upnext.store.pause import parse_paused, pause_all_command, pause_call
from upnext.store.resume import resume_call
from upnext.store.track_verbs import TrackVerbs


class PauseVerbs(TrackVerbs):
    """The part of a store that pauses functions. Pauses end by the store's clock."""

    bounds: Bounds

    async def pause(
        self, functions: Sequence[str] | None, until: int | None = None, delay: int | None = None
    ) -> int:
        """Let no more jobs of functions be claimed; they go on to be accepted.

        Args:
            functions: Their names; None: all of the workspace, and those declared meanwhile.
            until: Unix milliseconds when the pause ends by itself; None: it does not.
            delay: Milliseconds from now after which it ends, instead of `until`.

        Returns:
            Unix milliseconds of the store's clock when it ends; 0 when it does not by itself.
        """
        if delay is not None:
            until, delay = await self.now() + delay, None
        if functions is None:
            await self._link.execute(*pause_all_command(self.keys, until), idempotent=True)
            functions = await self.functions()
        calls = [pause_call(self.keys, self.bounds, name, until) for name in functions]
        await self._call.call_many(calls, idempotent=True)
        return until or 0

    async def resume(self, functions: Sequence[str] | None) -> int:
        """Let jobs of paused functions be claimed again.

        Args:
            functions: Their names; None: all of the workspace.

        Returns:
            How many of them were paused.
        """
        if functions is None:
            await self._link.execute("DEL", self.keys.paused, idempotent=True)
            functions = await self.functions()
        calls = [resume_call(self.keys, self.bounds, name) for name in functions]
        return sum(await self._call.call_many(calls, idempotent=True))

    async def paused(self, functions: Sequence[str] | None = None) -> dict[str, int]:
        """The functions that are paused, of these or of all, and until when.

        Unix milliseconds of the store's clock; 0 for one that stays paused until it is resumed.
        """
        names = await self.functions() if functions is None else list(functions)
        gates = [("HGET", self.keys.gate(name), "paused") for name in names]
        replies = raise_first(await self._link.execute_many(gates, idempotent=True))
        return parse_paused(names, await self.now(), replies)

    async def functions(self) -> list[str]:
        """The names of all functions that a worker ever declared in this workspace."""
        reply = await self._link.execute("HVALS", self.keys.functions, idempotent=True)
        return [name.decode() for name in reply]
