"""What a workload has of queues besides: waiting calls, reservations, dead letters, on names of their own.

Their names say which settings the queues have, so that whoever uses one says the same.
"""

from __future__ import annotations

from ..plan import PlannedOperation
from .dice import EVERYTHING, SECOND_US, Cast, Dice
from .journal import JOURNAL

__all__ = ["JOBS", "JOB_ARGUMENTS", "Jobs", "settings_of"]

Args = dict[str, int | str | bool | None]

JOBS = "queue-jobs"
"""The names of such queues begin so."""

JOB_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "queue.put": ("value", "timeout_ms"),
    "queue.get": ("timeout_ms",),
    "queue.reserve": ("timeout_ms", "hold_ms", "visible_ms", "ends", "waits"),
    "queue.requeue": (),
    "queue.dead": (),
}
"""Kind of operation -> its arguments; for those that only this module draws."""

_KINDS: tuple[tuple[str, int], ...] = (
    ("queue.enqueue", 8), ("queue.put", 6), ("queue.get", 6), ("queue.reserve", 14), ("queue.dequeue", 2),
    ("queue.peek", 1), ("queue.size", 1), ("queue.requeue", 2), ("queue.dead", 1), ("queue.destroy", 1),
)  # fmt: skip
_SETTINGS: dict[str, tuple[int | None, int | None]] = {
    "1": (None, None),
    "2": (3, 2),
    "3": (None, 2),
    "4": (5, None),
}
_ENDS = ("ack", "ack", "ack", "nack", "nack", "none")
"""How a reservation ends; the last is left to its visibility."""


def settings_of(entity: str) -> tuple[int | None, int | None]:
    """Return `maxsize` and `max_deliveries` of the queue of that name."""
    return _SETTINGS[entity[-1]] if entity.startswith(JOBS) else (None, None)


class Jobs:
    """The drawing of them; half of the seeds have any, and rarely one destroys them.

    Parameters
    ----------
    dice, cast
        The plan's.
    arguments
        Kind of operation -> its arguments; of all kinds.
    """

    def __init__(self, dice: Dice, cast: Cast, arguments: dict[str, tuple[str, ...]]) -> None:
        self._dice = dice
        self._cast = cast
        self._arguments = arguments

    def operations(self) -> list[PlannedOperation]:
        """Draw all of them."""
        dice = self._dice
        if dice.scenario not in ("queue", JOURNAL, *EVERYTHING) or not dice.is_on("jobs", "queue"):
            return []
        rate = dice.between("jobs-rate", 0, 2, 5 if dice.scenario == "queue" else 3)
        count = rate * self._cast.duration_us // SECOND_US
        chosen = [row for row in _KINDS if row[1] > 5 or dice.is_on("jobs-kind", row[0])]
        kinds = [kind for kind, weight in chosen for _ in range(weight)]
        return [self._operation(number, kinds) for number in range(count)]

    def _operation(self, number: int, kinds: list[str]) -> PlannedOperation:
        dice = self._dice
        kind = dice.choice("jobs-of", number, kinds)
        first = dice.between("jobs-name", 0, 1, len(_SETTINGS))
        names = [first, 1 + first % len(_SETTINGS)]
        entity = f"{JOBS}-{dice.choice('jobs-entity', number, names)}"
        at_us = dice.between("jobs-at", number, 0, self._cast.duration_us)
        args = self._args(number)
        own = {name: args[name] for name in self._arguments[kind]}
        return PlannedOperation(
            at_us, dice.choice("jobs-caller", number, self._cast.clients), kind, entity, own
        )

    def _args(self, number: int) -> Args:
        dice = self._dice
        return {
            "value": number,
            "timeout_ms": dice.choice("jobs-timeout", number, (300, 1_000, 3_000, 8_000)),
            "hold_ms": dice.choice("jobs-hold", number, (0, 20, 300, 1_500, 5_000)),
            "visible_ms": dice.choice("jobs-visible", number, (100, 1_000, 3_000, 6_000)),
            "ends": dice.choice("jobs-ends", number, _ENDS),
            "waits": dice.between("jobs-waits", number, 0, 3) > 0,
        }
