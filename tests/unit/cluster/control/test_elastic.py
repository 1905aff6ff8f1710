"""Members that die, come under other names, leave and are forgotten: what the control state makes of them."""

from __future__ import annotations

from casty.cluster.control.machine import (
    FORGET,
    HELD,
    JOIN,
    MAX_GIVEN_UP,
    PLACE,
    SILENT,
    STATUS,
    ControlMachine,
)
from casty.cluster.control.upkeep import (
    MOVES_AT_ONCE,
    forget_entry,
    has_nothing,
    is_calm,
    is_replaced,
    moving,
    place_entry,
)
from casty.wire.pack import pack
from tests.unit.cluster.control.test_control import founded, join


def mark(machine: ControlMachine, node: str, status: str) -> list[object]:
    return machine.apply(pack([STATUS, node, f"{node}-1", status]))


def settle(machine: ControlMachine) -> None:
    """Let every slot's leader reach the target, and tell of it."""
    for slot, row in enumerate(machine.slots):
        if row.is_moving:
            term, step = row.held_at
            machine.apply(pack([HELD, slot, row.epoch, term, step + 10, list(row.target), row.targets]))


def voters(machine: ControlMachine, *current: str) -> list[str]:
    return [key.partition("#")[0] for key in machine.control_voters(sorted(current))[0]]


def balance(machine: ControlMachine) -> int:
    moves = 0
    while (entry := place_entry(machine)) is not None:
        machine.apply(pack(entry))
        moves += 1
        settle(machine)
    return moves


def test_a_spare_takes_the_places_of_one_that_is_down_whatever_its_name() -> None:
    machine = founded("a", "b", "c")
    join(machine, "d", "d-1")
    assert {row.target for row in machine.slots} == {("a", "b", "c")}
    mark(machine, "c", "down")
    assert {row.target for row in machine.slots} == {("a", "b", "d")}
    assert voters(machine, "a", "b", "c") == ["a", "b", "d"]
    mark(machine, "c", "up")
    assert {row.target for row in machine.slots} == {("a", "b", "d")}, "what was given away stays away"
    assert voters(machine, "a", "b", "d") == ["a", "b", "d"]


def test_who_comes_for_one_that_is_silent_makes_no_group_larger() -> None:
    machine = founded("a", "b", "c", "d")
    machine.apply(pack([SILENT, "a", "a-1", True]))
    join(machine, "e", "e-1")
    assert len(voters(machine, "a", "b", "c")) == 3
    mark(machine, "a", "down")
    assert voters(machine, "a", "b", "c") == ["b", "c", "d"]
    other = founded("a")
    join(other, "b", "b-1")
    other.apply(pack([SILENT, "b", "b-1", True]))
    join(other, "c", "c-1")
    assert {len(row.target) for row in other.slots} == {1}
    other.apply(pack([SILENT, "b", "b-1", False]))
    assert {len(row.target) for row in other.slots} == {3}, "it answers again"


def test_without_a_spare_the_place_waits() -> None:
    machine = founded("a", "b", "c")
    mark(machine, "c", "down")
    assert {row.target for row in machine.slots} == {("a", "b", "c")}
    assert "c" not in [row.preferred for row in machine.slots], "but leads nothing"
    join(machine, "d", "d-1")
    assert {row.target for row in machine.slots} == {("a", "b", "d")}


def test_three_nodes_are_replaced_one_after_the_other_under_new_names() -> None:
    machine = founded("a", "b", "c")
    answered = ["a", "b", "c"]
    for old, new in (("a", "d"), ("b", "e"), ("c", "f")):
        join(machine, new, f"{new}-1")
        mark(machine, old, "down")
        answered = voters(machine, *answered)
        settle(machine)
    assert answered == ["d", "e", "f"]
    assert {row.target for row in machine.slots} == {("d", "e", "f")}
    for old in ("a", "b", "c"):
        assert is_replaced(machine, machine.members[old], answered)
        mark(machine, old, "removed")
        entry = forget_entry(machine, answered)
        assert entry == [FORGET, old, f"{old}-1"]
        machine.apply(pack(entry))
    assert list(machine.members) == ["d", "e", "f"]
    assert {len(row.target) for row in machine.slots} == {3}


