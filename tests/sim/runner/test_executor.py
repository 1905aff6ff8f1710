"""Runs of whole plans: they hold, are repeatable, and end with a verdict whatever the plan says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaos.ablations.bug import planted
from chaos.ablations.planted import PLANTED
from sim.checks.violation import PROPERTIES
from sim.plans.generate import SCENARIOS, expand
from sim.plans.plan import ClusterShape, FaultEvent, Plan, PlannedOperation
from sim.runner.result import HELD
from sim.runner.run import run_plan

FIELDS = (
    "scenario", "seed", "verdict", "digest", "virtual_seconds", "wall_seconds", "events", "operations", "faults",
    "goals", "violation",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_scenario_holds_and_repeats_itself(scenario: str) -> None:
    plan = expand(scenario, 11, duration_s=6)
    first, second = run_plan(plan), run_plan(Plan.from_json(plan.to_json()))
    assert first.verdict == HELD, first.block("-")
    assert first.digest == second.digest
    plain = first.to_plain()
    assert [name for name in FIELDS if name not in plain] == []
    assert plain["operations"]["ok"] > 0


def _plan(*operations: PlannedOperation, faults: tuple[FaultEvent, ...] = ()) -> Plan:
    shape = ClusterShape(3, 2, {"slots": 2, "session_ttl_s": 6.0})
    return Plan("lock", 1, shape, operations, faults, duration_us=3_000_000)


def test_what_is_not_there_is_skipped_and_listed() -> None:
    plan = _plan(
        PlannedOperation(0, "client-9", "lock.hold", "a"),
        PlannedOperation(0, "client-1", "lock.sing", "a"),
        faults=(FaultEvent(0, "pause", ("node-9",), 1000), FaultEvent(0, "client_cancel", ("client-1",))),
    )
    result = run_plan(plan)
    assert result.verdict == HELD, result.block("-")
    assert len(result.skipped) == 4


def test_taking_a_fault_out_leaves_the_rest_as_it_is() -> None:
    """Draws are keyed: without the fault the same operations are called at the same instants."""
    operations = [
        PlannedOperation(at * 100_000, "client-1", "counter.add", "c", {"amount": 1}) for at in range(20)
    ]
    plan = replace(_plan(*operations), faults=(FaultEvent(2_500_000, "pause", ("node-1",), 100_000),))
    assert run_plan(plan).operations == run_plan(plan.without(faults=(0,))).operations


@pytest.mark.slow
def test_a_failure_tells_its_story() -> None:
    with planted(next(bug for bug in PLANTED if bug.name == "hasty-expiry")):
        results = [run_plan(expand("lock", seed)) for seed in range(6)]
    broken = next(result for result in results if result.violations)
    block = broken.block("plan.json")
    number = broken.violations[0].number
    assert f"[{number}] {PROPERTIES[number]}" in block
    assert "casty sim replay plan.json" in block
