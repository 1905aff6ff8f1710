"""The control state: idempotent entries, places that survive restarts, and one answer on every replica."""

from __future__ import annotations

import pytest

from casty.cluster.control import service_registry as registry
from casty.cluster.control.machine import (
    FOUND,
    JOIN,
    MALFORMED,
    MAX_GIVEN_UP,
    NOT_ON_TOP,
    REGION,
    SERVICE,
    STATUS,
    TOO_MANY,
    ControlMachine,
    check_entry,
)
from casty.cluster.control.rows import MAX_FORMER
from casty.cluster.control.service_offers import WHOLE
from casty.errors import RemoteProtocolError
from casty.limits import MAX_REGION_NAME_BYTES, MAX_REGIONS
from casty.wire.pack import pack
from chaos.ablations.bug import Planted, planted
from chaos.ablations.founding import LATE_JOIN


def founded(*nodes: str, slots: int = 8) -> ControlMachine:
    machine = ControlMachine()
    document = {
        "id": "f1",
        "founder": nodes[0],
        "name": "shop",
        "generation": 5,
        "cluster_id": "c1",
        "replication": 3,
        "slots": slots,
        "settings": {"session_ttl_s": 15.0, "drift": 0.01},
        "founders": [[node, f"{node}-1", node, 1, [None, 100, []]] for node in nodes],
    }
    machine.apply(pack([FOUND, document]))
    return machine


def join(machine: ControlMachine, node: str, incarnation: str, status: str = "up") -> None:
    machine.apply(pack([JOIN, node, incarnation, node, 1, [None, 100, []]]))
    machine.apply(pack([STATUS, node, incarnation, status]))


def test_the_founding_places_every_slot_on_three_nodes_and_spreads_leaders() -> None:
    machine = founded("a", "b", "c", slots=64)
    assert all(row.target == ("a", "b", "c") for row in machine.slots)
    counts = [sum(row.preferred == node for row in machine.slots) for node in "abc"]
    assert sorted(counts) == [21, 21, 22]


def test_a_second_founding_changes_nothing() -> None:
    machine = founded("a")
    before = machine.dump()
    machine.apply(pack([FOUND, {"name": "other"}]))
    assert machine.dump() == before


def test_groups_grow_from_one_to_three_and_never_to_two() -> None:
    machine = founded("a")
    join(machine, "b", "b-1")
    assert all(len(row.target) == 1 for row in machine.slots)
    join(machine, "c", "c-1")
    assert all(len(row.target) == 3 for row in machine.slots)


def test_a_new_incarnation_has_its_predecessors_places() -> None:
    machine = founded("a", "b", "c")
    machine.apply(pack([JOIN, "b", "b-2", "b", 1, [None, 100, []]]))
    assert machine.slot_voters(0) == ("a#a-1", "b#b-2", "c#c-1")
    voters, learners = machine.control_voters(["a", "b", "c"])
    assert voters == ("a#a-1", "b#b-2", "c#c-1")
    assert learners == ()


def late_joins(machine: ControlMachine, restarts: int) -> list[str]:
    """Restart b some times, give each dead one's JOIN once more, and return who was b after each."""
    for number in range(2, restarts + 2):
        join(machine, "b", f"b-{number}")
    seen: list[str] = []
    for number in range(1, restarts + 1):
        machine.apply(pack([JOIN, "b", f"b-{number}", "b", 1, [None, 100, []]]))
        seen.append(machine.members["b"].incarnation)
    return seen


@pytest.mark.parametrize("restarts", [1, 2, MAX_FORMER])
def test_a_late_join_of_a_dead_process_does_not_replace_its_successor(restarts: int) -> None:
    machine = founded("a", "b", "c")
    assert late_joins(machine, restarts) == [f"b-{restarts + 1}"] * restarts
    assert machine.members["b"].status == "up"


def test_a_replica_that_loaded_the_state_refuses_the_same_late_joins() -> None:
    machine, copy = founded("a", "b", "c"), ControlMachine()
    join(machine, "b", "b-2")
    copy.load(machine.dump())
    assert copy.dump() == machine.dump()
    copy.apply(pack([JOIN, "b", "b-1", "b", 1, [None, 100, []]]))
    assert copy.dump() == machine.dump()


def test_rows_remember_a_bounded_number_of_processes() -> None:
    machine = founded("a", "b", "c")
    for number in range(2, 3 * MAX_FORMER):
        join(machine, "b", f"b-{number}")
    assert len(machine.members["b"].former) == MAX_FORMER


def test_one_that_was_given_up_before_it_was_up_may_still_return() -> None:
    machine = founded("a", "b", "c")
    join(machine, "d", "d-1", "removed")
    join(machine, "d", "d-1")
    assert machine.members["d"].status == "up"
    assert machine.members["d"].former == ()


@pytest.mark.parametrize("bug", LATE_JOIN, ids=lambda bug: bug.name)
def test_a_planted_bug_lets_late_joins_through(bug: Planted) -> None:
    with planted(bug):
        assert late_joins(founded("a", "b", "c"), 2) != ["b-3", "b-3"]


