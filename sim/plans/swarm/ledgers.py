"""Plans of the scenario ``entities``: event-sourced and volatile ones that are unloaded, moved, and lose their nodes.

Some entities have more to do than others, so that what they do meets; all of them together are more than may live at
a time where that is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..plan import PlannedOperation
from .dice import SECOND_US, Cast, Dice

__all__ = ["ENTITIES", "LEDGER_ARGUMENTS", "Ledgers"]

ENTITIES = "entities"
"""The scenario."""

LEDGER_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "ledger.ask": ("which", "what", "ms", "timeout_ms"),
    "ledger.tell": ("which", "what", "ms", "count"),
    "visit.ask": ("which", "ms", "timeout_ms"),
}
"""Kind of operation -> its arguments."""

_KINDS = (*("ledger.ask",) * 6, *("ledger.tell",) * 3, *("visit.ask",) * 2)
_DEEDS = (
    *("add",) * 8, *("read",) * 4, *("effects",) * 4, *("slow",) * 3, *("nested",) * 2, *("stop",) * 2, "refuse",
    "fail", "restart",
)  # fmt: skip
_RATES = (10, 30)
"""Operations a virtual second, from and to."""
_NUMBERS = 997


class Ledgers:
    """The drawing of the operations.

    Parameters
    ----------
    dice, cast
        The plan's.
    """

    def __init__(self, dice: Dice, cast: Cast) -> None:
        self._dice = dice
        self._cast = cast
        self._names = [*cast.clients, *cast.clients, *cast.nodes]

    def operations(self) -> list[PlannedOperation]:
        """Draw all of them."""
        if self._dice.scenario != ENTITIES:
            return []
        deeds = [deed for deed in _DEEDS if deed in ("add", "read") or self._dice.is_on("deed", deed)]
        count = self._dice.between("ledger-operations", 0, *_RATES) * self._cast.duration_us // SECOND_US
        return [self._operation(deeds, number) for number in range(count)]

    def _operation(self, deeds: Sequence[str], number: int) -> PlannedOperation:
        dice = self._dice
        kind = dice.choice("ledger-kind", number, _KINDS)
        at_us = dice.between("ledger-at", number, 0, self._cast.duration_us)
        if dice.one_in("ledger-burst", number, 4):
            at_us -= at_us % SECOND_US
        args: dict[str, int | str | bool | None] = {
            "which": dice.between("ledger-which", number, 0, _NUMBERS),
            "what": dice.choice("ledger-what", number, deeds),
            "ms": dice.choice("ledger-ms", number, (0, 1, 5, 50, 200)),
            "count": dice.between("ledger-count", number, 1, 6),
            "timeout_ms": dice.choice("ledger-timeout", number, (300, 1_000, 3_000, 8_000)),
        }
        args = {name: value for name, value in args.items() if name in LEDGER_ARGUMENTS[kind]}
        return PlannedOperation(at_us, dice.choice("ledger-who", number, self._names), kind, "ledgers", args)
