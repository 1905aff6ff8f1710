"""What a plan has of disks: nodes with data directories, and what may happen to these.

Where replicas are on disks, nodes may die in any number and at any time, and come back with what is there. One that
loses a record, or its whole disk, has lost replicas: that happens to one node at a time, when every place is taken.
"""

from __future__ import annotations

from ..plan import FaultEvent
from .dice import MIN_FOR_CRASH, Cast, Dice

__all__ = ["DISK_AIMS", "DURABLE", "DiskHarm"]

DURABLE = "durable"
"""The scenario."""

_FAMILIES = ("outage", "slow_disk", "disk_full", "lost_disk", "stale_disk", "damage")
_NEEDS_OTHERS = ("lost_disk", "stale_disk", "damage")
_DOWN_MS = (20, 2_500)
_STALE_MS = (1_500, 4_000)
_LASTS_MS = (200, 4_000)

DISK_AIMS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("outage", ("@leader",), "commit"),
    ("outage", ("@acker",), "commit"),
    ("outage", ("@leader", "@acker"), "call"),
    ("outage", ("@heir", "@elector"), "heir"),
    ("outage", ("@control",), "session"),
    ("slow_disk", ("@leader",), "call"),
    ("slow_disk", ("@acker",), "commit"),
    ("disk_full", ("@leader",), "commit"),
)
"""Kind, roles, and what it waits for."""


class DiskHarm:
    """The drawing of it.

    Parameters
    ----------
    dice, cast
        The plan's.
    """

    def __init__(self, dice: Dice, cast: Cast) -> None:
        self._dice = dice
        self._cast = cast

    def faults(self) -> list[FaultEvent]:
        """Draw the faults of disks; about half of the families and of the aims take part."""
        faults: list[FaultEvent] = []
        for family in _FAMILIES:
            is_possible = family not in _NEEDS_OTHERS or len(self._cast.nodes) >= MIN_FOR_CRASH
            if is_possible and self._dice.is_on("disk", family):
                count = self._dice.between(f"{family}-count", 0, 1, 1 if family in _NEEDS_OTHERS else 3)
                faults += [self._fault(family, number) for number in range(count)]
        for number, (kind, roles, event) in enumerate(DISK_AIMS):
            if self._dice.is_on("disk-aim", f"{kind} {roles}"):
                faults.append(self._aimed(number, kind, roles, event))
        return faults

    def _at_us(self, what: str, number: int) -> int:
        return self._dice.between(f"{what}-at", number, 0, self._cast.duration_us * 9 // 10)

    def _fault(self, family: str, number: int) -> FaultEvent:
        targets = self._targets(family, number)
        is_gated = family in _NEEDS_OTHERS
        return FaultEvent(
            self._at_us(family, number), family, targets, self._lasts_us(family, number), self._args(family, number),
            after_ready=is_gated,
        )  # fmt: skip

    def _targets(self, family: str, number: int) -> tuple[str, ...]:
        nodes = self._dice.shuffled(f"{family}-who", number, self._cast.nodes)
        if family in _NEEDS_OTHERS:
            return (nodes[0],)
        if self._dice.one_in(f"{family}-all", number, 2):
            return tuple(self._cast.nodes)
        return tuple(nodes[: self._dice.between(f"{family}-so-many", number, 1, len(nodes))])

    def _lasts_us(self, family: str, number: int) -> int:
        lasts = {"stale_disk": _STALE_MS, "slow_disk": _LASTS_MS, "disk_full": _LASTS_MS}
        return 1000 * self._dice.between(f"{family}-for", number, *lasts.get(family, _DOWN_MS))

    def _args(self, family: str, number: int) -> dict[str, int]:
        if family == "outage":
            return {"is_power_loss": self._dice.between("outage-power", number, 0, 1)}
        if family == "slow_disk":
            return {"held_us": self._dice.choice("slow-disk", number, (5_000, 30_000, 200_000, 900_000))}
        if family == "damage":
            which = self._dice.between("damage-which", number, 0, 1_000_000)
            return {"which": which, "how": self._dice.between("damage-how", number, 0, 2)}
        return {}

    def _aimed(self, number: int, kind: str, roles: tuple[str, ...], event: str) -> FaultEvent:
        dice = self._dice
        count = dice.between("disk-aim-count", number, 1, 5 if event in ("commit", "call") else 1)
        delay_us = dice.choice("disk-aim-delay", number, (0, 0, 300, 1_000, 3_000))
        return FaultEvent(
            self._at_us("disk-aim", number), kind, roles, self._lasts_us(kind, 100 + number),
            self._args(kind, 100 + number), trigger=(event, count, delay_us),
        )  # fmt: skip