def test_a_crash_shrinks_no_group_and_a_leave_does() -> None:
    machine = founded("a", "b", "c", "d", "e")
    mark(machine, "d", "down")
    mark(machine, "e", "down")
    assert {len(row.target) for row in machine.slots} == {3}
    assert len(voters(machine, "a", "b", "c", "d", "e")) == 5
    assert not is_replaced(machine, machine.members["e"], ["a", "b", "c", "d", "e"]), "it has a vote yet"
    assert not is_replaced(machine, machine.members["e"], ["a", "b", "c"]), "and a place, as far as is known"
    settle(machine)
    assert is_replaced(machine, machine.members["e"], ["a", "b", "c"])
    mark(machine, "d", "removed")
    assert len(voters(machine, "a", "b", "c", "d", "e")) == 3
    small = founded("a", "b", "c")
    mark(small, "c", "leaving")
    assert {len(row.target) for row in small.slots} == {1}
    assert all(row.target == (row.preferred,) for row in small.slots), "who leads stays"
    assert len(voters(small, "a", "b", "c")) == 1


def growing() -> ControlMachine:
    """Return a cluster of one whose slots should be at three, of which the last one is down before it is there."""
    machine = founded("a")
    join(machine, "b", "b-1")
    join(machine, "c", "c-1")
    assert {row.target for row in machine.slots} == {("a", "b", "c")}
    assert {row.held for row in machine.slots} == {("a",)}
    return machine


def test_a_group_that_was_to_grow_does_not_wait_for_one_that_is_down() -> None:
    machine = growing()
    mark(machine, "c", "down")
    assert {row.target for row in machine.slots} == {("a",)}, "two tolerate what one does"
    assert not has_nothing(machine, machine.members["c"], ["a"]), "the leaders may have begun to take it in"
    tell_all(machine)
    assert has_nothing(machine, machine.members["c"], ["a"]) and not any(moving_slots(machine))
    mark(machine, "c", "up")
    assert {row.target for row in machine.slots} == {("a", "b", "c")}


def tell_all(machine: ControlMachine) -> None:
    """All leaders tell that nothing has changed, and that they know where their slots should be."""
    for slot, row in enumerate(machine.slots):
        term, step = row.held_at
        machine.apply(pack([HELD, slot, row.epoch, max(1, term), max(1, step), list(row.held), row.targets]))


def moving_slots(machine: ControlMachine) -> list[bool]:
    return [row.is_moving for row in machine.slots]


def test_a_group_that_had_grown_stays_so_when_that_was_told_late() -> None:
    machine = growing()
    mark(machine, "c", "down")
    slot, epoch = 0, machine.slots[0].epoch
    machine.apply(pack([HELD, slot, epoch, 1, 6, ["a", "b", "c"], 0]))
    assert machine.slots[0].target == ("a",), "it was about to: it may have been given up"
    version = machine.version
    machine.apply(pack([HELD, slot, epoch, 1, 7, ["a", "b", "c"], 0]))
    assert machine.slots[0].target == ("a", "b", "c") and machine.version > version
    assert {row.target for row in machine.slots[1:]} == {("a",)}
    mark(machine, "c", "leaving")
    machine.apply(pack([HELD, slot, epoch, 2, 9, ["a", "b", "c"], 0]))
    assert len(machine.slots[0].target) == 1, "a leave makes it smaller"


def test_a_group_that_had_grown_stays_so_also_when_others_were_to_take_its_places() -> None:
    machine = growing()
    join(machine, "d", "d-1")
    mark(machine, "a", "down")
    assert {row.target for row in machine.slots} == {("b", "c", "d")} and machine.slots[0].held == ("a",)
    mark(machine, "d", "down")
    small = machine.slots[0].target
    assert len(small) == 1, "who was to come is down"
    machine.apply(pack([HELD, 0, machine.slots[0].epoch, 1, 7, ["a", "c", "d"], 0]))
    assert machine.slots[0].target == ("a", "c", "d")


