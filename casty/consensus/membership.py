"""Configurations of a group, and how a log entry carries one.

Raft paper section 6 and dissertation chapter 4. Outside a joint configuration ``outgoing`` is empty. In a
joint one ``voters`` are the new and ``outgoing`` the old majority; a voter that becomes a learner is in both
``outgoing`` and ``learners`` until the joint configuration is left, and counts as a voter of ``outgoing``
only. A learner never counts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from casty.errors import RemoteProtocolError

__all__ = ["History", "Membership", "decode", "encode", "parse"]


class Membership(NamedTuple):
    """Who votes and who only learns; each tuple is sorted."""

    voters: tuple[str, ...]
    outgoing: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()

    @property
    def members(self) -> tuple[str, ...]:
        """Everyone named, once, sorted."""
        return tuple(sorted(dict.fromkeys(self.voters + self.outgoing + self.learners)))

    def has_voter(self, id: str) -> bool:
        """Whether `id` votes in this configuration."""
        return id in self.voters or id in self.outgoing


def encode(membership: Membership) -> bytes:
    """Return the bytes of a configuration entry."""
    return json.dumps(membership, separators=(",", ":")).encode()


def decode(data: bytes) -> Membership:
    """Read a configuration entry."""
    try:
        parts = json.loads(data)
    except ValueError:
        raise RemoteProtocolError("configuration entry: expected JSON") from None
    if not isinstance(parts, list) or len(parts) != 3:
        raise RemoteProtocolError("configuration entry: expected three lists")
    return parse(parts[0], parts[1], parts[2])


def parse(voters: object, outgoing: object, learners: object) -> Membership:
    """Check and build a configuration from three lists of ids."""
    membership = Membership(_ids(voters), _ids(outgoing), _ids(learners))
    if not membership.voters:
        raise RemoteProtocolError("configuration: expected at least one voter")
    if any(id in membership.voters for id in membership.learners):
        raise RemoteProtocolError("configuration: a learner votes")
    return membership


def _ids(value: object) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or not all(isinstance(id, str) for id in value):
        raise RemoteProtocolError("configuration: expected a list of ids")
    ids: tuple[str, ...] = tuple(value)
    if ids != tuple(sorted(dict.fromkeys(ids))):
        raise RemoteProtocolError("configuration: ids are sorted and distinct")
    return ids


class History:
    """The configurations in a log with their indexes, oldest first; the newest is in force (section 6)."""

    __slots__ = ("items",)

    def __init__(self, index: int, membership: Membership | None) -> None:
        self.items: list[tuple[int, Membership]] = [] if membership is None else [(index, membership)]

    @property
    def latest(self) -> tuple[int, Membership | None]:
        """The newest configuration and where it stands."""
        return self.items[-1] if self.items else (0, None)

    def at(self, index: int) -> Membership | None:
        """Return the configuration in force once the log up to `index` is committed."""
        return self.item_at(index)[1]

    def item_at(self, index: int) -> tuple[int, Membership | None]:
        """Return that configuration, and where it stands."""
        for item in reversed(self.items):
            if item[0] <= index:
                return item
        return 0, None

    def add(self, index: int, membership: Membership) -> None:
        """Take up the configuration entry at `index`."""
        assert not self.items or index > self.items[-1][0]
        self.items.append((index, membership))

    def truncate(self, first: int) -> bool:
        """Forget configurations at `first` and after it; say whether there were any."""
        count = len(self.items)
        while self.items and self.items[-1][0] >= first:
            self.items.pop()
        return len(self.items) != count

    def compact(self, index: int) -> None:
        """Forget configurations that were replaced at or before `index`."""
        while len(self.items) > 1 and self.items[1][0] <= index:
            del self.items[0]
