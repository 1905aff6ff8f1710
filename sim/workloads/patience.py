"""How long probes wait for what a dead client has: for the rest of its session, which a new leader gives it anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.cluster.control.placement import slot_of
from casty.cluster.multiraft.numbers import group_of
from casty.distributed.machines.base import KIND_NAMES
from casty.events import LeaderElected

if TYPE_CHECKING:
    from ..kernel.trace import Trace, TraceEvent

__all__ = ["Patience"]

_KINDS = {name: kind for kind, name in KIND_NAMES.items()}


class Patience:
    """What is late, in a slot that kept its leader and in one that did not.

    Parameters
    ----------
    slots
        How many slots there are.
    within_s
        Within so long a dead client's session is over, and what it had is free.
    anew_s
        So much longer where the slot got another leader meanwhile, which counts from its election; 0 where nobody tells
        of elections.
    """

    def __init__(self, slots: int, within_s: float, anew_s: float) -> None:
        self._slots = slots
        self._within_ns = round(within_s * 1e9)
        self.most_ns = self._within_ns + round(anew_s * 1e9)
        """Nobody waits for longer."""
        self._elected_ns: dict[int, list[int]] = {}

    def follow(self, trace: Trace) -> None:
        """From now on elections count."""
        trace.subscribe(self._heard, LeaderElected)

    def _heard(self, entry: TraceEvent) -> None:
        if isinstance(entry.event, LeaderElected):
            self._elected_ns.setdefault(entry.event.group, []).append(entry.t_ns)

    def is_late(self, structure: str, entity: str, began_ns: int, ended_ns: int) -> bool:
        """Whether what was waited for took too long for a slot whose leader is the one that it began with."""
        if ended_ns - began_ns <= self._within_ns:
            return False
        group = group_of(slot_of(_KINDS[structure], entity.encode(), self._slots))
        return not any(began_ns <= at_ns <= ended_ns for at_ns in self._elected_ns.get(group, ()))
