"""Planted bugs in who has a place, how one moves, and how members end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from casty.cluster.actors.wiring import Leases
from casty.cluster.control import machine as control_state
from casty.cluster.control import placement, upkeep
from casty.cluster.control.balance import Move
from casty.cluster.control.machine import ControlMachine, MemberRow
from casty.cluster.control.placement import Holders, Size
from casty.cluster.control.rows import SlotRow
from casty.cluster.multiraft.host import Host
from casty.cluster.node import control_group
from casty.cluster.node import leader_tasks as duties
from casty.cluster.node.course import Told
from casty.cluster.node.leaving import Leaving
from casty.cluster.node.links import Links
from casty.cluster.node.removed_replicas import Vacated
from casty.cluster.node.request_handler import RequestHandler
from casty.consensus import Membership, changing, leading

from .bug import Planted, bug_in, shown

__all__ = ["ELASTIC"]


def _on_the_target(right: Any) -> Any:
    """A replica is deleted as soon as the target does not name it."""

    def end(vacated: Any, group: Any, index: int, members: tuple[object, ...]) -> bool:
        del index
        others = tuple(id for id in members if id != group.core.id)
        return bool(right(vacated, group, 1 << 60, others))

    return end


def _same_name(_host: Any, _number: int, _epoch: int) -> int:
    """A replica that was deleted comes again under its old name."""
    return 0


def _only_who_is_up(row: Any) -> bool:
    """Who is down does not count."""
    return bool(row.was_up) and row.status in ("up", "joining")


def _in_one_step(state: Any, membership: Membership, target: Membership, is_answered: Any) -> None:
    """Voters are changed without a joint configuration."""
    del is_answered
    newcomers = [id for id in target.voters if id not in membership.voters]
    learners = tuple(sorted(id for id in (*target.learners, *newcomers) if id not in membership.voters))
    if learners != membership.learners:
        changing.append_membership(state, Membership(membership.voters, (), learners))
    elif target.voters != membership.voters and all(state.progress[id].is_caught_up for id in newcomers):
        changing.append_membership(state, Membership(target.voters, (), target.learners))


_fill = placement.fill


def _to_two(holders: Holders, candidates: Any, size: Size) -> tuple[str, ...]:
    """A place that is given away is given to two."""
    replicas = _fill(holders, candidates, size)
    taken = [node for node in replicas if node in candidates and node not in holders.staying]
    more = [node for node in candidates if node not in replicas and node not in holders.ending]
    is_given = holders.waiting and taken and len(replicas) == size.most
    return tuple(sorted([*replicas, *more[:1]])) if is_given else replicas


def _for_the_dead(holders: Holders, candidates: Any, size: Size) -> tuple[str, ...]:
    """A group that is to grow waits for one that died on its way there."""
    return _fill(holders._replace(coming=(), reached=0), candidates, size)


def _left_to_the_dead(holders: Holders, candidates: Any, size: Size) -> tuple[str, ...]:
    """Who leaves gives its place up to those who are down."""
    replicas = _fill(holders._replace(ending=()), candidates, size)
    return replicas or _fill(holders, candidates, size)


def _never_itself(leaving: Any) -> str | None:
    """Who leaves asks the others only, once nobody answered."""
    others = leaving._linked()[1:]
    return others[(leaving._attempts - 1) % len(others)] if leaving._attempts and others else None


def _told_late(_machine: Any, _slot: int, _row: Any) -> None:
    """A group that had grown becomes smaller when that was told late."""


def _within_its_target(right: Any) -> Any:
    """A group that had grown becomes smaller when its target names somebody new."""

    def reached(machine: Any, slot: int, row: Any) -> None:
        if all(node_id in row.held for node_id in row.target):
            right(machine, slot, row)

    return reached


def _never_gone(_machine: Any, _replica_ids: Any) -> bool:
    """A role's slots wait for ever for a process that died before it had them."""
    return False


def _dropped_at_once(row: Any, target: tuple[str, ...], preferred: str | None) -> Any:
    """Whom a target names no more, nobody is taking in."""
    return replace(row, target=target, preferred=preferred, targets=row.targets + (target != row.target))