def test_who_was_to_get_a_place_is_named_until_the_leader_knows_that_it_gets_none() -> None:
    machine = growing()
    mark(machine, "c", "leaving")
    row, before = machine.slots[0], machine.version
    assert (row.target, row.held, row.dropped) == (("a",), ("a",), ("b", "c"))
    machine.apply(pack([HELD, 0, row.epoch, 1, 3, ["a"], row.targets - 1]))
    assert machine.has_replica("c") and machine.slots[0].names("b"), "it was told before that was known"
    machine.apply(pack([HELD, 0, row.epoch, 1, 2, ["a"], row.targets]))
    assert machine.slots[0].names("c"), "of what is no more"
    copy = ControlMachine()
    copy.load(machine.dump())
    assert copy.dump() == machine.dump()
    tell_all(machine)
    assert not machine.has_replica("c") and machine.slots[0].held == ("a",)
    assert machine.version == before, "clients need not know"
    mark(machine, "b", "down")
    join(machine, "d", "d-1")
    join(machine, "e", "e-1")
    again = machine.slots[0]
    assert again.target == ("a", "d", "e") and not again.dropped
    mark(machine, "e", "leaving")
    machine.apply(pack([HELD, 0, row.epoch, 1, 3, ["a"], row.targets]))
    assert machine.slots[0].names("e"), "a word that comes twice says nothing of a later target"


def test_nobody_is_removed_whose_place_nobody_took() -> None:
    machine = founded("a", "b", "c")
    mark(machine, "c", "down")
    settle(machine)
    assert not is_replaced(machine, machine.members["c"], ["a", "b"])
    for row in machine.slots:
        assert "c" in row.target


def test_who_leaves_is_removed_when_nothing_names_it_and_forgotten_then() -> None:
    machine = founded("a", "b", "c", "d")
    mark(machine, "d", "leaving")
    row = machine.members["d"]
    assert not any("d" in slot.target for slot in machine.slots)
    assert not has_nothing(machine, row, ["a", "b", "c"]), "groups have it yet"
    settle(machine)
    assert not has_nothing(machine, row, ["a", "b", "d"]), "and it votes"
    assert has_nothing(machine, row, ["a", "b", "c"])
    mark(machine, "d", "up")
    assert machine.members["d"].status == "leaving", "a late verdict brings nobody back"
    for status in ("down", "up"):
        mark(machine, "d", status)
        assert machine.members["d"].status == "down" and not machine.members["d"].is_counted
    assert mark(machine, "d", "removed") == [0, "removed"]
    assert mark(machine, "d", "up") == [0, "removed"]
    machine.apply(pack([FORGET, "d", "other"]))
    machine.apply(pack([FORGET, "d", "d-1"]))
    assert "d" not in machine.members
    assert mark(machine, "d", "leaving") == [0, None]


def test_who_was_removed_while_it_was_silent_is_told_to_go_on_while_it_is_named() -> None:
    machine = founded("a", "b", "c")
    mark(machine, "b", "down")
    mark(machine, "b", "removed")
    assert mark(machine, "b", "leaving") == [0, "leaving"]
    assert machine.members["b"].status == "removed"
    settle(machine)
    assert mark(machine, "b", "leaving") == [0, "removed"]


def test_that_one_leaves_is_in_the_snapshot() -> None:
    machine = founded("a", "b", "c")
    mark(machine, "b", "leaving")
    mark(machine, "b", "down")
    other = ControlMachine()
    other.load(machine.dump())
    assert other.members["b"].is_leaving and other.dump() == machine.dump()


def test_a_row_is_kept_for_as_long_as_a_configuration_names_it() -> None:
    machine = founded("a", "b", "c", "d")
    mark(machine, "d", "leaving")
    mark(machine, "d", "removed")
    assert forget_entry(machine, ["a", "b", "c"]) is None
    machine.apply(pack([FORGET, "d", "d-1"]))
    assert machine.members["d"].status == "removed"


def test_a_row_that_a_target_needs_is_kept_however_many_came_later() -> None:
    machine = founded("a")
    mark(machine, "a", "leaving")
    mark(machine, "a", "removed")
    join(machine, "a", "a-1", "removed")
    for number in range(MAX_GIVEN_UP + 5):
        join(machine, f"x{number}", "1", "removed")
    assert machine.slot_voters(0) == ("a#a-1",), "nobody took its places"


def test_who_is_up_is_never_removed() -> None:
    machine = founded("a", "b", "c", "d")
    assert mark(machine, "d", "removed") == [0, "up"]
    assert machine.members["d"].status == "up"
    machine.apply(pack([JOIN, "d", "d-2", "d", 1, [None, 100, []]]))
    assert machine.apply(pack([STATUS, "d", "d-2", "removed"])) == [0, "joining"]


