"""A process that forges frames: what it sends, that it is the same each time, and what of it is no false alarm."""

from __future__ import annotations

from casty.cluster.authority import RULES
from sim.plans.generate import ROGUE, expand
from sim.plans.plan import Plan
from sim.rogue.process import OF_OPERATORS
from sim.runner.result import HELD
from sim.runner.run import run_plan
from sim.runner.sweep import COVERAGE_GOALS

SEED = 3


def forged(seed: int = SEED) -> Plan:
    """Return a short plan."""
    return expand(ROGUE, seed, duration_s=6)


def test_it_aims_alike_each_time_and_brings_about_nothing() -> None:
    first, second = run_plan(forged()), run_plan(forged())
    assert first.verdict == HELD, first.violations
    assert (first.digest, first.goals) == (second.digest, second.goals)


def test_it_forges_nearly_every_kind_of_the_table() -> None:
    goals = run_plan(forged()).goals
    # Those of operators end a link, and are for a sweep.
    usual = [kind for kind in RULES if kind not in OF_OPERATORS]
    missing = [kind for kind in usual if not goals.get(f"forged frames of kind {kind}")]
    assert len(missing) <= 1, "an answer is forged where a question waits for it"
    assert COVERAGE_GOALS[ROGUE] == tuple(f"forged frames of kind {kind}" for kind in RULES), (
        "a sweep needs them all"
    )
