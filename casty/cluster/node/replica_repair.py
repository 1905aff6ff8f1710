"""Replicas that failed here, and how their places are filled again. One per process.

A replica that raised is gone at once (`multiraft/host.py`): it may have applied half an entry, and nothing that it
would say or store can be trusted. Its place is filled from the other replicas, like that of a process that died - as a
*new member*: what it voted and acknowledged is forgotten, so it must never vote or acknowledge under the same name
again.

States of a group on one process, and what leads from one to the next::

    sound --an exception--> failed --back-off--> blank, named ``key~n`` --announced--> learner --caught up--> voter

- ``n`` counts the replicas that this process began anew; it stands in every message on both ends, so a late answer of
  the former replica is credited to nobody, and a message meant for it is dropped.
- The blank replica tells the group's members its name, once a second until a committed configuration has it.
  Lost, doubled or late does not matter: they keep the highest number. Whoever leads walks the group from ``key`` to
  ``key~n``, as from a dead process to its successor: learner, snapshot, joint change.
- A replica that fails again and again waits twice as long each time, up to a minute. What fails on every node alike
  leaves the slot without a majority: it then waits for an operator, as if all its processes had died.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from casty.cluster.control.machine import ControlMachine
from casty.cluster.control.replica import CONTROL
from casty.cluster.multiraft.host import Group, Host
from casty.cluster.multiraft.numbers import slot_of
from casty.config import SECOND_NS

__all__ = ["Refills"]

LONGEST_NS = 60 * SECOND_NS
FORGIVEN_NS = 600 * SECOND_NS
"""After so long without a failure the back-off begins anew."""
ANNOUNCE_NS = SECOND_NS
POSTPONED_NS = 2 * SECOND_NS
"""So often a disk that is full is looked at again."""

Refill = Callable[[int, int, int], object]
"""Makes the blank replica of (group number, epoch, replica number)."""


class Failure(NamedTuple):
    """The last failure of one group's replica here."""

    epoch: int
    failures: int
    """So many in a row."""
    reason: str
    failed_ns: int
    due_ns: int
    is_lost: bool = False
    """Whether the disk has lost it."""


class Refills:
    """The failed replicas of one process.

    Parameters
    ----------
    host
        The groups.
    me, node_id
        Under which key this process takes part in groups, and its node.
    refill
        Makes a blank replica, or loads the one that the disk has.
    linked
        Returns under which keys the nodes that are linked with take part, for one that knows no members.
    is_stored
        Whether the disk has what fills the place of a group.
    """

    def __init__(
        self,
        host: Host,
        me: str,
        node_id: str,
        refill: Refill,
        linked: Callable[[], Iterable[str]],
        is_stored: Callable[[int], bool],
    ) -> None:
        self._host = host
        self._me = me
        self._node_id = node_id
        self._refill = refill
        self._linked = linked
        self._is_stored = is_stored
        self._failures: dict[int, Failure] = {}
        """By group number, so never more than there are groups; the last failure of each that has a place here."""
        self._announced_ns = 0

    def failed(self, group: Group, error: Exception, now_ns: int) -> None:
        """Take it that a replica failed, and when its place is to be filled."""
        known = self._failures.get(group.number)
        is_again = known is not None and now_ns - known.failed_ns < FORGIVEN_NS
        count = known.failures + 1 if known is not None and is_again else 1
        wait_ns = min(SECOND_NS << min(count - 1, 30), LONGEST_NS)
        self._failures[group.number] = Failure(
            group.epoch, count, f"{type(error).__name__}: {error}", now_ns, now_ns + wait_ns
        )  # fmt: skip

    def postponed(self, number: int, reason: str, now_ns: int) -> None:
        """What should have filled a place did not come about either."""
        self._failures[number] = self._failures[number]._replace(
            reason=reason, failed_ns=now_ns, due_ns=now_ns + POSTPONED_NS
        )

    def lost(self, number: int, epoch: int, replica_number: int, reason: str, now_ns: int) -> None:
        """The disk has lost what a replica held: its place is to be filled by another one, at once."""
        known = self._failures.get(number)
        count = 1 if known is None else known.failures
        self._host.note_ended(number, epoch, replica_number)
        self._failures[number] = Failure(epoch, count, reason, now_ns, now_ns, True)

    def moved(self, number: int) -> None:
        """The group's place here went to another node: what failed in it before is no reason to fill it again."""
        self._failures.pop(number, None)

    def is_lost(self, number: int) -> bool:
        """Whether the disk has nothing that could fill the group's place."""
        return number in self._failures and self._failures[number].is_lost

    def is_failed(self, number: int) -> bool:
        """Whether the group's place here is empty because its replica failed."""
        return number in self._failures and number not in self._host.groups

    def reason(self, number: int) -> str | None:
        """Return why the group has no replica here; None when that is no failure."""
        return self._failures[number].reason if self.is_failed(number) else None

    @property
    def texts(self) -> list[str]:
        """What failed here and is not filled again, in words."""
        return [
            f"{_what(number)}: this node's replica failed ({failure.reason}) and is filled again from the others"
            for number, failure in self._failures.items()
            if self.is_failed(number) or self._is_blank(number)
        ]

    def _is_blank(self, number: int) -> bool:
        """Whether a new replica is there and nobody has told it anything yet: it may be that nobody is left who can."""
        group = self._host.groups.get(number)
        return group is not None and group.core.membership is None

    def tick(self, now_ns: int, machine: ControlMachine) -> None:
        """Every heartbeat: begin what is due, and announce what no configuration has yet."""
        for number, failure in list(self._failures.items()):
            if not self.is_failed(number):
                continue
            if not self._is_wanted(number, failure, machine):
                del self._failures[number]
            elif now_ns >= failure.due_ns:
                self._refill(number, failure.epoch, self._host.next_number(number, failure.epoch))
        if now_ns - self._announced_ns >= ANNOUNCE_NS:
            self._announced_ns = now_ns
            for group in self._host.groups.values():
                if group.replica_number:
                    self._announce(group, machine)

    def _is_wanted(self, number: int, failure: Failure, machine: ControlMachine) -> bool:
        if number == CONTROL or not machine.is_founded:
            return True
        row = machine.slots[slot_of(number)]
        # One that is to go elsewhere is needed until it is there: its vote counts, and maybe nobody else has the state.
        return row.epoch == failure.epoch and (self._node_id in row.target or self._is_stored(number))

    def _announce(self, group: Group, machine: ControlMachine) -> None:
        if not group.is_kept:
            return
        # One that is not committed may be written over, and the next leader was maybe never told.
        membership = group.core.committed_membership
        if membership is None or group.core.id not in membership.members:
            members = [row.replica_id for row in machine.members.values()] or self._linked()
            for replica_id in members:
                if replica_id != self._me:
                    self._host.announce(group, replica_id)


def _what(number: int) -> str:
    return f"slot {slot_of(number)}" if number else "the control group"