def test_a_new_process_of_one_that_was_leaving_counts_when_it_is_up() -> None:
    machine = founded("a", "b", "c")
    mark(machine, "c", "leaving")
    machine.apply(pack([JOIN, "c", "c-2", "c", 1, [None, 100, []]]))
    assert machine.counted == 2
    machine.apply(pack([STATUS, "c", "c-2", "up"]))
    assert machine.counted == 3
    assert {len(row.target) for row in machine.slots} == {3}


def test_one_that_was_removed_and_lives_joins_as_the_same_process() -> None:
    machine = founded("a", "b", "c", "d")
    mark(machine, "d", "down")
    mark(machine, "d", "removed")
    machine.apply(pack([JOIN, "d", "d-1", "d", 1, [None, 100, []]]))
    assert (machine.members["d"].status, machine.members["d"].was_up) == ("joining", False)
    assert mark(machine, "d", "up") == [0, "up"]


def test_a_join_of_a_fourth_moves_a_quarter_of_the_places_one_by_one() -> None:
    machine = founded("a", "b", "c", slots=64)
    join(machine, "d", "d-1")
    assert moving(machine) == []
    assert balance(machine) == 48
    counts = [sum(node in row.target for row in machine.slots) for node in "abcd"]
    assert counts == [48] * 4
    leads = [sum(row.preferred == node for row in machine.slots) for node in "abcd"]
    assert leads == [16] * 4


def test_no_more_than_a_few_slots_are_on_their_way_at_once() -> None:
    machine = founded("a", "b", "c", slots=64)
    join(machine, "d", "d-1")
    for _ in range(MOVES_AT_ONCE):
        entry = place_entry(machine)
        assert entry is not None
        machine.apply(pack(entry))
    assert len(moving(machine)) == MOVES_AT_ONCE
    assert place_entry(machine) is None
    settle(machine)
    assert place_entry(machine) is not None


def test_a_move_that_comes_twice_or_late_changes_nothing() -> None:
    machine = founded("a", "b", "c", slots=8)
    join(machine, "d", "d-1")
    entry = place_entry(machine)
    assert entry is not None
    machine.apply(pack(entry))
    before = machine.dump()
    machine.apply(pack(entry))
    assert machine.dump() == before
    _, slot, epoch, leaves, comes = entry
    for late in (
        [PLACE, slot, epoch, "x", "y"],
        [PLACE, slot, int(str(epoch)) + 1, comes, leaves],
        [PLACE, 99, epoch, leaves, comes],
    ):
        machine.apply(pack(late))
        assert machine.dump() == before
    mark(machine, str(leaves), "down")
    after = machine.dump()
    machine.apply(pack([PLACE, slot, epoch, comes, leaves]))
    assert machine.dump() == after, "nobody takes a place who is not up"


def test_nothing_moves_for_balance_while_somebody_is_missing() -> None:
    machine = founded("a", "b", "c")
    join(machine, "d", "d-1")
    assert is_calm(machine)
    machine.apply(pack([SILENT, "b", "b-1", True]))
    assert not is_calm(machine)
    machine.apply(pack([SILENT, "b", "b-1", False]))
    machine.apply(pack([JOIN, "b", "b-2", "b", 1, [None, 100, []]]))
    assert not is_calm(machine), "it comes again"
    machine.apply(pack([STATUS, "b", "b-2", "up"]))
    mark(machine, "c", "down")
    assert not is_calm(machine), "its places are on their way"
    settle(machine)
    assert is_calm(machine), "who is down and has nothing holds up nobody"
    mark(machine, "d", "leaving")
    assert not is_calm(machine)


def test_what_a_slot_told_first_does_not_replace_what_it_told_later() -> None:
    machine = founded("a", "b", "c")
    epoch = machine.slots[0].epoch
    version = machine.version
    machine.apply(pack([HELD, 0, epoch, 3, 9, ["b", "a"], 0]))
    for late in ([epoch, 3, 7], [epoch, 2, 20], [epoch + 1, 4, 20]):
        machine.apply(pack([HELD, 0, *late, ["c"], 0]))
    assert (machine.slots[0].held, machine.slots[0].held_at) == (("a", "b"), (3, 9))
    machine.apply(pack([HELD, 0, epoch, 4, 2, ["a", "b", "c"], 0]))
    assert machine.slots[0].held_at == (4, 2), "what a leader began may be written over by the next one"
    assert machine.version == version, "clients need not know"
    copy = ControlMachine()
    copy.load(machine.dump())
    assert copy.slots == machine.slots