def _believed_without_lease(right: Any) -> Any:
    """Whoever led a slot once says whom it takes in."""

    def tell(self: Any, group: Any, row: Any, now_ns: int) -> None:
        lease, group.core.lease_until_ns = group.core.lease_until_ns, lambda: now_ns + 1
        try:
            right(self, group, row, now_ns)
        finally:
            group.core.lease_until_ns = lease

    return tell


def _answered(_state: Any, _voters: Any) -> bool:
    """A group walks to voters of whom no majority is there."""
    return True


def _named_when_opened(_links: Any) -> None:
    """What an address is named for later counts only for links that come then."""


def _two_for_three(holders: Holders, candidates: Any, size: Size) -> tuple[str, ...]:
    """Where somebody comes for one that leaves, nobody waits for one that is down."""
    found = _fill(holders, candidates, size)
    is_taken = holders.ending and any(node not in (*holders.staying, *holders.waiting) for node in found)
    return tuple(node for node in found if not is_taken or node not in holders.waiting)


def _uncorrected(_host: Any, _sender: Any, _groups: Any) -> None:
    """Whoever sends to a former replica hears nothing."""


def _never_of_the_past(_vacated: Any, _group: Any) -> bool:
    """A replica of a group in whose place another one began stays, and keeps its place from it."""
    return False


def _at_once(leases: Any, slot: int, after_ns: int) -> int:
    """A role's slots serve before anybody knows that they are there."""
    group = leases._node.host.groups.get(slot + 1)
    return 0 if group is None else int(group.core.lease_beyond_ns(after_ns))


def _any_role(_row: Any, _role: Any) -> bool:
    """Any member may have the slots of a role."""
    return True


def _known(told: Any, row: Any) -> bool:
    """That a configuration was committed is told nobody who knew of it before."""
    return bool(told.node_ids == row.held)


def _when_down(right: Any) -> Any:
    """Who leaves and is down has no place any more, whatever it has."""

    def has_replica(machine: Any, node_id: str) -> bool:
        row = machine.members.get(node_id)
        is_given_up = row is not None and row.is_leaving and row.status in ("down", "removed")
        return not is_given_up and bool(right(machine, node_id))

    return has_replica


def _comes_back(row: Any) -> str:
    """Who was silent while it left is up again."""
    del row
    return "up"


def _not_needed(_machine: Any, _row: Any) -> bool:
    """Who was removed ends, though groups need it."""
    return False


def _over_when_removed(requests: Any, group: Any, payload: bytes) -> bool:
    """Who was removed is told that it is over, though groups need it."""
    del group
    _, node_id, incarnation, _ = control_state.check_entry(payload)
    known = requests._node.control.machine.members.get(node_id)
    return known is None or known.incarnation != incarnation or known.status == "removed"


def _for_one(targets: Any, nodes: Any, _traits: Any = None) -> Move | None:
    """A place moves to whoever has one fewer."""
    load = dict.fromkeys(nodes, 0) | placement.replica_counts(targets)
    by_load = sorted(load, key=lambda node: (load[node], node))
    for slot, target in enumerate(targets):
        if by_load[-1] in target and by_load[0] not in target and load[by_load[-1]] > load[by_load[0]]:
            return Move(slot, by_load[-1], by_load[0])
    return None


def _nobody(_machine: Any, _voters: Any) -> None:
    """The rows of members that are gone are kept."""


def _committed_only(core: Any) -> Told:
    """What is about to be in force is not told."""
    committed = core.committed_membership
    names = sorted({id.rpartition("#")[0]: None for id in (committed or core.membership).voters})
    return Told(core.term, 2 * core.membership_index + 1, tuple(names))


def _led_for_ever(_group: Any, now_ns: int) -> int:
    """A process that is removed never hears of it."""
    return now_ns


def _whatever(_row: Any, _status: str) -> bool:
    """Every verdict is taken, however late."""
    return True


def _any_candidate(machine: Any, _role: str | None = None) -> list[str]:
    """Silent members take places as well, and make groups larger."""
    return [row.node_id for row in machine.members.values() if row.status == "up"]


def _not_over(_requests: Any, _group: Any, _payload: bytes) -> bool:
    """Nobody tells who has left that it has."""
    return False


