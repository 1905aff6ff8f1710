"""What a plan has of little memory: budgets near what nodes use, and queues of large items that fill and empty them.

The usual values are so small that sessions and logs use most of a budget; only large items show that a full node can
be emptied and opens again by itself. In the scenario ``memory`` nothing else is wrong, so nothing but refusals for
memory may come of it; in half of its runs replicas also fail for want of memory, one node's at a time, and for those
that fail over a state one node is cut off from the others until it needs one.
"""

from __future__ import annotations

from ..fault_kinds import ALLOCATING
from ..plan import FaultEvent, PlannedOperation
from .dice import MIN_FOR_CRASH, SECOND_US, Cast, Dice

__all__ = ["LARGE", "MEMORY_ARGUMENTS", "Little", "duration_us"]

LARGE = "queue-large"
"""The names of queues of large items begin so."""

MEMORY_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "queue.fill": ("value", "count", "timeout_ms"),
    "queue.empty": ("timeout_ms",),
}
"""Kind of operation -> its arguments."""

_PERCENTS = (30, 85, 95, 100, 105, 120, 150, 200)
"""Of what a node uses: below 94 it is exhausted at once, above 100 only what comes makes it full."""
_LEAST_MS = 1_100
"""A node measures once a second; what is over before that is never seen."""
_MOST_MS = 7_000
_ARMED_US = 3_000_000
"""So long a replica may fail."""
_FILLS = 6
_LARGEST_FILL = 25


def duration_us(dice: Dice, family: str, number: int) -> int:
    """Draw how long it lasts."""
    return 1000 * dice.between(f"{family}-for", number, _LEAST_MS, _MOST_MS)


class Little:
    """The drawing of it.

    Parameters
    ----------
    dice, cast
        The plan's.
    """

    def __init__(self, dice: Dice, cast: Cast) -> None:
        self._dice = dice
        self._cast = cast

    def fault(self, family: str, number: int) -> FaultEvent:
        """Draw one fault: of all nodes, or of one."""
        dice, nodes = self._dice, self._cast.nodes
        at_us = dice.between(f"{family}-at", number, 0, self._cast.duration_us * 9 // 10)
        is_for_all = dice.one_in(f"{family}-all", number, 2)
        targets = tuple(nodes) if is_for_all else (dice.choice(f"{family}-who", number, nodes),)
        args = {"percent": dice.choice(f"{family}-percent", number, _PERCENTS)}
        return FaultEvent(at_us, family, targets, duration_us(dice, family, number), args)

    def faults(self) -> list[FaultEvent]:
        """Draw the faults of the scenario ``memory``; in half of its runs the whole run has one small budget."""
        count = self._dice.between("memory-count", 0, 1, 4)
        faults = [self.fault("memory", number) for number in range(count)]
        if self._dice.is_on("memory", "whole run"):
            at_us = self._dice.between("memory-whole-at", 0, 0, SECOND_US)
            args = {"percent": self._dice.between("memory-whole", 0, 110, 400)}
            faults.append(FaultEvent(at_us, "memory", tuple(self._cast.nodes), self._cast.duration_us, args))
        if len(self._cast.nodes) >= MIN_FOR_CRASH and self._dice.is_on("memory", "allocations"):
            for number in range(self._dice.between("allocation-count", 0, 1, 4)):
                faults += self._allocation(number)
        return faults

    def _allocation(self, number: int) -> list[FaultEvent]:
        """Draw a replica that fails; for want of memory for a state, which somebody needs who was away."""
        dice, duration_us = self._dice, self._cast.duration_us
        at_us = dice.between("allocation-at", number, 0, duration_us * 8 // 10)
        what = dice.between("allocation-what", number, 0, len(ALLOCATING) - 1)
        laggard, *others = dice.shuffled("allocation-who", number, self._cast.nodes)
        target = others[0] if ALLOCATING[what] == "dump" else laggard
        fault = FaultEvent(at_us, "allocation", (target,), _ARMED_US, {"at": what}, after_ready=True)
        if ALLOCATING[what] not in ("dump", "restore"):
            return [fault]
        cuts = [FaultEvent(at_us, "link_loss", (laggard, other), _ARMED_US // 2) for other in others]
        return [*cuts, fault]

    def operations(self) -> list[PlannedOperation]:
        """Draw who fills and who empties; half of the runs with everything in them have that."""
        scenario = self._dice.scenario
        if scenario != "memory" and not (scenario == "mixed" and self._dice.is_on("more", "large")):
            return []
        count = max(2, _FILLS * self._cast.duration_us // (12 * SECOND_US))
        return [self._operation(kind, number) for kind in MEMORY_ARGUMENTS for number in range(count)]

    def _operation(self, kind: str, number: int) -> PlannedOperation:
        dice = self._dice
        at_us = dice.between(f"{kind}-at", number, 0, self._cast.duration_us)
        entity = f"{LARGE}-{dice.between(f'{kind}-name', number, 1, 2)}"
        client = dice.choice(f"{kind}-client", number, self._cast.clients)
        args: dict[str, int | str | bool | None] = {"timeout_ms": 3000}
        if kind == "queue.fill":
            count = dice.between(f"{kind}-count", number, 1, _LARGEST_FILL)
            args |= {"value": 1_000 * (number + 1), "count": count}
        return PlannedOperation(at_us, client, kind, entity, args)
