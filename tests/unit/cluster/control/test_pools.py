"""Slots that belong to a role: opened with the first region of it, held by members that have it, and by no other."""

from __future__ import annotations

from casty.cluster.control.machine import (
    FOUND,
    HELD,
    JOIN,
    PLACE,
    REGION,
    STATUS,
    TOO_MANY,
    ControlMachine,
)
from casty.cluster.control.topology import LeaderTable, from_plain, of_machine, to_plain
from casty.cluster.control.topology_delta import delta_of
from casty.cluster.control.upkeep import is_replaced
from casty.distributed.machines.base import EVENTS
from casty.distributed.machines.events import Home, log_name
from casty.limits import MAX_POOL_SLOTS, MAX_POOLS
from casty.traits import Traits
from casty.wire.pack import pack, unpack
from tests.unit.cluster.control.test_traits_of_members import founded, founding_document, join, mark, settle

WEB = Traits(roles=("web",))
ROWS = {"a": Traits(), "b": WEB, "c": WEB, "d": WEB, "e": Traits()}


def region(machine: ControlMachine, name: str, role: str | None, shards: int = 10) -> list[object]:
    return machine.apply(pack([REGION, name, shards, role]))


def web(machine: ControlMachine) -> list[tuple[str, ...]]:
    return [row.target for row in machine.slots if row.role == "web"]


def test_a_role_has_slots_of_its_own_and_its_members_have_them() -> None:
    machine = founded(ROWS)
    before = [row.target for row in machine.slots]
    assert region(machine, "cart", "web") == [0]
    assert machine.pools == {"web": 12}
    assert web(machine) == [("b", "c", "d")] * 12
    assert [row.target for row in machine.slots[:12]] == before, "and no other slot moves"
    for row in machine.slots[12:]:
        assert row.first == ("b#b-1", "c#c-1", "d#d-1")
        assert not row.held, "until it is there"
        assert row.preferred in "bcd"
    assert region(machine, "till", "web") == [0]
    assert len(machine.slots) == 24, "all regions of a role share its slots"
    assert region(machine, "cart", "web") == [0]
    assert region(machine, "cart", None) == [2, "role", "web", None]
    assert region(machine, "plain", None) == [0]
    assert region(machine, "plain", "web") == [2, "role", None, "web"]
    assert region(machine, "cart", "web", 11) == [2, "num_shards", 10, 11]
    copy = ControlMachine()
    copy.load(machine.dump())
    assert copy.dump() == machine.dump()


def test_it_waits_for_members_that_have_it() -> None:
    machine = founded({"a": Traits(), "b": Traits(), "c": Traits()})
    region(machine, "cart", "web")
    assert web(machine) == [()] * 12
    assert all(not row.first and not row.is_moving and row.preferred is None for row in machine.slots[12:])
    join(machine, "d", WEB)
    assert web(machine) == [("d",)] * 12
    assert all(row.first == ("d#d-1",) for row in machine.slots[12:])
    settle(machine)
    join(machine, "e", WEB)
    assert web(machine) == [("d",)] * 12, "never an even number"
    join(machine, "f", WEB)
    assert web(machine) == [("d", "e", "f")] * 12
    assert all(row.first == ("d#d-1",) for row in machine.slots[12:]), "the group grows by its own changes"


def test_a_group_that_never_was_there_begins_elsewhere_when_who_was_named_is_down() -> None:
    machine = founded({"a": Traits(), "b": WEB, "c": WEB, "d": Traits()})
    region(machine, "cart", "web")
    firsts = [row.first for row in machine.slots[12:]]
    assert sorted(dict.fromkeys(firsts)) == [("b#b-1",), ("c#c-1",)], "two tolerate what one does"
    told = firsts.index(("b#b-1",), 1)
    machine.apply(pack([HELD, 12 + told, machine.slots[12].epoch, 1, 1, ["b"], 0]))
    mark(machine, "b", "down")
    for slot, (row, first) in enumerate(zip(machine.slots[12:], firsts, strict=True)):
        is_anew = first == ("b#b-1",) and slot != told
        assert row.first == (("c#c-1",) if is_anew else first)
        assert row.is_beginning is (slot != told)
        assert row.epoch == machine.slots[0].epoch + is_anew, "terms of two groups are not compared"
        if is_anew:
            machine.apply(pack([HELD, 12 + slot, machine.slots[0].epoch, 2, 1, ["b"], 0]))
            assert machine.slots[12 + slot].is_beginning, "what the former group says is too late"
    assert "b#b-1" in machine.slots[12 + told].first, (
        "what was there may have had something: nothing begins empty"
    )


def test_a_group_of_three_that_never_was_there_begins_elsewhere_without_a_majority() -> None:
    machine = founded(ROWS)
    region(machine, "cart", "web")
    mark(machine, "c", "down")
    assert web(machine) == [("b", "c", "d")] * 12
    mark(machine, "d", "down")
    assert all(row.first == ("b#b-1",) for row in machine.slots[12:])
    mark(machine, "b", "down")
    before = machine.slots[12:]
    assert all(row.first == ("b#b-1",) for row in before), "nobody is there to have them"
    mark(machine, "d", "up")
    assert all(row.first == ("d#d-1",) for row in machine.slots[12:])
    assert {row.epoch for row in machine.slots[12:]} == {machine.slots[0].epoch + 2}


