"""Until when a node leads a slot alone, as its entities see it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from casty.cluster.actors.wiring import Leases
from casty.cluster.control.rows import SlotRow


def test_a_slot_that_has_not_told_of_itself_serves_nobody() -> None:
    """Another group may begin in its place: what this one answered would be lost without a word."""
    group = SimpleNamespace(
        epoch=1, core=SimpleNamespace(lease_known_ns=0, lease_beyond_ns=lambda after_ns: 7)
    )
    row = SlotRow(1, ("a#1",), ("a",), "a", role="web")
    machine = SimpleNamespace(slots=[row])
    node: Any = SimpleNamespace(
        host=SimpleNamespace(groups={1: group, 3: group}), control=SimpleNamespace(machine=machine)
    )
    leases = Leases(node)
    assert [leases.until_ns(slot, 0) for slot in range(3)] == [0, 0, 7], "not begun, not here, not known yet"
    machine.slots = [SlotRow(1, ("a#1",), ("a",), "a", ("a",), (1, 1), "web")]
    assert leases.until_ns(0, 0) == 7
    machine.slots = [SlotRow(2, ("b#1",), ("b",), "b", ("b",), (1, 1), "web")]
    assert leases.until_ns(0, 0) == 0, (
        "another group began, and this process comes back from where it was given up"
    )
