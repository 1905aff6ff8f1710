"""Invariants 10 to 16 and recovery (46) under drawn faults; a failing seed is the whole story."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scripts.raft_world import run_plan


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1 << 32),
    voters=st.sampled_from((1, 2, 3, 4, 5)),
    loss=st.sampled_from((0.0, 0.05, 0.2)),
    disk=st.booleans(),
)
def test_invariants_hold(seed: int, voters: int, loss: float, disk: bool) -> None:
    run_plan(seed, voters=voters, loss=loss, disk=disk)


@pytest.mark.parametrize(
    ("seed", "options"),
    [
        # A removed leader is the only one that holds the entry which removes it.
        (1261, {"voters": 3, "disk": False, "loss": 0.05}),
        # A voter alone in an uncommitted configuration comes back from disk while the old leader has a lease.
        (20, {"voters": 5, "disk": True, "loss": 0.2}),
        # A snapshot's log is compacted away while a peer replicates.
        (13, {"voters": 3, "disk": False, "loss": 0.05}),
    ],
)
def test_seeds_that_once_failed(seed: int, options: dict[str, Any]) -> None:
    run_plan(seed, **options)


@pytest.mark.slow
def test_the_faults_happen() -> None:
    total: dict[str, int] = {}
    for seed in range(12):
        world = run_plan(seed, steps=80, disk=seed % 3 == 0)
        for name, count in (*world.stats.items(), ("reads served", world.served)):
            total[name] = total.get(name, 0) + count
    wanted = ("compacted", "snapshot installed", "snapshot asked", "partitioned", "paused", "transferred")
    for name in (*wanted, "replaced", "restarted", "resized", "leases seen", "reads served"):
        assert total.get(name, 0) > 0, (name, total)
