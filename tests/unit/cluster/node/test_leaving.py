"""Whom a process asks that leaves, while nobody answers."""

from __future__ import annotations

from typing import Any

from casty.cluster.control.machine import ControlMachine
from casty.cluster.node.leaving import Leaving
from casty.errors import Unavailable
from tests.kit.clock import ManualClock
from tests.unit.cluster.control.test_control import founded


class Calls:
    """The way to the control group: nobody answers but the leader, who is known here from the so-manieth time on."""

    def __init__(self, known_at: int) -> None:
        self.asked: list[str | None] = []
        self._known_at = known_at

    async def write(self, entry: bytes, timeout_s: float, leader: str | None = None) -> list[object]:
        del entry, timeout_s
        self.asked.append(leader)
        if leader is None and len(self.asked) >= self._known_at:
            return [0, "removed"]
        raise Unavailable("nobody answered")


async def test_who_leaves_asks_the_leader_that_it_knows_and_the_others_in_turn() -> None:
    """It may have become the leader itself after it began to leave; then none of the others can answer."""
    machine: ControlMachine = founded("a", "b", "c")
    calls: Any = Calls(known_at=5)
    leaving = Leaving(ManualClock(), "a", "a-1", machine, calls, lambda: ["a", "b", "c"], lambda: None)
    await leaving.leave(10.0)
    assert leaving.is_over
    assert calls.asked == [None, "b", None, "c", None]
