"""Pairs replies with commands: Redis answers in the order it was asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Literal

from redis.exceptions import InvalidResponse, RedisError

from upnext.redis.faults import NOT_EXECUTED
from upnext.redis.push import Channel
from upnext.redis.waiter import Waiter
from upnext.redis.wire import Command, pack


class Batch(Waiter):
    """The commands of one caller, sent together, and their replies.

    Attributes:
        packed: The commands as they go over the wire.
        expected: How many replies will come.
        replies: What has come so far, error replies in place.
        idempotent: It may be sent again when its outcome is unknown.
        prompt: It is written at once: it does not wait for others to join the write.
        refused: One of the replies is an error.
        abandoned: Its caller was cancelled; the replies still come and are dropped.
        error: Why there will be no replies.
    """

    __slots__ = (
        "abandoned",
        "error",
        "expected",
        "idempotent",
        "packed",
        "prompt",
        "refused",
        "replies",
    )

    def __init__(
        self, commands: Sequence[Command], *, idempotent: bool, prompt: bool = False
    ) -> None:
        self.done = False  # as a Waiter says; one is made for every command
        self.on_resume = None
        self.packed = pack(commands)
        self.expected = len(commands)
        self.replies: list[Any] = []
        self.idempotent = idempotent
        self.prompt = prompt
        self.refused = False
        self.abandoned = False
        self.error: RedisError | None = None

    def accept(self, reply: Any) -> bool:
        """Take one reply; True when it was the last one."""
        replies = self.replies
        replies.append(reply)
        if isinstance(reply, Exception):
            self.refused = True
        if len(replies) < self.expected:
            return False
        self.wake()
        return True

    def restart(self) -> None:
        """It will be sent again: what has come so far does not count."""
        self.replies.clear()
        self.refused = False

    def fail(self, error: RedisError) -> None:
        """There will be no replies."""
        self.error = error
        self.wake()


class Confirmation:
    """The place of a SUBSCRIBE or UNSUBSCRIBE among the replies.

    Success is told by a push, a refusal (no permission, a busy server) by an ordinary error
    reply. Without a place in the order such an error would be taken for the reply to the next
    caller's command, and from then on everybody would read somebody else's reply.
    """

    __slots__ = ("channel", "kind", "packed")
    expected = 1
    prompt = False

    def __init__(self, kind: Literal[b"subscribe", b"unsubscribe"], channel: Channel) -> None:
        self.kind = kind
        self.channel = channel
        self.packed = pack(((kind, channel.name),))

    def accept(self, reply: Any) -> bool:
        """Take an error reply; any other reply here means that the order is lost."""
        if not isinstance(reply, RedisError):
            raise InvalidResponse(f"a reply came where {self.kind!r} was to be confirmed")
        if self.kind == b"subscribe" and not isinstance(reply, NOT_EXECUTED):
            self.channel.refuse(reply)
        return True


Slot = Batch | Confirmation


class Pipeline:
    """Owns the order of what was sent on one connection and is not answered yet.

    Attributes:
        due: What it is, the oldest first; to look at.
        unheard: A subscription was turned away for now; only a new connection asks again.
    """

    def __init__(self) -> None:
        self.due: deque[Slot] = deque()
        self.unheard = False

    def expect(self, slots: Sequence[Slot]) -> None:
        """These were sent, in this order."""
        self.due.extend(slots)

    def accept(self, reply: Any) -> None:
        """Give a reply to the oldest one that waits.

        Raises:
            InvalidResponse: Nobody waits for a reply.
        """
        if not self.due:
            raise InvalidResponse("a reply came that nobody asked for")
        head = self.due[0]
        if head.accept(reply):
            self.due.popleft()
        if isinstance(head, Confirmation) and isinstance(reply, NOT_EXECUTED):
            self.unheard = True

    def confirm(self, kind: bytes, channel: bytes) -> None:
        """A push says that a SUBSCRIBE or UNSUBSCRIBE was done."""
        head = self.due[0] if self.due else None
        if isinstance(head, Confirmation) and (head.kind, head.channel.name) == (kind, channel):
            self.due.popleft()
            if kind == b"subscribe":
                head.channel.confirm()

    def drain(self) -> list[Batch]:
        """Take out the batches that will not be answered on this connection any more."""
        left = [slot for slot in self.due if isinstance(slot, Batch)]
        self.due.clear()
        return left