def test_a_group_that_never_was_there_keeps_its_places() -> None:
    machine = founded(ROWS)
    region(machine, "cart", "web")
    mark(machine, "c", "down")
    join(machine, "f", WEB)
    assert web(machine) == [("b", "c", "d")] * 12, "two of three can say that they are there"
    version = machine.version
    for slot in range(12, 24):
        machine.apply(pack([HELD, slot, machine.slots[slot].epoch, 1, 1, ["b", "c", "d"], 0]))
    assert web(machine) == [("b", "d", "f")] * 12 and machine.version > version


def test_places_of_a_role_go_to_its_members_only() -> None:
    machine = founded(ROWS)
    region(machine, "cart", "web")
    settle(machine)
    mark(machine, "c", "down")
    assert web(machine) == [("b", "c", "d")] * 12, "without another one the place waits"
    assert not is_replaced(machine, machine.members["c"], ["a", "b", "e"])
    machine.apply(pack([PLACE, 12, machine.slots[12].epoch, "c", "a"]))
    assert machine.slots[12].target == ("b", "c", "d"), "a has not the role"
    join(machine, "f", WEB)
    assert web(machine) == [("b", "d", "f")] * 12
    join(machine, "g", WEB)
    mark(machine, "c", "up")
    settle(machine)
    load = [sum(name in target for target in web(machine)) for name in "bcdfg"]
    assert max(load) - min(load) <= 1


def test_who_comes_again_without_the_role_gives_its_places_up() -> None:
    machine = founded({**ROWS, "f": WEB})
    region(machine, "cart", "web")
    settle(machine)
    machine.apply(pack([JOIN, "b", "b-2", "b", 1, Traits().plain]))
    machine.apply(pack([STATUS, "b", "b-2", "up"]))
    assert web(machine) == [("c", "d", "f")] * 12


def test_pools_are_bounded_and_as_large_as_the_cluster() -> None:
    machine = founded({"a": Traits(roles=("web",))}, slots=64)
    for number in range(MAX_POOLS):
        assert region(machine, f"r{number}", f"role-{number}") == [0]
    assert len(machine.slots) == 64 + MAX_POOLS * MAX_POOL_SLOTS
    assert region(machine, "more", "one-more") == [TOO_MANY, "MAX_POOLS", MAX_POOLS, MAX_POOLS]
    assert "more" not in machine.regions
    assert region(machine, "more", "role-3") == [0]


def test_clients_know_where_a_shard_is() -> None:
    machine = founded(ROWS)
    before = of_machine(machine, LeaderTable())
    region(machine, "cart", "web")
    region(machine, "job", "batch")
    region(machine, "plain", None)
    topology = of_machine(machine, LeaderTable())
    assert {topology.slot_of_shard("cart", shard) for shard in range(200)} == set(range(12, 24))
    assert {topology.slot_of_shard("job", shard) for shard in range(200)} == set(range(24, 36))
    for name in ("plain", "never heard of"):
        assert {topology.slot_of_shard(name, shard) for shard in range(200)} == set(range(12))
        assert topology.slot_of_shard(name, 3) == before.slot_of_shard(name, 3), (
            "where it was before there were roles"
        )
    assert from_plain(unpack(pack(to_plain(topology))), topology.leaders) == topology
    assert delta_of(before, topology, []) is None, "that is rare: the whole is sent"


def test_a_cluster_made_out_of_another_one_has_its_regions_and_the_slots_of_its_roles() -> None:
    """Without them `shared_slots` would be another number, and each structure would be looked for elsewhere."""
    former = founded(ROWS)
    region(former, "plain", None, 3)
    region(former, "cart", "web")
    region(former, "train", "batch", 5)
    document = founding_document({"x": Traits()}) | former.taken_over
    machine = ControlMachine()
    assert machine.apply(pack([FOUND, document])) == [0]
    assert (machine.pools, machine.shared_slots) == (former.pools, former.shared_slots)
    assert (machine.regions, machine.region_roles) == (former.regions, former.region_roles)
    assert [row.role for row in machine.slots] == [row.role for row in former.slots]
    assert all(row.target == row.held == ("x",) and row.has_begun for row in machine.slots)
    assert region(machine, "cart", "web", 11) == [2, "num_shards", 10, 11]
    assert region(machine, "cart", "web") == [0]
    old, new = of_machine(former, LeaderTable()), of_machine(machine, LeaderTable())
    for shard in range(10):
        name = log_name(Home("cart", shard, "id", "id"))
        assert new.slot_of(EVENTS, name) == old.slot_of(EVENTS, name) == old.slot_of_shard("cart", shard)
        assert old.slots[old.slot_of(EVENTS, name)][1] == ("b", "c", "d")
    join(machine, "w", WEB)
    assert web(machine) == [("w",)] * 12, "from who has it without the role"
    assert all(row.target == ("x",) for row in machine.slots if row.role == "batch"), "nobody else has it"
