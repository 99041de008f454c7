"""What the components of a process share."""

from __future__ import annotations

from attrs import frozen

from upnext.contracts.keys import Keys
from upnext.redis.pool import current_link
from upnext.redis.url import Address
from upnext.settings import Settings
from upnext.store.bounds import Bounds
from upnext.store.store import Store

__all__ = ["Surroundings"]


@frozen
class Surroundings:
    """Settings, and the broker of components that name none themselves."""

    settings: Settings
    url: str | None

    @property
    def keys(self) -> Keys:
        return Keys(self.settings.workspace_id)

    def address(self, own: str | None) -> Address:
        """Where a component's broker is: what it names itself, else that of the process."""
        return Address.parse(own or self.url or "")

    def store(self, address: Address, name: str, bounds: Bounds) -> Store:
        """The queue, over this event loop's link to its broker."""
        return Store(current_link(address, name=f"upnext-{name}"), self.keys, bounds)
