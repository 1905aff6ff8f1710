"""What a workload of maps has besides: keys with a time to live, and watchers; on maps of their own.

Of their own, because a key that ends by itself says less of what a call did. Half of the seeds have them.
"""

from __future__ import annotations

from ..plan import PlannedOperation
from .dice import EVERYTHING, SECOND_US, Cast, Dice, duration_of
from .journal import JOURNAL

__all__ = ["LASTING_ARGUMENTS", "LONGEST_TTL_S", "Lasting"]

Args = dict[str, int | str | bool | None]

LASTING_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "map.touch": ("key", "ttl_ms"),
    "map.persist": ("key",),
    "map.items": (),
    "map.watch": ("key", "hold_ms", "pause_ms"),
}
"""Kind of operation -> its arguments; for those that only this module draws."""

_OF_OTHERS: dict[str, tuple[str, ...]] = {
    "map.put": ("key", "value", "ttl_ms"),
    "map.put_if_absent": ("key", "value", "ttl_ms"),
    "map.compare_and_set": ("key", "value", "ttl_ms"),
    "map.get": ("key",),
    "map.contains": ("key",),
    "map.delete": ("key",),
    "map.destroy": (),
}
_WEIGHTS = (
    ("map.put", 10), ("map.put_if_absent", 4), ("map.compare_and_set", 3), ("map.touch", 3), ("map.persist", 1),
    ("map.get", 7), ("map.contains", 2), ("map.delete", 1), ("map.items", 2), ("map.destroy", 1),
)  # fmt: skip
FIRST_VALUE = 100_000
"""The first value that is put; one of the maps is used by other calls as well, and no value is put twice."""
LONGEST_TTL_S = 3
_TTLS_MS = (0, 30, 100, 100, 300, 300, 1_000, 1_000, 3_000)


class Lasting:
    """The drawing of them.

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
        dice = self._dice
        if dice.scenario not in ("map", JOURNAL, *EVERYTHING) or not dice.is_on("more", "lasting"):
            return []
        part = self._cast.duration_us / (duration_of(dice.scenario) * SECOND_US)
        kinds = [kind for kind, weight in _WEIGHTS for _ in range(weight)]
        count = round(dice.between("lasting", 0, 20, 60) * part)
        watchers = round(dice.between("lasting-watchers", 0, 2, 6) * part)
        calls = [self._call(number, dice.choice("lasting-kind", number, kinds)) for number in range(count)]
        return [*calls, *(self._watcher(number) for number in range(watchers))]

    def _call(self, number: int, kind: str) -> PlannedOperation:
        dice = self._dice
        args: Args = {
            "key": dice.between("lasting-key", number, 1, 3),
            "value": FIRST_VALUE + number,
            "ttl_ms": dice.choice("lasting-ttl", number, _TTLS_MS) or (300 if kind == "map.touch" else 0),
        }
        own = {name: args[name] for name in {**_OF_OTHERS, **LASTING_ARGUMENTS}[kind]}
        return self._planned("lasting-call", number, kind, own)

    def _watcher(self, number: int) -> PlannedOperation:
        dice = self._dice
        args: Args = {
            "key": dice.between("lasting-watched", number, 0, 3),
            "hold_ms": dice.between(
                "lasting-hold", number, self._cast.duration_us // 4000, self._cast.duration_us // 1000
            ),
            "pause_ms": dice.choice("lasting-pause", number, (0, 0, 0, 5, 400, 2_000)),
        }
        return self._planned("lasting-watch", number, "map.watch", args)

    def _planned(self, what: str, number: int, kind: str, args: Args) -> PlannedOperation:
        dice, cast = self._dice, self._cast
        most_us = cast.duration_us // (2 if kind == "map.watch" else 1)
        at_us = dice.between(f"{what}-at", number, 0, most_us)
        if dice.one_in(f"{what}-burst", number, 3):
            at_us -= at_us % SECOND_US
        entity = f"map-{dice.choice('lasting-name', 0, ('lasting', 'tuple'))}"
        return PlannedOperation(
            at_us, dice.choice(f"{what}-client", number, cast.clients), kind, entity, args
        )