def test_a_verdict_about_a_dead_process_does_not_touch_its_successor() -> None:
    machine = founded("a", "b", "c")
    join(machine, "b", "b-2")
    machine.apply(pack([STATUS, "b", "b-1", "down"]))
    assert machine.members["b"].status == "up"


def test_a_member_that_never_came_up_does_not_count() -> None:
    machine = founded("a")
    machine.apply(pack([JOIN, "b", "b-1", "b", 1, [None, 100, []]]))
    join(machine, "c", "c-1")
    assert all(len(row.target) == 1 for row in machine.slots)


def test_a_fourth_member_follows_without_a_vote() -> None:
    machine = founded("a", "b", "c")
    join(machine, "d", "d-1")
    voters, learners = machine.control_voters(["a", "b", "c"])
    assert len(voters) == 3
    assert learners == ("d#d-1",)


def test_another_shard_count_is_refused_with_both_numbers() -> None:
    machine = founded("a")
    assert machine.apply(pack([REGION, "cart", 10, None])) == [0]
    assert machine.apply(pack([REGION, "cart", 20, None])) == [2, "num_shards", 10, 20]


PRINTER = ["printer", "casty://shop@b:1/p", True]


def announce(machine: ControlMachine, *numbers: int, rows: object, incarnation: str = "b-1") -> list[object]:
    return machine.apply(pack([SERVICE, "b", incarnation, *numbers, rows]))


def test_names_of_regions_are_bounded_alike_on_every_replica() -> None:
    machine = founded("a")
    for number in range(MAX_REGIONS):
        assert machine.apply(pack([REGION, f"region {number}", 10, None])) == [0]
    version = machine.version
    assert machine.apply(pack([REGION, "one more", 10, None])) == [
        TOO_MANY,
        "MAX_REGIONS",
        MAX_REGIONS,
        MAX_REGIONS,
    ]
    assert machine.apply(pack([REGION, "region 7", 10, None])) == [0]
    assert (len(machine.regions), machine.version) == (MAX_REGIONS, version)
    other = founded("a")
    assert other.apply(pack([REGION, "n" * (MAX_REGION_NAME_BYTES + 1), 10, None]))[0] == MALFORMED
    assert not other.regions


def test_services_of_a_restarted_node_are_gone_and_never_come_back() -> None:
    machine = founded("a", "b", "c")
    announce(machine, 0, 1, rows=[PRINTER])
    assert machine.services == {"printer": {"casty://shop@b:1/p": ("b", "b-1")}}
    join(machine, "b", "b-2")
    assert machine.services == {}
    assert announce(machine, 0, 1, rows=[PRINTER]) == [NOT_ON_TOP, None]
    assert announce(machine, WHOLE, 9, rows=[PRINTER]) == [NOT_ON_TOP, None]
    assert machine.services == {}


def test_a_late_duplicate_of_a_registration_changes_nothing() -> None:
    machine = founded("a", "b", "c")
    off = ["printer", "casty://shop@b:1/p", False]
    announce(machine, 0, 1, rows=[PRINTER])
    announce(machine, 1, 2, rows=[off])
    before = machine.dump()
    assert announce(machine, 0, 1, rows=[PRINTER]) == [NOT_ON_TOP, 2]
    assert announce(machine, 1, 2, rows=[off])[0] == 0
    assert machine.dump() == before


def test_what_changes_nothing_makes_no_version() -> None:
    machine = founded("a", "b", "c")
    announce(machine, 0, 1, rows=[PRINTER])
    machine.apply(pack([REGION, "cart", 10, None]))
    version = machine.version
    announce(machine, 0, 1, rows=[PRINTER])
    announce(machine, 1, 2, rows=[PRINTER])
    machine.apply(pack([REGION, "cart", 10, None]))
    assert machine.version == version


def test_a_removed_process_offers_nothing_until_it_announces_everything_anew() -> None:
    machine = founded("a")
    machine.apply(pack([JOIN, "b", "b-1", "b", 1, [None, 100, []]]))
    announce(machine, 0, 1, rows=[PRINTER])
    machine.apply(pack([STATUS, "b", "b-1", "removed"]))
    assert machine.services == {}
    join(machine, "b", "b-1")
    reply = announce(machine, 1, 2, rows=[PRINTER])
    assert reply[0] == NOT_ON_TOP
    recorded = machine.members["b"].offered
    assert announce(machine, WHOLE, recorded + 1, rows=[PRINTER])[:2] == [0, []]
    assert list(machine.services) == ["printer"]


@pytest.mark.parametrize("bound", ["MAX_SERVICES", "MAX_SERVICE_BYTES"])
def test_what_exceeds_the_bound_of_services_is_refused_and_the_rest_taken(
    bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, bound, 2 if bound == "MAX_SERVICES" else 6)
    machine = founded("a", "b", "c")
    rows = [["k", "r1", True], ["k", "r2", True], ["k", "r3", True]]
    assert announce(machine, 0, 1, rows=rows) == [0, [["k", "r3"]], 2, 6]
    assert announce(machine, 0, 1, rows=rows) == [0, [["k", "r3"]], 2, 6]
    assert announce(machine, 1, 2, rows=[["k", "r1", False]]) == [0, [], 1, 3]
    assert announce(machine, 2, 3, rows=[["k", "r3", True]]) == [0, [], 2, 6]
    other = ControlMachine()
    other.load(machine.dump())
    assert (other.registry.count, other.registry.size_bytes) == (2, 6)


