"""Groups whose cores do what a test says, for what only looks at cores or asks them for a step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from casty.consensus import Membership

__all__ = ["ManualCore", "ManualGroup", "ManualHost", "ManualLinks", "Reached"]


class Reached(NamedTuple):
    """How far a leader knows a peer to be."""

    match: int = 1
    is_caught_up: bool = True


class ManualCore:
    """A core that takes every step it is asked for at once.

    `behind` are the peers that have not caught up; `strangers` those whose progress nobody knows.
    """

    def __init__(self, id: str, voters: Iterable[str], learners: Iterable[str] = ()) -> None:
        self.id = id
        self.leader: str | None = id
        self.membership: Membership | None = Membership(tuple(sorted(voters)), (), tuple(sorted(learners)))
        self.committed_membership = self.membership
        self.membership_index = 0
        self.term = 1
        self.commit = self.applied = self.last_index = 1
        self.leader_since_ns = 0
        self.transfer_to: str | None = None
        self.is_promotable = True
        self.refuses_transfer = False
        self.heard_ns = 0
        self.behind: dict[str, None] = {}
        self.strangers: dict[str, None] = {}
        self.changes: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        """The configurations that were asked for, but for repetitions."""
        self.transfers: list[str] = []

    def last_heard_ns(self) -> int:
        return self.heard_ns

    def progress_of(self, key: str) -> Reached | None:
        return None if key in self.strangers else Reached(is_caught_up=key not in self.behind)

    def change(self, now_ns: int, voters: tuple[str, ...], learners: tuple[str, ...]) -> bool:
        wanted = Membership(tuple(voters), (), tuple(learners))
        if self.membership != wanted:
            self.changes.append((tuple(voters), tuple(learners)))
            self.membership = self.committed_membership = wanted
            self.last_index += 1
        return False

    def transfer(self, now_ns: int, heir: str) -> bool:
        if self.refuses_transfer:
            return False
        self.transfers.append(heir)
        self.transfer_to = heir
        return True


class ManualGroup:
    """A group of one process; its replicas have the keys of their processes."""

    def __init__(self, number: int, core: ManualCore, epoch: int = 1) -> None:
        self.number = number
        self.epoch = epoch
        self.core: Any = core
        self.replica_number = 0

    @property
    def is_leading(self) -> bool:
        return bool(self.core.leader == self.core.id)

    def replica_of(self, key: str) -> str:
        return key


class ManualHost:
    """The groups of one process; `marked` are the numbers of those that have something to do."""

    def __init__(self, *groups: ManualGroup) -> None:
        self.groups: dict[int, Any] = {group.number: group for group in groups}
        self.marked: list[int] = []

    @property
    def led(self) -> dict[int, Any]:
        return {number: group for number, group in self.groups.items() if group.is_leading}

    def mark(self, group: ManualGroup) -> None:
        self.marked.append(group.number)


class ManualLinks:
    """Which processes answer; all that a test does not name as gone."""

    def __init__(self) -> None:
        self.gone: dict[str, None] = {}
        self.reasons: list[str] = []

    def troubles(self) -> list[str]:
        return self.reasons

    def has_answered(self, key: str) -> bool:
        return key not in self.gone

    def is_linked(self, key: str) -> bool:
        return key not in self.gone