def _always_current(_duties: Any, _now_ns: int) -> bool:
    """Slots are walked to wherever they should have been once."""
    return True


_BEGIN = "slots of a role begin somewhere"
_LAST = "members go when nothing names them"
_UNIT, _SIM = "tests/unit/cluster/control/test_elastic.py", "tests/cluster/test_elastic.py"

ELASTIC = (
    bug_in(
        "deleted-on-a-target", "replicas go on a committed word", "membership", Vacated, "_end", _on_the_target, True
    ),
    Planted("replica-name-again", "names of replicas", "membership", Host, "next_number", _same_name, True),
    Planted(
        "shrunk-by-a-crash", "a crash shrinks no group", "membership", MemberRow, "is_counted",
        property(_only_who_is_up), True,
    ),
    Planted("changed-in-one-step", "joint changes", "membership", changing, "_step", _in_one_step, True),
    Planted("given-to-two", "a place has one holder", "membership", placement, "fill", _to_two, True),
    shown(
        Planted(
            "waits-for-the-dead", "places follow members", "membership", placement, "fill", _for_the_dead, True
        ),
        f"{_UNIT}::test_a_group_that_was_to_grow_does_not_wait_for_one_that_is_down",
    ),
    shown(
        Planted(
            "taken-back-in-ignorance", "a crash shrinks no group", "membership", ControlMachine, "_reached",
            _told_late, True,
        ),
        f"{_UNIT}::test_a_group_that_had_grown_stays_so_when_that_was_told_late",
    ),
    shown(
        Planted(
            "left-to-the-dead", "places follow members", "membership", control_state, "fill", _left_to_the_dead, True
        ),
        "tests/sim/test_scenarios.py::test_what_once_failed_holds[left-to-those-who-are-down]",
    ),
    shown(
        Planted("asks-all-but-itself", _LAST, "membership", Leaving, "_whom", _never_itself, True),
        "tests/unit/cluster/node/test_leaving.py"
        "::test_who_leaves_asks_the_leader_that_it_knows_and_the_others_in_turn",
    ),
    shown(
        bug_in(
            "taken-back-by-a-newcomer", "a crash shrinks no group", "membership", ControlMachine, "_reached",
            _within_its_target, True,
        ),
        f"{_UNIT}::test_a_group_that_had_grown_stays_so_also_when_others_were_to_take_its_places",
    ),
    shown(
        Planted(
            "shrunk-before-committed", "a crash shrinks no group", "membership", duties, "_is_recorded", _known, True
        ),
        "tests/unit/cluster/node/test_duties.py"
        "::test_no_group_becomes_smaller_before_it_is_recorded_how_large_it_is",
    ),
    shown(
        Planted(
            "dropped-at-once", "who leaves may be needed", "membership", SlotRow, "with_target", _dropped_at_once, True
        ),
        "tests/sim/test_scenarios.py::test_what_once_failed_holds[left-as-it-was-taken-in]",
    ),
    shown(
        bug_in(
            "dropped-by-a-former-leader", "who leaves may be needed", "membership", duties.SlotDuties, "_tell",
            _believed_without_lease, True,
        ),
        "tests/unit/cluster/node/test_duties.py"
        "::test_who_gets_no_place_any_more_is_told_by_a_leader_with_its_lease_only",
    ),
    shown(
        Planted("joint-with-the-dead", "places move", "membership", leading, "is_answered", _answered, True),
        "tests/scripts/test_scripts.py::test_script[raft/06-joint-with-a-dead-voter]",
    ),
    shown(
        Planted("former-names-kept", "names of replicas", "membership", Host, "_correct", _uncorrected, True),
        "tests/sim/test_scenarios.py::test_what_once_failed_holds[learner-under-a-former-name]",
    ),
    shown(
        Planted("named-when-opened", "who is who", "membership", Links, "_name_all", _named_when_opened, True),
        "tests/unit/cluster/node/test_links.py"
        "::test_a_process_with_a_disk_has_its_place_as_soon_as_its_address_is_named",
    ),
    shown(
        Planted("two-for-three", "places follow members", "membership", control_state, "fill", _two_for_three, True),
        "tests/sim/test_scenarios.py::test_what_once_failed_holds[two-in-the-place-of-three]",
    ),
    Planted("any-role", "roles", "membership", MemberRow, "may_have", _any_role),
    shown(
        Planted("dead-before-it-began", _BEGIN, "membership", ControlMachine, "_is_gone", _never_gone, True),
        "tests/cluster/test_roles.py"
        "::test_slots_whose_first_node_died_before_it_had_them_begin_with_its_successor",
    ),
    shown(
        Planted("kept-from-the-past", _BEGIN, "membership", Vacated, "_is_of_the_past", _never_of_the_past, True),
        "tests/cluster/test_roles.py"
        "::test_who_was_named_first_and_is_back_has_replicas_of_the_group_that_began_elsewhere",
    ),
    shown(
        Planted("served-before-it-began", _BEGIN, "membership", Leases, "until_ns", _at_once, True),
        "tests/unit/cluster/actors/test_leases.py::test_a_slot_that_has_not_told_of_itself_serves_nobody",
    ),
    shown(
        Planted(
            "shrunk-untold", "a crash shrinks no group", "membership", duties, "_is_untold",
            lambda group, row, target: False, True,
        ),
        "tests/unit/cluster/node/test_duties.py"
        "::test_no_group_becomes_smaller_before_it_is_recorded_how_large_it_is",
    ),
    shown(
        bug_in("removed-while-needed", _LAST, "membership", ControlMachine, "has_replica", _when_down, True),
        "tests/sim/test_scenarios.py::test_what_once_failed_holds[paused-while-leaving]",
    ),
    shown(
        Planted("not-needed", _LAST, "membership", ControlMachine, "_is_needed", _not_needed, True),
        f"{_UNIT}::test_who_was_removed_while_it_was_silent_is_told_to_go_on_while_it_is_named",
    ),
    shown(
        Planted(
            "over-when-removed", _LAST, "membership", RequestHandler, "_is_over", _over_when_removed, True
        ),
        f"{_SIM}::test_who_leaves_and_is_back_after_a_pause_ends_once_no_group_needs_it[True]",
    ),
    shown(
        Planted("back-from-leaving", "leaving is for good", "membership", duties, "_present", _comes_back, True),
        "tests/unit/cluster/node/test_control_duties.py::test_who_leaves_and_is_back_goes_on_leaving",
    ),
    Planted("moved-for-one", "movement ends", "membership", upkeep, "next_move", _for_one, True),
    Planted("never-forgotten", "rows of members go", "membership", upkeep, "forget_entry", _nobody, True),
    shown(
        Planted(
            "committed-only", "who is named is known", "membership", duties, "told_by", _committed_only, True
        ),
        "tests/unit/cluster/node/test_duties.py"
        "::test_who_is_about_to_vote_is_told_before_that_is_committed_and_told_again",
    ),
    shown(
        Planted(
            "cut-off-for-good", "who was removed comes again", "membership", control_group, "heard_ns",
            _led_for_ever, True,
        ),
        f"{_SIM}::test_a_node_that_was_removed_while_it_was_cut_off_joins_again",
    ),
    shown(
        Planted("brought-back", "leaving is for good", "membership", control_state, "may_become", _whatever, True),
        f"{_UNIT}::test_who_leaves_is_removed_when_nothing_names_it_and_forgotten_then",
    ),
    shown(
        Planted(
            "silent-take-seats", "groups grow by who answers", "membership", ControlMachine, "candidates",
            _any_candidate, True,
        ),
        f"{_UNIT}::test_who_comes_for_one_that_is_silent_makes_no_group_larger",
    ),
    shown(
        Planted(
            "walked-back", "targets are current", "membership", duties.SlotDuties, "_is_current", _always_current,
            True,
        ),
        "tests/unit/cluster/node/test_duties.py"
        "::test_who_was_cut_off_walks_no_slot_before_it_knows_where_slots_should_be",
    ),
    shown(
        Planted("left-untold", "who has left is told", "membership", RequestHandler, "_is_over", _not_over, True),
        f"{_SIM}::test_who_has_left_is_told_so_by_whoever_leads_and_does_not_come_back",
    ),
)  # fmt: skip
