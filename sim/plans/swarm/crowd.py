"""Crowds and patience: many calls of one session at one time, and calls that wait longer than sessions live.

Nearly all numbers of a session are taken, otherwise, when nothing else of it is open; then marks, windows and batches
do nothing. A part of the runs has crowds, and another part calls whose timeout is none or three times the TTL.
"""

from __future__ import annotations

from ..plan import PlannedOperation
from .dice import EVERYTHING, TTLS_S, Cast, Dice
from .shape import window_of

__all__ = ["Crowd"]

Args = dict[str, int | str | bool | None]

_IN_FLIGHT = (8, 16, 16, 32, 64)
_MIX = (
    "map.put", "map.put", "map.put", "map.get", "map.get", "map.delete", "counter.add", "counter.add", "lock.hold",
    "semaphore.hold",
)  # fmt: skip
_PATIENT = ("lock.hold", "lock.hold", "semaphore.hold", "map.put", "map.get", "counter.add")
_NARROW = 16
"""A window of no more numbers is met by a crowd at one entity, in every run that has it ..."""
_BEYOND = 128
"""... of so many: more than the window and what frees something, which a gateway numbers beyond it."""
_KEYS = 16
_COUNTERS = 8
_PERMITS = 3


class Crowd:
    """The drawing of them; for the scenarios that have all structures.

    Parameters
    ----------
    dice, cast
        The plan's.
    """

    def __init__(self, dice: Dice, cast: Cast) -> None:
        self._dice = dice
        self._cast = cast

    def operations(self) -> list[PlannedOperation]:
        """Draw all of them."""
        found: list[PlannedOperation] = []
        if self._dice.scenario not in EVERYTHING:
            return found
        if self._dice.one_in("crowds", 0, 4):
            for crowd in range(self._dice.between("crowd-count", 0, 1, 2)):
                found += self._crowd(crowd)
        if window_of(self._dice) <= _NARROW:
            found += self._narrow()
        if self._dice.one_in("patience", 0, 4):
            for number in range(self._dice.between("patient-count", 0, 2, 8)):
                found.append(self._patient(number))
        return found

    def _crowd(self, crowd: int) -> list[PlannedOperation]:
        """Calls of one client that begin in one instant."""
        dice = self._dice
        client = dice.choice("crowd-client", crowd, self._cast.clients)
        at_us = dice.between("crowd-at", crowd, 0, self._cast.duration_us * 9 // 10)
        found = []
        for position in range(dice.choice("crowd-size", crowd, _IN_FLIGHT)):
            number = 100 * crowd + position
            kind = dice.choice("crowd-kind", number, _MIX)
            timeout_ms = dice.choice("crowd-timeout", crowd, (1000, 3000, 8000))
            found.append(self._call(at_us, client, kind, "crowd", number, timeout_ms))
        return found

    def _narrow(self) -> list[PlannedOperation]:
        """Calls of one client in one slot that its session has no room for at once."""
        dice = self._dice
        client = dice.choice("narrow-client", 0, self._cast.clients)
        at_us = dice.between("narrow-at", 0, 0, self._cast.duration_us * 9 // 10)
        args: Args = {"timeout_ms": dice.choice("narrow-timeout", 0, (3000, 8000)), "amount": 1}
        return [
            PlannedOperation(at_us, client, "counter.add", "counter-narrow", args) for _ in range(_BEYOND)
        ]

    def _patient(self, number: int) -> PlannedOperation:
        dice = self._dice
        client = dice.choice("patient-client", number, self._cast.clients)
        at_us = dice.between("patient-at", number, 0, self._cast.duration_us)
        kind = dice.choice("patient-kind", number, _PATIENT)
        ttl_ms = 1000 * dice.choice("ttl", 0, TTLS_S)
        timeout_ms = dice.choice("patient-timeout", number, (3 * ttl_ms, None))
        if timeout_ms is None and kind.endswith("hold"):
            timeout_ms = 3 * ttl_ms  # how soon it is granted is for those before it to say
        return self._call(at_us, client, kind, "patient", number, timeout_ms)

    def _call(
        self, at_us: int, client: str, kind: str, name: str, number: int, timeout_ms: int | None
    ) -> PlannedOperation:
        structure = kind.partition(".")[0]
        args: Args = {"timeout_ms": timeout_ms}
        entity = f"{structure}-{name}"
        if structure == "map":
            args["key"] = self._dice.between(f"{name}-key", number, 1, _KEYS)
            if kind == "map.put":
                args["value"] = number
        elif structure == "counter":
            args["amount"] = 1
            entity += f"-{self._dice.between(f'{name}-counter', number, 1, _COUNTERS)}"
        else:
            args["hold_ms"] = self._dice.choice(f"{name}-hold", number, (0, 0, 5, 50))
        if structure == "semaphore":
            args |= {"permits": _PERMITS, "n": self._dice.between(f"{name}-n", number, 1, _PERMITS)}
        return PlannedOperation(at_us, client, kind, entity, args)
