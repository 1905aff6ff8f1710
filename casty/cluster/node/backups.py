"""Hands the state of slots to whoever makes a backup, part by part, while everything goes on. One per process.

``BACKUP`` body, of a link of the role ``status`` only: ``[slot, number]``. Number 0 begins a dump of that slot, n asks
for its part n; a slot below zero asks what cluster this is. ``BACKUP_REPLY``::

    [slot, number, epoch, index, term, data, is_last]   one part; all parts of a dump are of that one index
    [slot, number, text]                                why there is none: ask again, maybe elsewhere, from 0 on
    [-1, 0, document]                                   see `casty.cluster.recovery.backup_file`

Which slots there are the leader of the control group says, when nobody else can lead it: another node may not know yet
of a role's slots, in which something was acknowledged already.

Only the leader of a slot dumps it, when nobody else can lead and its machine has everything that earlier leaders
granted: so what was acknowledged before the first question is in the backup. A part is asked for when the one before is
there, so at most one is on its way. Lost with its link, a dump is over; a question that is repeated, or comes out of
order, gets a text. A dump that nobody asks on with is over after `IDLE_NS`: it keeps alive what was removed meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from casty.cluster.control.machine import ControlMachine
from casty.cluster.multiraft.host import Group, Host
from casty.cluster.multiraft.numbers import CONTROL, group_of
from casty.cluster.slots.dump import SlotDump
from casty.config import SECOND_NS
from casty.errors import RemoteProtocolError
from casty.ports import Clock, Timer
from casty.wire import frames
from casty.wire.pack import pack, unpack

__all__ = ["Backups", "Outbound", "Slot"]

AT_ONCE = 4
"""Dumps that may be under way for backups."""
IDLE_NS = 30 * SECOND_NS
WHOLE_CLUSTER = -1


class Outbound(Protocol):
    """A link."""

    @property
    def is_open(self) -> bool:
        """Whether anything can be sent."""
        ...

    def send(self, kind: int, body: bytes) -> bool:
        """Stage a frame."""
        ...


class Slot(Protocol):
    """What is asked of a slot's replica."""

    def may_speak(self, group: Group) -> bool:
        """Whether it leads, and nobody else can, and it has all that was acknowledged."""
        ...

    def begin_dump(self) -> SlotDump:
        """Begin to dump the present state."""
        ...


class _Running(NamedTuple):
    slot: int
    epoch: int
    at: int
    term: int
    led_term: int
    dump: SlotDump
    next_part: int
    asked_ns: int


class Backups:
    """The dumps for backups of one process.

    Parameters
    ----------
    clock
        Tells when a dump was left alone.
    machine
        What is known of the cluster.
    host, slots
        The groups, and the replicas of slots by slot.

    Bounds: `_running` has `AT_ONCE` rows, one a link at most.
    """

    def __init__(self, clock: Clock, machine: ControlMachine, host: Host, slots: Mapping[int, Slot]) -> None:
        self._clock = clock
        self._machine = machine
        self._host = host
        self._slots = slots
        self._running: dict[Outbound, _Running] = {}
        self._timer: Timer | None = None

    def on_question(self, link: Outbound, body: bytes) -> None:
        """Take a question; raises `RemoteProtocolError` for what is none."""
        row = unpack(body)
        if not isinstance(row, list) or [type(field) for field in row] != [int, int]:
            raise RemoteProtocolError("backup: expected [slot, number of the part]")
        slot, number = row
        assert isinstance(slot, int) and isinstance(number, int), "looked at above"
        link.send(frames.BACKUP_REPLY, pack([slot, number, *self._answer(link, slot, number)]))

    def _answer(self, link: Outbound, slot: int, number: int) -> list[Any]:
        if slot < 0:
            return [self._describe()]
        if number == 0:
            text = self._begin(link, slot)
            if text is not None:
                return [text]
        running = self._running.get(link)
        if running is None or (running.slot, running.next_part) != (slot, number):
            return [f"no dump of slot {slot} has part {number} next; begin with part 0"]
        group = self._host.groups.get(group_of(slot))
        if group is None or not group.is_leading or group.core.term != running.led_term:
            # Who leads in one term takes no other state in; who does not may have, in the middle of the dump.
            self._end(link)
            return ["the leadership is over; ask the slot's leader, from part 0 on"]
        data, is_last = running.dump.next_part()
        self._running[link] = running._replace(next_part=number + 1, asked_ns=self._clock.now())
        if is_last:
            self._end(link)
        return [running.epoch, running.at, running.term, data, is_last]

    def _describe(self) -> dict[str, object] | str:
        machine, group = self._machine, self._host.groups.get(CONTROL)
        if not machine.is_founded:
            return "this node is of no cluster yet"
        if group is None or not _knows_all(group, self._clock.now()):
            return "this node does not lead the control group, or is not sure of it; ask its leader"
        taken_over = {key: rows for key, rows in machine.taken_over.items() if rows}
        blank = [slot for slot, row in enumerate(machine.slots) if not row.has_begun]
        return {
            **taken_over,
            **({"blank": blank} if blank else {}),
            "name": machine.name,
            "cluster_id": machine.cluster_id,
            "generation": machine.generation,
            "slots": machine.shared_slots,
            "replication": machine.replication,
            "settings": machine.settings,
        }

    def _begin(self, link: Outbound, slot: int) -> str | None:
        """Begin a dump in the place of the link's former one; returns why that is not possible."""
        self._end(link)
        self._drop_idle()
        group, replica = self._host.groups.get(group_of(slot)), self._slots.get(slot)
        if group is None or replica is None or not replica.may_speak(group):
            return f"this node does not lead slot {slot}, or is not sure of it; ask its leader"
        if len(self._running) >= AT_ONCE:
            return f"{AT_ONCE} backups are under way on this node; ask again"
        index = group.applied_index
        self._running[link] = _Running(
            slot, group.epoch, index, group.core.log.term_at(index), group.core.term, replica.begin_dump(), 0,
            self._clock.now(),
        )  # fmt: skip
        if self._timer is None:
            self._timer = self._clock.call_at(self._clock.now() + IDLE_NS, self._look)
        return None

    def _look(self) -> None:
        self._timer = None
        self._drop_idle()
        if self._running:
            self._timer = self._clock.call_at(self._clock.now() + IDLE_NS, self._look)

    def _drop_idle(self) -> None:
        since_ns = self._clock.now() - IDLE_NS
        for link, running in list(self._running.items()):
            if not link.is_open or running.asked_ns <= since_ns:
                self._end(link)

    def _end(self, link: Outbound) -> None:
        running = self._running.pop(link, None)
        if running is not None:
            running.dump.close()

    def close(self) -> None:
        """Dump nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        for link in list(self._running):
            self._end(link)


def _knows_all(group: Group, now_ns: int) -> bool:
    """Whether a replica of the control group has all that was agreed on, as it leads and nobody else can."""
    core = group.core
    return group.is_leading and group.applied_index >= core.lead_index and core.lease_until_ns() > now_ns
