"""Planted bugs in zones, weights and roles."""

from __future__ import annotations

from typing import Any

from casty.cluster.actors import activations
from casty.cluster.control import balance, placement
from casty.cluster.control import machine as control_state
from casty.cluster.control.machine import ControlMachine, MemberRow
from casty.cluster.node import topology_publisher as feeds

from .bug import Planted, bug_in, shown

__all__ = ["ZONES"]


def _zoneless(right: Any) -> Any:
    """Who gets a place has nothing to do with where it stands."""

    def ordered(holders: Any, candidates: Any, size: Any, load: Any, _traits: Any) -> Any:
        return right(holders, candidates, size, load, {})

    return ordered


def _alike(replicas: int, _node: str, _traits: Any) -> int:
    """Every node takes as much as any other."""
    return replicas << placement.COST_BITS


def _however_crowded(_target: Any, _leaves: str, _comes: str, _traits: Any) -> bool:
    """Balance comes before zones."""
    return True


def _as_it_was(_targets: Any, _nodes: Any, _load: Any, _traits: Any) -> None:
    """A zone that comes later gets what balance gives it, and no more."""
    return


_swap = balance.spread_swap


def _keeping_nobody(voters: Any, candidates: Any, traits: Any, _keep: Any) -> tuple[str, ...]:
    """The leader of the control group gives its own vote away."""
    return _swap(voters, candidates, traits, None)


def _traitless(right: Any) -> Any:
    """Who joins is like any other."""

    def join(machine: Any, *fields: Any) -> Any:
        return right(machine, *fields[:-1], [None, 100, []])

    return join


def _not_loaded(right: Any) -> Any:
    """A snapshot of the control state does not say what the members are like."""

    def member(row: Any) -> Any:
        return right([*row[:-1], [None, 100, []]])

    return member


def _anybody(_row: Any, _role: Any) -> bool:
    """A role means nothing."""
    return True


def _anywhere(_region: Any, _shard_type: str, _topology: Any) -> bool:
    """A region with a role is served before anybody knows which slots it has."""
    return True


def _only_known(right: Any) -> Any:
    """Leaders of slots that the control state here does not have yet are not heard, and are not told again."""

    def learn(leaders: Any, rows: Any, _slots: int) -> Any:
        return right(leaders, rows, 6)

    return learn


_UNIT = "tests/unit/cluster/control/test_zones.py"

ZONES = (
    bug_in("joiners-alike", "zones", "membership", ControlMachine, "_join", _traitless),
    bug_in("traits-not-in-snapshot", "zones", "membership", control_state, "member_of", _not_loaded, True),
    shown(
        bug_in("zones-forgotten", "zones", "membership", placement, "ordered", _zoneless),
        f"{_UNIT}::test_a_group_is_spread_over_the_zones_that_there_are",
    ),
    shown(
        Planted("weights-forgotten", "weights", "membership", balance, "cost", _alike),
        f"{_UNIT}::test_places_are_as_weights_say",
    ),
    shown(
        Planted("crowded-for-balance", "zones", "membership", balance, "_is_as_spread", _however_crowded),
        f"{_UNIT}::test_a_group_is_spread_over_the_zones_that_there_are",
    ),
    shown(
        Planted("new-zone-unused", "zones", "membership", balance, "_spreading", _as_it_was),
        f"{_UNIT}::test_a_zone_that_is_new_gets_one_replica_of_each_slot",
    ),
    shown(
        Planted("leader-gives-way", "zones", "membership", control_state, "spread_swap", _keeping_nobody),
        "tests/unit/cluster/control/test_traits_of_members.py"
        "::test_the_control_group_is_spread_over_zones_and_its_leader_stays",
    ),
    shown(
        Planted("roles-forgotten", "roles", "membership", MemberRow, "may_have", _anybody),
        "tests/cluster/test_roles.py::test_entities_live_on_nodes_with_the_role_and_move_among_these[1]",
    ),
    shown(
        Planted("served-before-it-is-placed", "roles", "membership", activations.HostedRegion, "is_placed", _anywhere),
        "tests/cluster/test_roles.py::test_a_region_is_not_served_in_slots_of_all_nodes_before_its_role_is_known",
    ),
    shown(
        bug_in("leaders-of-later-slots-unheard", "roles", "membership", feeds, "learn_hints", _only_known),
        "tests/cluster/test_roles.py::test_entities_live_on_nodes_with_the_role_and_move_among_these[1]",
    ),
)  # fmt: skip
