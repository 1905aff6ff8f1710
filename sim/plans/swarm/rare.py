"""What a workload has besides: the operations that are rarer, on names of their own.

They have names of their own because a counter that is set, or a queue that is destroyed, tells less: what is checked
of a sum, or of what comes out of a queue, stays as sharp as it was where nobody does that. Half of the seeds have
them, structure by structure.
"""

from __future__ import annotations

from collections.abc import Callable

from ..plan import PlannedOperation
from .dice import EVERYTHING, SECOND_US, Cast, Dice, duration_of

__all__ = ["KEYS", "LEADER_ARGUMENTS", "MORE_ARGUMENTS", "MORE_KINDS", "More"]

Args = dict[str, int | str | bool | None]

KEYS = ("str", "bytes", "bool", "float", "number", "tuple", "mixed")
"""Types of the keys of maps and the members of sets; see `sim.plans.keys.KEY_TYPES`."""

_LOCK = ("timeout_ms", "hold_ms")

_COUNTS = {"resized": (12, 30)}
"""How many operations there are of what shows only where many wait; of all else from 4 to 14."""

LEADER_ARGUMENTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("rw_lock.read", "rw_lock.write", "election.lead"), _LOCK),
    **dict.fromkeys(("rw_lock.try_read", "rw_lock.try_write"), ("hold_ms",)),
    "election.follow": ("timeout_ms", "news"),
    **dict.fromkeys(("rw_lock.destroy", "election.destroy", "election.look"), ()),
}
"""Kind of operation -> its arguments; of what has scenarios of its own as well."""

MORE_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "lock.fence": _LOCK,
    "lock.with": _LOCK,
    "lock.again": _LOCK,
    "lock.watch": _LOCK,
    "lock.shared": ("hold_ms",),
    "semaphore.twice": ("timeout_ms", "hold_ms", "permits"),
    "semaphore.shared": ("hold_ms", "permits", "n"),
    "semaphore.destroy": ("permits",),
    "semaphore.resize": ("permits", "to"),
    "barrier.again": ("party", "expected", "timeout_ms"),
    "barrier.destroy": (),
    "counter.compare_and_set": ("amount",),
    "counter.reset": (),
    "map.put_if_absent": ("key", "value"),
    "map.compare_and_set": ("key", "value"),
    "map.destroy": (),
    "set.destroy": (),
    "queue.destroy": (),
}
"""Kind of operation -> its arguments; for those that only this module draws."""

MORE_KINDS: dict[str, tuple[tuple[str, int], ...]] = {
    "lock": (
        ("lock.fence", 4), ("lock.with", 4), ("lock.again", 3), ("lock.watch", 3), ("lock.shared", 6), ("lock.try", 1),
        ("lock.destroy", 1),
    ),
    "semaphore": (
        ("semaphore.twice", 4), ("semaphore.shared", 6), ("semaphore.hold", 2), ("semaphore.available", 2),
        ("semaphore.destroy", 1),
    ),
    "resized": (
        ("semaphore.resize", 6), ("semaphore.hold", 8), ("semaphore.try", 2), ("semaphore.available", 1),
        ("semaphore.destroy", 1),
    ),
    "rw_lock": (
        ("rw_lock.read", 6), ("rw_lock.write", 4), ("rw_lock.try_read", 1), ("rw_lock.try_write", 1),
        ("rw_lock.destroy", 1),
    ),
    "election": (("election.lead", 6), ("election.follow", 4), ("election.look", 2), ("election.destroy", 1)),
    "barrier": (("barrier.again", 12), ("barrier.destroy", 1)),
    "counter": (
        ("counter.add", 4), ("counter.get", 2), ("counter.compare_and_set", 5), ("counter.reset", 2),
        ("counter.destroy", 1),
    ),
    "map": (
        ("map.put", 5), ("map.get", 4), ("map.delete", 2), ("map.contains", 2), ("map.put_if_absent", 4),
        ("map.compare_and_set", 5), ("map.destroy", 1),
    ),
    "set": (("set.add", 6), ("set.remove", 4), ("set.contains", 3), ("set.size", 3), ("set.destroy", 1)),
    "queue": (
        ("queue.enqueue", 7), ("queue.dequeue", 5), ("queue.peek", 2), ("queue.size", 1), ("queue.destroy", 1),
    ),
}  # fmt: skip
"""Structure -> kinds and how often each is drawn."""


