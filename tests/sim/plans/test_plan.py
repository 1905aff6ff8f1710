"""Plans: stable documents, strict readers, wide and tolerable draws."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import Any

import pytest

from casty.config import Settings
from sim.plans.fault_kinds import DEATHS, FAULTS
from sim.plans.generate import ARGUMENTS, FAMILIES, SCENARIO_KINDS, SCENARIOS, expand
from sim.plans.json_reader import PlanError
from sim.plans.plan import LABELS, MUST_HOLD, ClusterShape, FaultEvent, Plan, PlannedOperation
from sim.plans.roles import ROLES, is_role
from sim.plans.swarm.actors import ACTORS, TREE_ARGUMENTS
from sim.plans.swarm.faults import AIMS
from sim.plans.swarm.ledgers import ENTITIES, LEDGER_ARGUMENTS
from sim.plans.swarm.rare import KEYS
from sim.workloads.operations import PERFORMERS

PLAN = Plan(
    "lock",
    7,
    cluster=ClusterShape(3, 2, {"slots": 4}, {"jitter_ns": 5}, {"node-1": (100, -3)}),
    operations=(PlannedOperation(5, "client-1", "lock.hold", "a", {"hold_ms": 3, "x": None, "y": True}),),
    faults=(FaultEvent(9, "crash", ("node-1",), 1000, {"is_power_loss": 1}, after_ready=True),),
)

MAY_END = ("map.put", "map.put_if_absent", "map.compare_and_set")
"""Kinds whose value may have a time to live."""


def test_a_plan_survives_its_document() -> None:
    text = PLAN.to_json()
    assert Plan.from_json(text) == PLAN
    assert Plan.from_json(text).to_json() == text
    assert json.loads(text)["version"] == 1


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_drawn_plans_survive_their_documents(scenario: str) -> None:
    for seed in range(30):
        plan = expand(scenario, seed)
        assert Plan.from_json(plan.to_json()) == plan
        assert plan.label in LABELS


def _broken(change: dict[str, Any], at: str | None = None) -> str:
    plain = json.loads(PLAN.to_json())
    target = plain if at is None else plain[at] if isinstance(plain[at], dict) else plain[at][0]
    for name, value in change.items():
        if value is ...:
            del target[name]
        else:
            target[name] = value
    with pytest.raises(PlanError) as caught:
        Plan.from_plain(plain)
    return caught.value.path


@pytest.mark.parametrize(
    ("change", "at", "path"),
    [
        ({"version": 2}, None, "plan.version"),
        ({"seed": "x"}, None, "plan.seed"),
        ({"seed": ...}, None, "plan.seed"),
        ({"label": "perhaps"}, None, "plan.label"),
        ({"more": 1}, None, "plan"),
        ({"faults": {}}, None, "plan.faults"),
        ({"nodes": 0}, "cluster", "plan.cluster.nodes"),
        ({"nodes": True}, "cluster", "plan.cluster.nodes"),
        ({"clocks": {"node-1": [1]}}, "cluster", "plan.cluster.clocks.node-1"),
        ({"settings": {"slots": None}}, "cluster", "plan.cluster.settings.slots"),
        ({"at_us": -1}, "operations", "plan.operations[0].at_us"),
        ({"client": ""}, "operations", "plan.operations[0].client"),
        ({"args": {"x": [1]}}, "operations", "plan.operations[0].args.x"),
        ({"kind": "meteor"}, "faults", "plan.faults[0].kind"),
        ({"targets": []}, "faults", "plan.faults[0].targets"),
        ({"targets": "node-1"}, "faults", "plan.faults[0].targets"),
        ({"args": {"ppm": 1}}, "faults", "plan.faults[0].args"),
        ({"after_ready": 1}, "faults", "plan.faults[0].after_ready"),
        ({"targets": ["@boss"]}, "faults", "plan.faults[0].targets"),
        ({"trigger": ["call", 0, 0]}, "faults", "plan.faults[0].trigger"),
        ({"trigger": ["sneeze", 1, 0]}, "faults", "plan.faults[0].trigger"),
        ({"until": ["sneeze", 1, 0]}, "faults", "plan.faults[0].until"),
        ({"again": -1}, "faults", "plan.faults[0].again"),
        ({"phase": "later"}, "faults", "plan.faults[0].phase"),
        ({"founders": -1}, "cluster", "plan.cluster.founders"),
    ],
)
def test_a_malformed_plan_names_the_place(change: dict[str, Any], at: str | None, path: str) -> None:
    assert _broken(change, at) == path


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '"plan"', '{"version": 1}'])
def test_what_is_no_plan_at_all(text: str) -> None:
    with pytest.raises(PlanError):
        Plan.from_json(text)


def test_items_can_be_taken_out() -> None:
    plan = expand("mixed", 3)
    smaller = plan.without(operations=(0, 2), faults=(1,))
    assert len(smaller.operations) == len(plan.operations) - 2
    assert smaller.operations[0] == plan.operations[1]
    assert len(smaller.faults) == len(plan.faults) - 1


def test_unknown_scenarios_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one of"):
        expand("meteor", 1)


def test_a_seed_is_short_for_one_plan_and_no_other() -> None:
    assert expand("lock", 5) == expand("lock", 5)
    assert expand("lock", 5) != expand("lock", 6)
    assert expand("lock", 5).operations != expand("queue", 5).operations


def test_the_swarm_switches_about_half_of_everything_off() -> None:
    plans = [expand("mixed", seed) for seed in range(200)]
    for family in FAMILIES:
        having = [
            family in _unaimed(plan) or (family == "clock_offset" and plan.cluster.clocks) for plan in plans
        ]
        assert 40 < sum(map(bool, having)) < 160, family
    for kinds in SCENARIO_KINDS.values():
        for kind in kinds:
            having = [any(operation.kind == kind for operation in plan.operations) for plan in plans]
            assert 20 < sum(having) < 200 or kind == "barrier.arrive", kind


def _unaimed(plan: Plan) -> list[str]:
    return [fault.kind for fault in plan.faults if not any(map(is_role, fault.targets))]


def test_each_aim_is_taken_by_about_half_of_the_seeds() -> None:
    plans = [expand("mixed", seed) for seed in range(200)]
    for name, aim in AIMS.items():
        able = [plan for plan in plans if plan.cluster.nodes >= aim.nodes]
        having = [
            any(fault.targets == aim.targets and fault.kind == aim.kind for fault in plan.faults)
            for plan in able
        ]
        assert len(able) / 4 < sum(having), name


def test_every_mixed_run_has_a_death_that_finds_a_leader() -> None:
    for seed in range(50):
        restarts = [fault for fault in expand("mixed", seed).faults if fault.kind == "restart"]
        assert any(fault.targets == ("@leader",) and fault.after_ready for fault in restarts)


def test_ranges_are_wide() -> None:
    plans = [expand("lock", seed) for seed in range(200)]
    assert {plan.cluster.nodes for plan in plans} >= {1, 2, 3, 4, 5, 7}
    assert any(not plan.faults for plan in plans) or all(plan.label != MUST_HOLD for plan in plans)
    counts = sorted(len(plan.operations) for plan in plans)
    assert counts[0] < 80 < 200 < counts[-1]


def test_settings_are_drawn_within_their_bounds() -> None:
    drawn: dict[str, set[object]] = {}
    for seed in range(300):
        values: Any = dict(expand("mixed", seed).cluster.settings)
        Settings(**values)
        for name, value in values.items():
            drawn.setdefault(name, set()).add(value)
    constant = sorted(name for name, values in drawn.items() if len(values) < 2)
    assert not constant
    wanted = {
        "retained_entries",
        "snapshot_entries",
        "reads",
        "replication",
        "max_window_replies",
        "election_min_s",
    }
    assert wanted <= set(drawn)


def test_operations_have_exactly_their_arguments() -> None:
    for scenario, seed in itertools.product(("mixed", ACTORS, ENTITIES), range(40)):
        for operation in expand(scenario, seed).operations:
            # A call of any kind may have a timeout of its own, and a value of a map a time to live.
            own = {"timeout_ms", "ttl_ms"} if operation.kind in MAY_END else {"timeout_ms"}
            assert {*operation.args} | own == {*ARGUMENTS[operation.kind]} | own
            assert {*ARGUMENTS[operation.kind]} <= {*operation.args}


def test_every_operation_there_is_is_drawn() -> None:
    drawn = {operation.kind for seed in range(120) for operation in expand("mixed", seed).operations}
    acting = {operation.kind for seed in range(20) for operation in expand(ACTORS, seed).operations}
    entering = {operation.kind for seed in range(20) for operation in expand(ENTITIES, seed).operations}
    assert set(TREE_ARGUMENTS) <= acting
    assert set(LEDGER_ARGUMENTS) <= entering
    assert drawn | acting | entering == set(ARGUMENTS) == set(PERFORMERS)
    assert not drawn & set(TREE_ARGUMENTS)
    names = {operation.entity for seed in range(120) for operation in expand("mixed", seed).operations}
    assert {f"map-{keys}" for keys in KEYS} <= names


def test_a_part_of_the_runs_has_crowds_and_patience() -> None:
    plans = [expand("mixed", seed) for seed in range(80)]
    sizes = [
        max(Counter((one.at_us, one.client) for one in plan.operations).values(), default=0) for plan in plans
    ]
    assert 8 <= sum(size >= 8 for size in sizes) <= 50
    assert max(sizes) >= 64
    timeouts = [one.args.get("timeout_ms", 0) for plan in plans for one in plan.operations]
    assert None in timeouts
    assert any(isinstance(timeout, int) and timeout >= 18_000 for timeout in timeouts)


def test_memory_is_never_lost_beyond_what_is_tolerated() -> None:
    """Deaths wait for each other at one gate, and a cluster that tolerates none has none."""
    for seed in range(300):
        plan = expand("mixed", seed)
        deaths = [fault for fault in plan.faults if fault.kind in DEATHS]
        assert all(fault.after_ready for fault in deaths)
        assert not deaths or plan.cluster.nodes >= 3


def test_faults_name_machines_that_exist() -> None:
    for seed in range(100):
        plan = expand("mixed", seed)
        names = plan.cluster.names()
        for fault in plan.faults:
            assert all(target in names or target in ROLES for target in fault.targets)
            assert len(set(fault.targets)) == len(fault.targets)
            assert fault.kind in FAULTS


def test_either_strangers_to_the_journal_or_blackouts_in_the_midst() -> None:
    plans = [expand("journal", seed) for seed in range(40)]
    for plan in plans:
        has_strangers = plan.cluster.journaled < plan.cluster.clients
        blackouts = [fault for fault in plan.faults if fault.kind == "blackout"]
        assert has_strangers != bool(blackouts)
        strangers = plan.cluster.names()[plan.cluster.nodes + plan.cluster.journaled :]
        assert not [one for one in plan.operations if one.client in strangers and one.kind.startswith("lock")]
    assert {fault.kind for plan in plans for fault in plan.faults} >= {"journal", "blackout", "client_crash"}
    assert expand("mixed", 1).cluster.journaled == 0


@pytest.mark.parametrize("scenario", ["map", "mixed", "membership", "queue"])
def test_no_value_is_put_twice(scenario: str) -> None:
    """What was found has to say who put it: that is how histories of keys and queues are checked."""
    writes = ("map.put", "map.put_if_absent", "map.compare_and_set", "queue.enqueue", "queue.put")
    for seed in range(100):
        operations = [one for one in expand(scenario, seed).operations if one.kind in writes]
        values = [(one.entity, one.args.get("key"), one.args["value"]) for one in operations]
        assert len(values) == len(dict.fromkeys(values)), f"seed {seed}"
