"""What the control leader proposes besides verdicts: moves for balance, and the end of members. Pure (ADR 0036, 0037).

Everything is read from the applied state, so whoever leads next goes on where the one before stopped. What is proposed
twice changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import Sequence

from casty.cluster.control.balance import left_to_move, next_move
from casty.cluster.control.machine import FORGET, PLACE, ControlMachine, MemberRow
from casty.cluster.control.placement import control_size, group_size, odd

__all__ = [
    "FORGOTTEN_AFTER", "MOVES_AT_ONCE", "forget_entry", "has_nothing", "is_calm", "is_replaced", "moving",
    "place_entry", "places_to_move",
]  # fmt: skip

MOVES_AT_ONCE = 4
"""Slots that may be on their way while another is moved for balance: each takes a copy of its state."""

FORGOTTEN_AFTER = 6
"""Silence, in `down_after_s`, after which a member is removed whose place others have taken."""


def moving(machine: ControlMachine) -> list[int]:
    """Return the slots whose replicas are not where they should be, as far as their leaders told."""
    return [slot for slot, row in enumerate(machine.slots) if row.is_moving]


def is_calm(machine: ControlMachine) -> bool:
    """Whether everybody is there who has a place or may take one: nothing moves for balance before."""
    for row in machine.members.values():
        if row.status == "up":
            if row.is_silent:
                return False
        elif (row.is_counted and (row.stays or machine.has_replica(row.node_id))) or row.status == "leaving":
            return False
    return True


def place_entry(machine: ControlMachine) -> list[object] | None:
    """Return the next move for balance; None where none is needed, or enough are under way."""
    if len(moving(machine)) >= MOVES_AT_ONCE:
        return None
    for role, slots in machine.slots_by_role().items():
        targets = [machine.slots[slot].target for slot in slots]
        move = next_move(targets, sorted(machine.candidates(role)), machine.traits)
        if move is not None:
            slot = slots[move.slot]
            return [PLACE, slot, machine.slots[slot].epoch, move.leaves, move.comes]
    return None


def places_to_move(machine: ControlMachine) -> int:
    """Return how many places are to go to others: those on their way, and those to move for balance, at the least."""
    under_way = sum(
        sum(node not in row.held for node in row.target) for row in machine.slots if row.is_moving
    )
    left = [
        left_to_move(
            [machine.slots[slot].target for slot in slots], sorted(machine.candidates(role)), machine.traits
        )
        for role, slots in machine.slots_by_role().items()
    ]
    return under_way + sum(left)


def has_nothing(machine: ControlMachine, row: MemberRow, voters: Sequence[str]) -> bool:
    """Whether no configuration that is known names a member, as a voter.

    Parameters
    ----------
    voters
        The node ids that vote in the control group, in any configuration that may be in force.
    """
    return row.node_id not in voters and not machine.has_replica(row.node_id)


def is_replaced(machine: ControlMachine, row: MemberRow, voters: Sequence[str]) -> bool:
    """Whether a member that is down has lost nothing but its name: no group becomes smaller without it."""
    left = machine.counted - row.is_counted
    return (
        row.status == "down"
        and has_nothing(machine, row, voters)
        and odd(len(voters)) <= control_size(left)
        and all(odd(len(slot.target)) <= _size_without(machine, row, slot.role) for slot in machine.slots)
    )


def _size_without(machine: ControlMachine, row: MemberRow, role: str | None) -> int:
    """Return how large a slot of a role is once a member does not count any more."""
    counted = [one for one in machine.members.values() if one.is_counted and one.may_have(role)]
    return group_size(machine.replication, len(counted) - (row in counted))


def forget_entry(machine: ControlMachine, voters: Sequence[str]) -> list[object] | None:
    """Return the entry that drops the row of a removed member; None where all of them are named yet."""
    for row in machine.members.values():
        if row.status == "removed" and row.was_up and has_nothing(machine, row, voters):
            return [FORGET, row.node_id, row.incarnation]
    return None
