"""How the entities of a slot come to rest before another node leads it.

States of one hand-over, for each slot; `HandOver` is a value, the host acts on what it says::

    busy first  --those that were busy when it began are gone-->      closing
    closing     --all are gone-->                                     closed: the slot may move

*Busy first*: an entity in the middle of a message is told to stop behind its mail, and gets no new mail; the others
are served as before. So a long handler holds up nobody but its own entity. *Closing*: all are told to stop behind
their mail, and messages from elsewhere wait; entities of the slot may still ask each other, as one of them may need
the answer to come to its end. Either state is bounded: after `DRAIN_NS` the handlers of those that are left are
cancelled, with one line in the log, and after it once more they may not act any more, hooks included.
"""

from __future__ import annotations

from collections.abc import Sequence

from casty.config import SECOND_NS

__all__ = ["DRAIN_NS", "HAND_OVER_NS", "HandOver"]

HAND_OVER_NS = 2 * SECOND_NS
"""How long after the last word about a hand-over a slot that is still led here takes messages again."""

DRAIN_NS = SECOND_NS
"""What entities have to come to their end before they are cancelled, and what cancelled ones have to clean up."""


class HandOver:
    """One hand-over of a slot.

    Attributes
    ----------
    first
        What was busy when it began.
    is_closing
        Whether messages from elsewhere wait.
    forces
        How often those that are left were forced in this state.
    """

    __slots__ = ("_since_ns", "_until_ns", "first", "forces", "is_closing")

    def __init__(self, now_ns: int, first: Sequence[object] = ()) -> None:
        self.first = first
        self.is_closing = False
        self.forces = 0
        self._since_ns = now_ns
        self._until_ns = now_ns + HAND_OVER_NS

    def is_on(self, now_ns: int) -> bool:
        """Whether it was asked for lately."""
        return now_ns < self._until_ns

    def asked(self, now_ns: int) -> None:
        """It is asked for again."""
        self._until_ns = now_ns + HAND_OVER_NS

    def close(self, now_ns: int) -> None:
        """Those that were busy are gone: close."""
        assert not self.is_closing
        self.is_closing = True
        self.forces = 0
        self._since_ns = now_ns

    def is_due(self, now_ns: int) -> bool:
        """Whether those that are left are to be forced, once more, now."""
        if now_ns - self._since_ns < (self.forces + 1) * DRAIN_NS:
            return False
        self.forces += 1
        return True
