"""Whether a counter's answers can be explained with so many operations of unknown outcome: by counting trails.

An answer of a counter tells what it was before and what it was after: an edge between two values. Without operations of
unknown outcome all edges are one trail. Where a value is left more often than it is reached, or where edges hang
together with no others, another trail has to begin; only an operation of unknown outcome gets there, or an answered
`destroy`, to zero. This is Euler's count (1736), and a search that asks for it before each step goes as Fleury does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...history import Operation
from .linearizability import State

__all__ = ["CounterTrails"]

Edge = tuple[int | None, int]
"""From a value, None for any, to a value."""

_FEW = 2
"""Sums are formed of so many open operations at most; more of them get nearly anywhere."""


class _Cover(NamedTuple):
    """Trails that have all edges of a stretch, as few as possible."""

    breaks: int
    """How many begin where nothing answered leads to."""
    starts: frozenset[int]
    """Where those begin. Empty for any value."""
    ends: frozenset[int]
    """Where trails end, while there are no more of them than needed. Empty for any value."""
    rings: Sequence[frozenset[int]]
    """Values of edges that hang together, lead nowhere else, and are not reached yet."""


class _Stretch(NamedTuple):
    """Operations that all ended before the first of the next stretch was called."""

    bits: int
    edges: list[tuple[int, Edge]]
    """By the bit of the operation."""


class CounterTrails:
    """What the answers of one counter demand.

    Parameters
    ----------
    operations
        The possible ones; their bits are those of their positions.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._stretches = _stretches(operations)
        self._opens = [(1 << at, one) for at, one in enumerate(operations) if not one.is_ok]
        self._sums: dict[tuple[int, int], frozenset[int]] = {}
        covers = [_cover([edge for _, edge in one.edges], None) for one in self._stretches]
        self._starts = [*(cover.starts for cover in covers), frozenset[int]()]
        self._later = self._needed_from(covers)

    def is_enough(self, state: State, done: int, left: int) -> bool:
        """Whether `left` more operations of unknown outcome may explain all that is not done. False is certain."""
        assert isinstance(state, tuple)
        for at, stretch in enumerate(self._stretches):
            if stretch.bits & ~done:
                cover = _cover([edge for bit, edge in stretch.edges if not bit & done], state[1])
                breaks = cover.breaks + self._after(cover.ends, at + 1)
                return breaks <= left and self._can_jump(cover, done, left - breaks)
        return True

    def _needed_from(self, covers: Sequence[_Cover]) -> list[tuple[int, int]]:
        """Return for each stretch how many breaks it and those after it need, and how many if it has one to spare."""
        later = [(0, 0)]
        for at in range(len(covers) - 1, -1, -1):
            cover = covers[at]
            (plain, spare), follow = later[-1], self._starts[at + 1]
            is_apart = bool(cover.ends and follow and not cover.ends & follow)
            needed = cover.breaks + plain + (1 + spare - plain if is_apart else 0)
            # A trail that is cut in two begins and ends elsewhere; an edge that is alone cannot be cut.
            is_alone = len(self._stretches[at].edges) < 2
            later.append((needed, needed if is_alone else cover.breaks + plain))
        later.reverse()
        return later

    def _after(self, ends: frozenset[int], at: int) -> int:
        """Return how many breaks the stretches from one on need, after these ends."""
        plain, spare = self._later[at]
        follow = self._starts[at]
        return 1 + spare if ends and follow and not ends & follow else plain

    def _can_jump(self, cover: _Cover, done: int, spare: int) -> bool:
        """Whether each break can be made with as few operations as there are for it."""
        if not cover.breaks or spare >= _FEW or not cover.ends:
            return True
        sums = self._reached(done, spare + 1)
        landings = self._landings(done)
        if spare:
            return True
        for starts in (*({start} for start in cover.starts), *cover.rings):
            is_reached = any(
                start in landings or any(start - end in sums for end in cover.ends) for start in starts
            )
            if not is_reached:
                return False
        return True

    def _landings(self, done: int) -> dict[int, None]:
        """Return the values that open operations set, whatever was before."""
        found: dict[int, None] = {}
        for bit, one in self._opens:
            if not bit & done and one.kind in ("counter.destroy", "counter.reset"):
                found[0] = None
            elif not bit & done and one.kind == "counter.compare_and_set":
                value = one.args["value"]
                assert isinstance(value, int)
                found[value] = None
        return found

    def _reached(self, done: int, most: int) -> frozenset[int]:
        """Return the sums of one to `most` open changes that are left."""
        left = [(bit, change) for bit, one in self._opens if not bit & done and (change := _change(one))]
        key = (sum(bit for bit, _ in left), most)
        if key not in self._sums:
            sums = {0: None}
            for _ in range(most):
                sums |= dict.fromkeys(total + change for total in list(sums) for _, change in left)
            self._sums[key] = frozenset(total for total in sums if total)
        return self._sums[key]


