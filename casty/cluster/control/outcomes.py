"""What the control state answers to an entry, and what its generations count by. Pure."""

from __future__ import annotations

__all__ = ["CONTRADICTS", "DONE", "MALFORMED", "NOT_ON_TOP", "TOO_MANY", "first_epoch"]

DONE, CONTRADICTS = 0, 2
"""The reply to what was written, or was so before; and to what contradicts it: what, the recorded value, the given."""

NOT_ON_TOP = 3
"""The reply to an announcement whose predecessor is not what is recorded."""

MALFORMED = 4
"""The reply to an entry that fits no schema: it changed nothing, on no replica."""

TOO_MANY = 5
"""The reply to what exceeds a limit: it is followed by the limit's name, its value, and what there is."""

EPOCH_BITS = 20
"""How often a slot can begin anew within a generation."""


def first_epoch(generation: int) -> int:
    """Return the epoch of a generation's first slots.

    No generation repeats another's epochs: a client whose topology is of one that is lost would else be taken, by
    the numbers of its sessions, for somebody else's client.
    """
    return (generation << EPOCH_BITS) + 1
