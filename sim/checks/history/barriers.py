"""Barriers, from what the parties saw: their returns have to be grouped into trips.

A trip is an instant at which exactly `expected` distinct parties were waiting, and it releases them all. The arrival
that returned first has to belong to a trip no later than its return; of those who can be in it, whoever returned
soonest is taken, because whoever returned later has more chances left. Arrivals of unknown outcome may fill a gap.
An arrival that was withdrawn is in no trip. Where a party had two requests under way no such grouping is the right
one: they may be in one trip or in two. There each return needs an instant at which enough distinct parties waited.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

from ...history import Operation, Value
from ..violation import Violation

__all__ = ["check_barrier"]


def check_barrier(name: str, operations: Sequence[Operation]) -> list[Violation]:
    """Check that every return is explained by a trip (31, 32, 34, 35)."""
    arrivals = sorted(
        (one for one in operations if one.kind == "barrier.arrive" and one.is_possible),
        key=lambda one: (one.call_ns, one.number),
    )
    return _check_each(name, arrivals) if _is_doubled(arrivals) else _Trips(name, arrivals).check()


def _is_doubled(arrivals: Sequence[Operation]) -> bool:
    """Whether a party had two requests under way at one time."""
    ends: dict[Value, int] = {}
    for arrival in arrivals:
        party = arrival.args["party"]
        if arrival.call_ns <= ends.get(party, -1):
            return True
        ends[party] = arrival.end_ns
    return False


def _check_each(name: str, arrivals: Sequence[Operation]) -> list[Violation]:
    found = []
    for arrival in arrivals:
        if not arrival.is_ok:
            continue
        expected = _expected(arrival)
        rivals = [one for one in arrivals if _expected(one) == expected and one.end_ns >= arrival.call_ns]
        starts = [max(one.call_ns, arrival.call_ns) for one in rivals if one.call_ns <= arrival.end_ns]
        most = max(_waiting(rivals, at_ns) for at_ns in starts)
        if most < expected:
            text = (
                f"#{arrival.number} returned, but at most {most} parties of {expected} can have been waiting"
            )
            found.append(Violation(31, f"barrier {name}", text, (arrival.number,)))
    return found


def _waiting(arrivals: Sequence[Operation], at_ns: int) -> int:
    """Return how many distinct parties can have been waiting at a time."""
    return len({one.args["party"]: None for one in arrivals if one.call_ns <= at_ns <= one.end_ns})


class _Trips:
    """The grouping; `waiting` has whoever may be in the next trip, the soonest return first."""

    def __init__(self, name: str, arrivals: Sequence[Operation]) -> None:
        self._name = name
        self._arrivals = arrivals
        self._next = 0
        self._waiting: list[tuple[int, int, Operation]] = []

    def check(self) -> list[Violation]:
        """Group the returns in their order."""
        found = []
        released = sorted(
            (one for one in self._arrivals if one.is_ok), key=lambda one: (one.end_ns, one.number)
        )
        grouped: dict[int, None] = {}
        for first in released:
            if first.number in grouped:
                continue
            self._admit(first.end_ns)
            group = self._group(first)
            expected = _expected(first)
            if len(group) < expected:
                found.append(self._too_few(first, group, expected))
            for member in group:
                grouped[member.number] = None
            gone = {member.number: None for member in group}
            self._waiting = [row for row in self._waiting if row[2].number not in gone]
        return found

    def _admit(self, until_ns: int) -> None:
        while self._next < len(self._arrivals) and self._arrivals[self._next].call_ns <= until_ns:
            arrival = self._arrivals[self._next]
            insort(self._waiting, (arrival.end_ns, arrival.number, arrival))
            self._next += 1

    def _group(self, first: Operation) -> list[Operation]:
        """Return `first` and others of its generation, distinct parties, as many as it expects at most."""
        group = [first]
        parties = {first.args["party"]: None}
        for _, _, arrival in self._waiting:
            if len(group) == _expected(first):
                break
            is_same = _expected(arrival) == _expected(first)
            if arrival is not first and is_same and arrival.args["party"] not in parties:
                parties[arrival.args["party"]] = None
                group.append(arrival)
        return group

    def _too_few(self, first: Operation, group: Sequence[Operation], expected: int) -> Violation:
        text = (
            f"#{first.number} returned at {first.end_ns / 1e9:.6f} s, when only {len(group)} parties of "
            f"{expected} can have been waiting for the same trip"
        )
        return Violation(31, f"barrier {self._name}", text, [member.number for member in group])


def _expected(operation: Operation) -> int:
    expected = operation.args["expected"]
    assert isinstance(expected, int)
    return expected
