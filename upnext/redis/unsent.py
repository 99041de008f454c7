"""What is to be sent on a connection."""

from __future__ import annotations

from collections.abc import Iterable

from upnext.redis.pipeline import Batch, Confirmation, Slot
from upnext.redis.push import Channel


class Unsent:
    """Owns what was not sent yet. Everyone adds; who writes or reconnects takes all.

    Attributes:
        slots: What it is, in order; to look at. It stays the same dict.
        prompt: Something of it is not to wait for others to join the write.
    """

    def __init__(self) -> None:
        # A dict, because thousands may be taken back at once.
        self.slots: dict[Slot, None] = {}
        self.prompt = False
        # The SUBSCRIBEs among them.
        self._asking: dict[Channel, Confirmation] = {}

    def __len__(self) -> int:
        return len(self.slots)

    def add(self, slot: Slot) -> None:
        """This is to be sent, too."""
        self.slots[slot] = None
        if slot.prompt:
            self.prompt = True

    def drop(self, slot: Slot) -> None:
        """This is not to be sent any more, if it was not yet."""
        self.slots.pop(slot, None)
        if not self.slots:
            self.prompt = False

    def put_back(self, slots: Iterable[Slot]) -> None:
        """These were sent in vain: they go first."""
        later = dict(self.slots)
        self.slots.clear()
        self.slots.update(dict.fromkeys(slots) | later)

    def ask(self, channel: Channel) -> None:
        """The server is to be asked for a channel."""
        slot = self._asking[channel] = Confirmation(b"subscribe", channel)
        self.slots[slot] = None

    def unask(self, channel: Channel) -> bool:
        """Do not ask for a channel; False when the server was asked already."""
        never_sent = self._asking.pop(channel, None)
        if never_sent is None:
            return False
        del self.slots[never_sent]
        return True

    def take(self) -> list[Slot]:
        """Take out everything."""
        slots = list(self.slots)
        self.slots.clear()
        self.prompt = False
        self._asking.clear()
        return slots

    def take_batches(self) -> list[Batch]:
        """Take out everything, of which only commands of callers still count."""
        return [slot for slot in self.take() if isinstance(slot, Batch)]
