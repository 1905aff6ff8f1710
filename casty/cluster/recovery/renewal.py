"""The state of a slot as it begins in a new generation. Pure.

What changes, and why:

- All sessions end. Their clients were told of another cluster id and other epochs: no number of theirs is known here.
  What they held is free, what waited is gone. Nothing that was held is revived. A reserved item of a queue is free when
  the session that stands for all former holders ends: who reserved it may believe so for as long as any holder may.
- The generation of its tokens is raised above every one that the former generation can have granted, lost or not.
- The slot is *closed*: a session that stands for all former holders is put in (`FORMER`), and while it is there no lock
  or permit is granted. It ends one time to live after somebody began to lead the slot: by then every client that could
  not reach the former generation knows that its holds are lost. That covers also the grants that were lost.
- What is on record in a journal goes, where the state may lack what the journal has: the journal is what counts, and
  whoever uses the entity next restores it from there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from casty.cluster.slots.machine import FORMER, SlotMachine
from casty.cluster.slots.questions import is_held
from casty.cluster.slots.schema import EXPIRE
from casty.cluster.slots.session_record import EntityKey, SlotSession
from casty.distributed.machines.base import QUEUE, QUEUED, RECORD
from casty.errors import RecoveryError
from casty.limits import MAX_GENERATION
from casty.wire.pack import pack

__all__ = ["Renewed", "renew"]


@dataclass(frozen=True, slots=True)
class Renewed:
    """What became of a slot: how many entities there are, and what was not taken over."""

    entities: int = 0
    sessions: int = 0
    holds: int = 0
    """Locks and permits that were held, and are free."""
    waiting: int = 0
    """Calls that waited, and are gone."""
    on_record: int = 0
    """Entities that are left to their journal."""

    def __add__(self, other: Renewed) -> Renewed:
        return Renewed(*[getattr(self, field.name) + getattr(other, field.name) for field in fields(Renewed)])


def renew(
    machine: SlotMachine, generation: int, mark: bytes, *, is_whole: bool, usual_ms: int, longest_ms: int
) -> Renewed:
    """Change a state that nobody else has; returns what became of it.

    Parameters
    ----------
    machine
        The state of one slot.
    generation
        Of the new cluster.
    mark
        Random bytes that nobody can name: the proof of the session that closes the slot.
    is_whole
        Whether the state has everything that was acknowledged, so also all that a journal has.
    usual_ms, longest_ms
        The time to live of sessions, and the longest that a client may have asked for: a session that is lost with
        other entries may have had it, and its client may believe in its holds for so long.

    Raises
    ------
    RecoveryError
        There is no higher generation.
    """
    closed_before = machine.sessions.get(FORMER)
    reserved = _take_reservations(machine)
    sessions = {number: session for number, session in machine.sessions.items() if number != FORMER}
    held = [is_held(machine, number, seq) for number, session in sessions.items() for seq in session.waits]
    for number in list(machine.sessions):
        _end(machine, number)
    on_record = 0 if is_whole else _leave_to_journal(machine)
    raised = max(generation, machine.numbers[0] + 1)
    if raised > MAX_GENERATION:
        raise RecoveryError(f"expected a generation of at most {MAX_GENERATION}, found {raised}")
    machine.raise_generation(raised)
    # One that is closed yet may be so for clients of an earlier generation than the sessions here are of.
    closed = [*sessions.values(), *([] if closed_before is None else [closed_before])]
    closed_ms = closed_for_ms(closed, longest_ms, is_whole=is_whole)
    former = SlotSession(mark, b"", closed_ms if closed_ms > usual_ms else 0)
    # What is left to its journal is free when it is restored, as after the loss of all memory.
    former.waits = {seq: key for seq, key in reserved.items() if key in machine.entities}
    former.entities = dict.fromkeys(former.waits.values())
    machine.sessions[FORMER], machine.attempts[mark] = former, FORMER
    return Renewed(len(machine.entities), len(sessions), sum(held), len(held) - sum(held), on_record)


def closed_for_ms(sessions: Iterable[SlotSession], longest_ms: int, *, is_whole: bool) -> int:
    """Return how long some client may believe in a hold of the former generation; 0 is the usual time to live."""
    return max((session.ttl_ms for session in sessions), default=0) if is_whole else longest_ms


def _take_reservations(machine: SlotMachine) -> dict[int, EntityKey]:
    """Give all reservations to the session that stands for former holders; return their numbers there.

    One that stood for them in an earlier recovery has nothing else, and is gone then.
    """
    before = machine.sessions.get(FORMER)
    if before is not None and before.over:
        _end(machine, FORMER)  # it has begun to give back: that goes on
        before = None
    first = 1 + (0 if before is None else max(before.waits, default=0))
    taken: dict[int, EntityKey] = {}
    for number, session in machine.sessions.items():
        for seq, key in list(session.waits.items()):
            if key[0] == QUEUE and is_held(machine, number, seq):
                machine.touch(key)
                machine.entities[key].hand_over((number, seq), (FORMER, first + len(taken)))
                taken[first + len(taken)] = session.waits.pop(seq)
    if before is not None:
        del machine.sessions[FORMER], machine.attempts[before.attempt]
    return taken


def _end(machine: SlotMachine, number: int) -> None:
    entry = pack([EXPIRE, number])
    while machine.apply(0, entry).reply[0] == QUEUED:
        assert number in machine.sessions, "only of a session that is there something may be left"


def _leave_to_journal(machine: SlotMachine) -> int:
    count = 0
    for key in [key for key in machine.entities if key[0] == RECORD]:
        record = machine.entities[key]
        if record.is_live or not record.had_state:
            # Else it was there before anybody put it on record, and the journal has nothing of it yet.
            name = key[1]
            machine.change((name[0], name[1:]), None)
            count += 1
        machine.change(key, None)
    return count