def test_a_dump_loads_into_an_equal_machine() -> None:
    machine = founded("a", "b", "c")
    join(machine, "d", "d-1")
    machine.apply(pack([REGION, "cart", 10, None]))
    announce(machine, 0, 1, rows=[PRINTER])
    other = ControlMachine()
    other.load(machine.dump())
    assert other.dump() == machine.dump()
    assert other.members == machine.members
    assert other.slots == machine.slots


@pytest.mark.parametrize(
    "entry",
    [
        [],
        {},
        [9],
        [JOIN, "a"],
        [JOIN, "a", "b", "c", "d"],
        [STATUS, "a", "b", "sideways"],
        [REGION, 1, 2, None],
        [SERVICE, "b", "b-1", 0, 1, [["k", "r"]]],
    ],
)
def test_nonsense_is_refused_before_it_is_proposed(entry: object) -> None:
    with pytest.raises(RemoteProtocolError):
        check_entry(pack(entry))


def test_of_those_that_never_came_up_only_the_latest_stay_recorded() -> None:
    machine = founded("a", "b", "c")
    machine.apply(pack([STATUS, "b", "b-1", "down"]))
    join(machine, "late", "late-1", "up")
    replicas = machine.slots, machine.control_voters(["a", "b", "c"])[0]
    for number in range(MAX_GIVEN_UP + 50):
        join(machine, f"x{number}", "1", "removed")
    machine.apply(pack([JOIN, "coming", "1", "coming", 1, [None, 100, []]]))
    assert [node for node in machine.members if not node.startswith("x")] == ["a", "b", "c", "late", "coming"]
    given_up = [node for node in machine.members if node.startswith("x")]
    assert given_up == [f"x{number}" for number in range(50, MAX_GIVEN_UP + 50)]
    assert (machine.slots, machine.control_voters(["a", "b", "c"])[0]) == replicas
    copy = ControlMachine()
    copy.load(machine.dump())
    for other in (machine, copy):
        join(other, "y", "1", "removed")
        assert other.apply(pack([STATUS, "x0", "1", "up"])) == [0, None]
        assert other.apply(pack([SERVICE, "x0", "1", WHOLE, 1, []])) == [NOT_ON_TOP, None]
        join(other, "x0", "1", "up")
    assert "x50" not in machine.members and machine.members["x0"].status == "up"
    assert machine.dump() == copy.dump()


# -- members with disks


def on_disks(*nodes: str) -> ControlMachine:
    machine = founded(*nodes)
    for node in nodes:
        machine.apply(pack([JOIN, node, f"{node}+1+x", node, 1, [None, 100, []]]))
        machine.apply(pack([STATUS, node, f"{node}+1+x", "up"]))
    return machine


def test_each_start_of_a_disk_is_another_process_in_the_same_place() -> None:
    machine = on_disks("a", "b", "c")
    voters = machine.slot_voters(0), machine.control_voters(["a", "b", "c"])
    former = machine.members["a"].former
    machine.apply(pack([JOIN, "a", "a+2+y", "elsewhere", 2, [None, 100, []]]))
    row = machine.members["a"]
    assert (row.key, row.replica_id, row.status, row.former) == ("a#a+2+y", "a#a", "joining", former)
    assert (machine.slot_voters(0), machine.control_voters(["a", "b", "c"])) == voters
    assert row.was_up, "it keeps its places"


@pytest.mark.parametrize("late", ["a+1+x", "a+2+copy", "a+1+copy"])
def test_a_disk_that_is_out_of_date_or_a_copy_is_no_member(late: str) -> None:
    machine = on_disks("a", "b", "c")
    machine.apply(pack([JOIN, "a", "a+2+y", "a", 1, [None, 100, []]]))
    version = machine.version
    assert machine.members["a"].is_replaced(late) and not machine.members["a"].is_replaced("a+2+y")
    machine.apply(pack([JOIN, "a", late, "a", 1, [None, 100, []]]))
    assert machine.members["a"].incarnation == "a+2+y" and machine.version == version


def test_a_node_that_went_on_without_its_disk_does_not_get_it_back() -> None:
    machine = on_disks("a", "b", "c")
    machine.apply(pack([JOIN, "a", "memory", "a", 1, [None, 100, []]]))
    assert machine.members["a"].replica_id == "a#memory"
    assert machine.members["a"].is_replaced("a+7+z"), "whatever start it is"
    machine.apply(pack([JOIN, "a", "a+7+z", "a", 1, [None, 100, []]]))
    assert machine.members["a"].incarnation == "memory"
    machine.apply(pack([JOIN, "a", "new+1+w", "a", 1, [None, 100, []]]))
    assert machine.members["a"].replica_id == "a#new", "another disk is as good as any"
