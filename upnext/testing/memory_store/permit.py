"""Permit: let a worker hold so many jobs of a group; the twin of `permit.lua`."""

from __future__ import annotations

from attrs import define, field

from upnext.testing.memory_store.channels import Channels

LINE_LIVE = 60_000


@define(eq=False)
class Group:
    """Owns the permits of one group."""

    prefix: str
    most: int | None = None
    held: dict[str, tuple[int, int]] = field(factory=dict[str, tuple[int, int]])
    """Worker -> how many it has, and until when."""
    line: dict[str, int] = field(factory=dict[str, int])
    """Channels of workers that want more -> since when."""


def permit(
    group: Group,
    channels: Channels,
    now: int,
    worker: str,
    channel: str,
    holding: int,
    wanting: int,
    ttl: int,
    most: int | None,
) -> int:
    """How many the worker has now; -1 when the group has no limit."""
    group.most = group.most if most is None else most
    if group.most is None:
        return -1
    group.held = {name: one for name, one in group.held.items() if one[1] > now}
    group.line = {name: at for name, at in group.line.items() if at > now - LINE_LIVE}
    mine = group.held.get(worker, (0, 0))[0]
    free = group.most - sum(count for count, _ in group.held.values()) + mine
    order = sorted(group.line, key=lambda name: (group.line[name], name))
    if wanting == -1:
        holding = mine or holding
    elif wanting >= 0:
        ahead = order.index(channel) if channel in group.line else len(order)
        more = max(0, min(wanting, free - holding - ahead))
        group.line.pop(channel, None)
        if more < wanting:
            group.line[channel] = now
        holding += more
    group.held.pop(worker, None)
    if holding > 0:
        group.held[worker] = (holding, now + ttl)
    free -= holding
    for one in sorted(group.line, key=lambda name: (group.line[name], name)):
        if free < 1:
            break
        if one != channel or wanting < 0:
            if channels.publish(one, f"work {group.prefix}".encode()):
                free -= 1
            else:
                del group.line[one]
    return holding
