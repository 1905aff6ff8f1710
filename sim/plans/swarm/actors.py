"""Plans of the scenario ``actors``: trees on nodes and clients, watches in all directions, entities with odd ids.

What the cluster does about silence - call a process unreachable, give it up, let a session end - happens within a run,
and faults last a little less or a little more than each of these.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..plan import FaultEvent, PlannedOperation
from .dice import SECOND_US, TTLS_S, Cast, Dice

__all__ = ["ACTORS", "ACTOR_SETTINGS", "TREE_ARGUMENTS", "Company", "decisive_ms", "silences_of"]

ACTORS = "actors"
"""The scenario."""

Args = dict[str, int | str | bool | None]

TREE_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "tree.grow": ("depth", "width"),
    "tree.stop": ("which", "how"),
    "tree.busy": ("which", "how", "ms"),
    "watch.begin": ("which", "whom", "target"),
    "watch.end": ("which",),
    "mail.tell": ("which", "whom", "target", "count", "is_from_actor"),
    "flow.begin": ("which", "target", "count", "ms"),
    "odd.tell": ("which", "what", "ms", "count"),
    "odd.ask": ("which", "what", "ms", "timeout_ms"),
}
"""Kind of operation -> its arguments."""

_WEIGHTS = {
    "tree.grow": 5, "tree.stop": 8, "tree.busy": 2, "watch.begin": 16, "watch.end": 1, "mail.tell": 10, "odd.tell": 8,
    "odd.ask": 8, "flow.begin": 4,
}  # fmt: skip
_ALWAYS = ("tree.grow", "tree.stop", "watch.begin")
_RATES = (8, 18)
"""Operations a virtual second, from and to."""
_NAMES = 3
_NEAR_MS = 900

_SILENCES = ((1.0, 2.0), (1.5, 3.0), (1.5, 3.0), (2.0, 5.0), (3.0, 10.0))
"""(unreachable, down) after so many seconds of silence."""

ACTOR_SETTINGS: dict[str, tuple[int, ...]] = {"max_mailbox": (10_000, 10_000, 10_000, 12)}
"""Settings that are drawn here beside the usual ones."""

_HOW_TO_STOP = ("ends", "ends", "ends", "by parent", "by parent", "fails", "fails unusually", "restarts")
_HOW_TO_BE_BUSY = ("slow", "slow", "endless", "stubborn", "slow hook", "endless hook")
_WATCHED = ("living", "living", "living", "living", "any", "gone", "path", "path", "nobody", "nowhere")
_TOLD = ("living", "living", "living", "any", "gone")
_DEEDS = (
    *("count",) * 8, *("slow",) * 4, *("ask",) * 5, *("child",) * 4, *("pipe",) * 4, *("stop",) * 3,
    "hook", "fail", "endless", "stubborn",
)  # fmt: skip
_NUMBERS = 997


def silences_of(dice: Dice) -> tuple[float, float]:
    """Draw after how many seconds of silence a process is unreachable, and given up."""
    return dice.choice("silence", 0, _SILENCES)


def decisive_ms(dice: Dice, family: str, number: int) -> int:
    """Draw a duration near one of the times that decide about silent processes, on either side of it."""
    unreachable_s, down_s = silences_of(dice)
    ttl_s = dice.choice("ttl", 0, TTLS_S)
    times_s = (unreachable_s, unreachable_s, down_s, down_s, ttl_s, unreachable_s + ttl_s)
    near = round(1000 * dice.choice(f"{family}-time", number, times_s))
    return dice.between(f"{family}-duration", number, max(1, near - _NEAR_MS), near + _NEAR_MS)


class Company:
    """The drawing of the operations.

    Parameters
    ----------
    dice, cast
        The plan's.
    """

    def __init__(self, dice: Dice, cast: Cast) -> None:
        self._dice = dice
        self._cast = cast
        self._names = [*cast.nodes, *cast.clients]

    def operations(self) -> list[PlannedOperation]:
        """Draw all of them; each process begins with a tree or two."""
        if self._dice.scenario != ACTORS:
            return []
        kinds = [
            kind
            for kind, weight in _WEIGHTS.items()
            if kind in _ALWAYS or self._dice.is_on("kind", kind)
            for _ in range(weight)
        ]
        count = self._dice.between("operations", 1, *_RATES) * self._cast.duration_us // SECOND_US
        return [*self._first(), *(self._operation(kinds, number) for number in range(count))]

    def faults(self) -> list[FaultEvent]:
        """Draw, for two seeds of three, processes that nobody hears of for so long that something is made of it."""
        if self._dice.scenario != ACTORS:
            return []
        return [self._silence(number) for number in range(self._dice.choice("silences", 0, (0, 1, 2)))]

    def _silence(self, number: int) -> FaultEvent:
        dice = self._dice
        name = dice.choice("silence-who", number, self._names)
        pause = "client_pause" if name in self._cast.clients else "pause"
        kind = dice.choice("silence-kind", number, ("split", "split", pause))
        more_ms = dice.choice("silence-more", number, (0, 0, 2_500))
        duration_us = 1000 * (decisive_ms(dice, "silence", number) + more_ms)
        at_us = dice.between("silence-at", number, 0, self._cast.duration_us // 3)
        return FaultEvent(at_us, kind, (name,), duration_us)

    def _first(self) -> list[PlannedOperation]:
        found: list[PlannedOperation] = []
        for at, name in enumerate(self._names):
            for number in range(self._dice.between("first-trees", at, 1, 2)):
                args = self._shape(-1 - 2 * at - number)
                found.append(PlannedOperation(1000 * at, name, "tree.grow", f"tree-{number + 1}", args))
        return found

    def _operation(self, kinds: Sequence[str], number: int) -> PlannedOperation:
        dice = self._dice
        kind = dice.choice("company-kind", number, kinds)
        at_us = dice.between("company-at", number, 0, self._cast.duration_us)
        if dice.one_in("company-burst", number, 4):
            at_us -= at_us % SECOND_US
        name = dice.choice("company-who", number, self._names)
        entity = f"tree-{dice.between('company-tree', number, 1, _NAMES)}"
        if kind.startswith("odd."):
            entity = "odd"
        args = {
            what: value for what, value in self._args(kind, number).items() if what in TREE_ARGUMENTS[kind]
        }
        return PlannedOperation(at_us, name, kind, entity, args)

    def _shape(self, number: int) -> Args:
        """Draw how a tree grows: mostly small, now and then a long line."""
        dice = self._dice
        if dice.one_in("company-deep", number, 12):
            return {"depth": dice.between("company-depth", number, 8, 25), "width": 1}
        return {
            "depth": dice.between("company-depth", number, 0, 2),
            "width": dice.between("company-width", number, 1, 2),
        }

    def _args(self, kind: str, number: int) -> Args:
        dice = self._dice
        hows = _HOW_TO_STOP if kind == "tree.stop" else _HOW_TO_BE_BUSY
        return {
            **self._shape(number),
            "which": dice.between("company-which", number, 0, _NUMBERS),
            "target": dice.between("company-target", number, 0, _NUMBERS),
            "whom": dice.choice("company-whom", number, _TOLD if kind == "mail.tell" else _WATCHED),
            "how": dice.choice("company-how", number, hows),
            "what": dice.choice("company-what", number, _DEEDS),
            "ms": dice.choice("company-ms", number, (0, 5, 50, 300, 1500, 4000)),
            "count": dice.between("company-count", number, 1, 6),
            "timeout_ms": dice.choice("company-timeout", number, (300, 1000, 3000, 6000)),
            "is_from_actor": dice.one_in("company-from", number, 2),
        }
