"""Replicas whose place went to others: they ask their group, and go on its committed word. One per process (ADR 0036).

A target is no reason to delete a replica: it may be one of those that make the majority by which the target is reached.
So a process whose node the target does not name asks whoever leads the slot, or the members of the group that it knows,
for the newest committed configuration. Anybody's word is good: what is committed is committed.

``REMOVED`` body: ``[[group, epoch], ...]``. ``REMOVED_ACK`` body: ``[[group, epoch, index, members], ...]``, where
`index` is where the configuration stands and `members` are its replicas, learners included; groups of which the asked
process knows no committed configuration, or a joint one, are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from casty.address import process_of
from casty.cluster.control.machine import ControlMachine, SlotRow
from casty.cluster.control.replica import CONTROL
from casty.cluster.multiraft.host import Group, Host, Send
from casty.cluster.multiraft.numbers import slot_of
from casty.config import SECOND_NS
from casty.errors import RemoteProtocolError
from casty.limits import MAX_POOL_SLOTS, MAX_POOLS
from casty.wire import frames
from casty.wire.pack import pack, unpack

__all__ = ["ASK_NS", "Vacated"]

ASK_NS = SECOND_NS
MAX_ROWS = 4096 + MAX_POOLS * MAX_POOL_SLOTS
"""Groups in one question: more than there may be slots is no question."""


class Vacated:
    """The replicas of one process that may have to go.

    Parameters
    ----------
    host
        The groups.
    node_id
        This node's.
    send
        Stages a frame for the process that takes part under a key.
    leader_of
        Returns the key of whoever leads a slot, if that is known.
    drop
        Told of a slot whose replica is gone, and its place with it.
    note
        Takes a line for the log.
    """

    def __init__(
        self,
        host: Host,
        node_id: str,
        send: Send,
        leader_of: Callable[[int], str | None],
        drop: Callable[[int], object],
        note: Callable[[str], object],
    ) -> None:
        self._host = host
        self._node_id = node_id
        self._send = send
        self._leader_of = leader_of
        self._drop = drop
        self._note = note
        self._machine: ControlMachine | None = None
        self._asked_ns = 0

    def tick(self, now_ns: int, machine: ControlMachine) -> bool:
        """Every heartbeat: let go of what is known to have no place, and ask about the rest, once a second.

        Whether a replica went in whose place another group began, of which this node may be to have one.
        """
        self._machine = machine
        if now_ns - self._asked_ns < ASK_NS:
            return False
        self._asked_ns = now_ns
        asked: dict[str, list[list[int]]] = {}
        gone = replaced = 0
        for group in list(self._host.groups.values()):
            if self._is_of_the_past(group):
                self._remove(group)
                replaced += 1
                continue
            if not self._is_unwanted(group):
                continue
            index, membership = group.core.history.item_at(group.core.commit)
            if (
                membership is not None
                and not membership.outgoing
                and self._end(group, index, membership.members)
            ):
                gone += 1
                continue
            for key in self._whom(group):
                asked.setdefault(key, []).append([group.number, group.epoch])
        for key, rows in asked.items():
            self._send(key, frames.REMOVED, pack(rows))
        self._say(gone)
        return replaced > 0

    def _is_of_the_past(self, group: Group) -> bool:
        """Whether the slot began elsewhere under a later epoch: this group answered nobody (ADR 0048)."""
        row = self._row_of(group)
        return row is not None and group.epoch < row.epoch

    def _is_unwanted(self, group: Group) -> bool:
        row = self._row_of(group)
        if row is None or group.is_leading:
            return False
        return row.epoch == group.epoch and self._node_id not in row.target

    def _row_of(self, group: Group) -> SlotRow | None:
        """Return what is known of a slot; None of the control group, and where the control state is behind."""
        machine, slot = self._machine, slot_of(group.number)
        if group.number == CONTROL or machine is None or slot >= len(machine.slots):
            return None
        return machine.slots[slot]

    def _whom(self, group: Group) -> list[str]:
        leader = self._leader_of(slot_of(group.number))
        if leader is not None:
            return [leader]
        return list(dict.fromkeys(map(process_of, group.core.peers)))

    def on_question(self, sender: str, body: bytes) -> None:
        """Say what the groups of a question have committed."""
        rows = _rows(body, 2)
        answers: list[list[object]] = []
        for number, epoch in rows:
            group = self._host.groups.get(number) if type(number) is int else None
            if group is None or group.epoch != epoch:
                continue
            index, membership = group.core.history.item_at(group.core.commit)
            if membership is not None and not membership.outgoing:
                answers.append([number, epoch, index, list(membership.members)])
        if answers:
            self._send(sender, frames.REMOVED_ACK, pack(answers))

    def on_answer(self, body: bytes) -> None:
        """Let the replicas go that a committed configuration does not name."""
        gone = 0
        for number, epoch, index, members in _rows(body, 4):
            if type(number) is not int or type(index) is not int or not isinstance(members, list):
                raise RemoteProtocolError("places: expected [group, epoch, index, members] rows")
            group = self._host.groups.get(number)
            if group is not None and group.epoch == epoch and self._is_unwanted(group):
                gone += self._end(group, index, tuple(members))
        self._say(gone)

    def _end(self, group: Group, index: int, members: tuple[object, ...]) -> bool:
        """Delete a replica if a committed configuration that is not older than its own newest does not name it."""
        if group.core.id in members or index < group.core.membership_index:
            return False
        self._remove(group)
        return True

    def _remove(self, group: Group) -> None:
        self._host.remove(group.number)
        group.replica.close()
        self._drop(slot_of(group.number))

    def _say(self, gone: int) -> None:
        if gone:
            self._note(f"{gone} of its replicas have gone to other nodes")


def _rows(body: bytes, fields: int) -> list[list[Any]]:
    rows: Any = unpack(body)
    if (
        not isinstance(rows, list)
        or len(rows) > MAX_ROWS
        or not all(isinstance(row, list) and len(row) == fields for row in rows)
    ):
        raise RemoteProtocolError(f"places: expected at most {MAX_ROWS} rows of {fields}")
    return rows