class More:
    """The drawing of them.

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
        found: list[PlannedOperation] = []
        for structure, weights in MORE_KINDS.items():
            # Of semaphores whose number of permits is changed less is checked; so they have names of their own.
            scenario = "semaphore" if structure == "resized" else structure
            is_asked = self._dice.scenario in (scenario, *EVERYTHING)
            if is_asked and self._dice.is_on("more", structure):
                kinds = [kind for kind, weight in weights for _ in range(weight)]
                count = self._dice.between(f"more-{structure}", 0, *_COUNTS.get(structure, (4, 14)))
                rate = self._cast.duration_us / (duration_of(self._dice.scenario) * SECOND_US)
                found += [self._operation(structure, kinds, number) for number in range(round(count * rate))]
        return found

    def _operation(self, structure: str, kinds: list[str], number: int) -> PlannedOperation:
        what = f"more-{structure}"
        kind = self._dice.choice(f"{what}-kind", number, kinds)
        at_us = self._dice.between(f"{what}-at", number, 0, self._cast.duration_us)
        if self._dice.one_in(f"{what}-burst", number, 3):
            at_us -= at_us % SECOND_US
        entity = f"{structure}-{self._name(structure)}"
        client = self._dice.choice(f"{what}-client", number, self._cast.clients)
        args = self._args(structure, number)
        own = {name: args[name] for name in self._arguments[kind]}
        return PlannedOperation(at_us, client, kind, entity, own)

    def _name(self, structure: str) -> str:
        return self._dice.choice(f"more-{structure}-keys", 0, KEYS) if structure in ("map", "set") else "more"

    def _args(self, structure: str, number: int) -> Args:
        dice, what = self._dice, f"more-{structure}"
        permits = dice.between(f"{what}-permits", 0, 2, 4)
        times: Args = {
            "timeout_ms": dice.choice(f"{what}-timeout", number, (300, 1000, 3000, 5000)),
            "hold_ms": dice.choice(f"{what}-hold", number, (0, 0, 5, 5, 50, 50, 300, 300, 1500, 9000)),
        }
        makers: dict[str, Callable[[], Args]] = {
            "lock": lambda: times,
            "semaphore": lambda: {
                **times,
                "permits": permits,
                "n": dice.between(f"{what}-n", number, 1, permits),
            },
            "resized": lambda: {
                **times,
                "hold_ms": dice.choice(f"{what}-hold", number, (50, 300, 1500, 1500, 3000)),
                "permits": permits,
                "n": dice.between(f"{what}-n", number, 1, permits),
                "to": dice.between(f"{what}-to", number, 1, 5),
            },
            "rw_lock": lambda: times,
            "election": lambda: {**times, "news": dice.between(f"{what}-news", number, 1, 4)},
            "barrier": lambda: {
                "party": f"party-{dice.between(f'{what}-party', number, 1, 3)}",
                "expected": dice.between(f"{what}-expected", 0, 2, 3),
                "timeout_ms": dice.choice(f"{what}-timeout", number, (800, 3000, 6000)),
            },
            "counter": lambda: {"amount": dice.between(f"{what}-amount", number, 1, 9)},
            "map": lambda: {"key": dice.between(f"{what}-key", number, 1, 3), "value": number},
            "set": lambda: {"value": dice.between(f"{what}-member", number, 1, 4)},
            "queue": lambda: {"value": number},
        }
        return makers[structure]()