def _stretches(operations: Sequence[Operation]) -> list[_Stretch]:
    found: list[_Stretch] = []
    latest_ns = -1
    answered = [(one.call_ns, at, one) for at, one in enumerate(operations) if one.is_ok]
    for call_ns, at, one in sorted(answered, key=lambda entry: entry[:2]):
        if call_ns > latest_ns:
            found.append(_Stretch(0, []))
        latest_ns = max(latest_ns, one.end_ns)
        bits, edges = found[-1]
        edge = _edge(one)
        if edge is not None:
            edges.append((1 << at, edge))
        found[-1] = _Stretch(bits | 1 << at, edges)
    return found


def _change(operation: Operation) -> int:
    if operation.kind not in ("counter.add", "counter.subtract"):
        return 0
    amount = operation.args["amount"]
    assert isinstance(amount, int)
    return amount if operation.kind == "counter.add" else -amount


def _edge(operation: Operation) -> Edge | None:
    """Return the values before and after an answered operation; None if it tells neither."""
    kind, value, args = operation.kind, operation.value, operation.args
    if kind == "counter.compare_and_set":
        expected, after = args["expected"], args["value"]
        assert isinstance(expected, int) and isinstance(after, int)
        return (expected, after) if value is True else None
    if kind == "counter.destroy":
        return (None, 0) if value is True else (0, 0)
    assert isinstance(value, int)
    return (value, 0) if kind == "counter.reset" else (value - _change(operation), value)


def _cover(edges: Iterable[Edge], start: int | None) -> _Cover:
    """Count the trails; the first begins at `start`, or anywhere, and one at zero for each `destroy`."""
    leaves: dict[int, int] = {}
    parts: dict[int, int] = {}
    destroys = 0
    for before, after in edges:
        if before is None:
            destroys += 1
            continue
        leaves[before] = leaves.get(before, 0) + 1
        leaves[after] = leaves.get(after, 0) - 1
        first, second = _root(parts, before), _root(parts, after)
        if first != second:
            parts[first] = second
    entered: dict[int, None] = {}
    for value, count in ((0, destroys), (start, 1)):
        if value is not None and count:
            leaves[value] = leaves.get(value, 0) - count
            entered[_root(parts, value)] = None
    begun = {value: excess for value, excess in leaves.items() if excess > 0}
    ended = [value for value, excess in leaves.items() if excess < 0]
    for value in (*begun, *ended):
        entered[_root(parts, value)] = None
    rings: dict[int, list[int]] = {}
    for value in leaves:
        if (part := _root(parts, value)) not in entered:
            rings.setdefault(part, []).append(value)
    closed = [frozenset(ring) for ring in rings.values()]
    breaks = sum(begun.values()) + len(closed)
    in_rings = frozenset(value for ring in closed for value in ring)
    if start is not None:
        return _Cover(breaks, frozenset(begun), in_rings | frozenset(ended), closed)
    if not breaks:
        # It may begin anywhere, and end there as well, unless it is nothing but destroyed.
        return _Cover(0, frozenset(), frozenset() if len(leaves) > 1 else frozenset(leaves), ())
    return _Cover(breaks - 1, in_rings | frozenset(begun), in_rings | frozenset(ended), closed)


def _root(parts: dict[int, int], value: int) -> int:
    """Return what stands for all values that hang together with this one."""
    while value in parts:
        value = parts[value]
    return value
