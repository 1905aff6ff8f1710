"""What the control state makes of zones and weights: who takes whose place, on every replica alike."""

from __future__ import annotations

from collections import Counter
from typing import Any

from casty.cluster.control.balance import left_to_move
from casty.cluster.control.machine import FOUND, HELD, JOIN, STATUS, ControlMachine
from casty.cluster.control.placement import crowding
from casty.cluster.control.upkeep import is_calm, place_entry, places_to_move
from casty.traits import Traits
from casty.wire.pack import pack

Rows = dict[str, Traits]


def founding_document(rows: Rows, slots: int = 12) -> dict[str, Any]:
    return {
        "id": "f1", "founder": min(rows), "name": "shop", "generation": 5, "cluster_id": "c1", "replication": 3,
        "slots": slots, "settings": {"session_ttl_s": 15.0, "drift": 0.01},
        "founders": [[node, f"{node}-1", node, 1, traits.plain] for node, traits in rows.items()],
    }  # fmt: skip


def founded(rows: Rows, slots: int = 12) -> ControlMachine:
    machine = ControlMachine()
    machine.apply(pack([FOUND, founding_document(rows, slots)]))
    return machine


def join(machine: ControlMachine, node: str, traits: Traits, life: int = 1) -> None:
    machine.apply(pack([JOIN, node, f"{node}-{life}", node, 1, traits.plain]))
    machine.apply(pack([STATUS, node, f"{node}-{life}", "up"]))


def mark(machine: ControlMachine, node: str, status: str) -> None:
    machine.apply(pack([STATUS, node, f"{node}-1", status]))


def settle(machine: ControlMachine) -> int:
    """Let every slot's leader reach the target, and move what is to move; returns how many moves that were."""
    moves = 0
    while True:
        for slot, row in enumerate(machine.slots):
            if row.is_moving:
                term, step = row.held_at
                machine.apply(pack([HELD, slot, row.epoch, term, step + 10, list(row.target), row.targets]))
        assert is_calm(machine)
        entry = place_entry(machine)
        if entry is None:
            return moves
        machine.apply(pack(entry))
        moves += 1


def zones(machine: ControlMachine) -> list[int]:
    return [crowding(row.target, machine.traits) for row in machine.slots]


SIX = {f"{zone}{number}": Traits(zone) for zone in "abc" for number in (1, 2)}


def test_who_dies_is_replaced_in_its_zone_and_what_comes_later_spreads_again() -> None:
    machine = founded(SIX)
    assert zones(machine) == [0] * 12
    mark(machine, "a1", "down")
    assert zones(machine) == [0] * 12, "the other one of that zone takes its places"
    mark(machine, "a2", "down")
    assert sum(zones(machine)) == 12, "nobody is left of it"
    assert not any("a1" in row.target or "a2" in row.target for row in machine.slots)
    for node in ("a1", "a2"):
        mark(machine, node, "leaving")
        mark(machine, node, "removed")
    join(machine, "a3", Traits("a"))
    assert settle(machine) == 12
    assert zones(machine) == [0] * 12
    assert places_to_move(machine) == 0


def test_a_restart_may_say_something_else_of_the_node() -> None:
    machine = founded({"a": Traits("x"), "b": Traits("y"), "c": Traits("z"), "d": Traits("z")})
    before = machine.version
    join(machine, "d", Traits("w", 50, ("batch",)), life=2)
    assert machine.version > before
    assert machine.members["d"].traits == Traits("w", 50, ("batch",))
    copy = ControlMachine()
    copy.load(machine.dump())
    assert copy.traits == machine.traits
    assert copy.dump() == machine.dump()


def test_weights_count_in_places_and_leaderships() -> None:
    machine = founded({name: Traits() for name in "abcd"}, slots=36)
    join(machine, "e", Traits(None, 200))
    left = left_to_move([row.target for row in machine.slots], sorted(machine.candidates()), machine.traits)
    assert places_to_move(machine) == left == 36, "of 108 places it has a third"
    moves = settle(machine)
    load = Counter(node for row in machine.slots for node in row.target)
    assert left - 1 <= moves <= left
    assert load["e"] >= 35
    leads = Counter(row.preferred for row in machine.slots)
    assert leads["e"] in (12, 13)
    assert all(leads[node] in (5, 6, 7) for node in "abcd")


def test_the_control_group_is_spread_over_zones_and_its_leader_stays() -> None:
    machine = founded({"a1": Traits("a"), "a2": Traits("a"), "b1": Traits("b")})
    assert voters(machine, "a2", "a1", "a2", "b1") == ["a1", "a2", "b1"]
    join(machine, "c1", Traits("c"))
    assert voters(machine, "a2", "a1", "a2", "b1") == ["a2", "b1", "c1"]
    assert voters(machine, "a1", "a1", "a2", "b1") == ["a1", "b1", "c1"]
    assert voters(machine, "a1", "a1", "b1", "c1") == ["a1", "b1", "c1"]
    mark(machine, "b1", "down")
    assert voters(machine, "a1", "a1", "b1", "c1") == ["a1", "a2", "c1"]
    mark(machine, "c1", "down")
    assert voters(machine, "a1", "a1", "a2", "c1") == ["a1", "a2", "c1"], (
        "who is silent is not given up for spread"
    )


def voters(machine: ControlMachine, leader: str, *current: str) -> list[str]:
    return [key.partition("#")[0] for key in machine.control_voters(sorted(current), leader)[0]]
