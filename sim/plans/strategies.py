"""Hypothesis strategies for plans. Imported by whoever has Hypothesis; nothing else in `sim` needs it.

Operations and faults are drawn as lists, so a failing plan shrinks to the few of them that matter, and each of those
to small times and numbers. The keyed draws of a plan do not move when something is taken out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from .fault_kinds import ALLOCATING, DEATHS, ELASTIC, FAULTS, GATED, LASTING, OF_DISKS, OF_JOURNALS
from .generate import ARGUMENTS, SCENARIO_KINDS
from .plan import MAY_BE_UNAVAILABLE, ClusterShape, FaultEvent, Plan, PlannedOperation

__all__ = ["faults", "operations", "plans"]

_SECOND_US = 1_000_000
_DRIFT_PPM = 4_000
_MIN_FOR_CRASH = 3
_MANY_NODES = ("partial", *GATED)


@st.composite
def operations(
    draw: Callable[[st.SearchStrategy[Any]], Any], scenario: str, clients: Sequence[str], duration_us: int
) -> PlannedOperation:
    """Draw one operation of a scenario.

    Parameters
    ----------
    scenario
        A key of `SCENARIO_KINDS`.
    clients
        Who may do it.
    duration_us
        It begins within this time.
    """
    kind = draw(st.sampled_from(SCENARIO_KINDS[scenario]))
    values = {
        "timeout_ms": st.sampled_from((300, 1000, 3000, 5000)),
        "hold_ms": st.sampled_from((0, 5, 50, 300, 1500)),
        "permits": st.just(2),
        "n": st.integers(1, 2),
        "expected": st.just(2),
        "amount": st.integers(1, 5),
        "key": st.integers(1, 2),
        "value": st.integers(1, 4),
    }
    client = draw(st.sampled_from(list(clients)))
    args = {name: draw(values[name]) for name in ARGUMENTS[kind] if name in values}
    if kind == "barrier.arrive":
        args["party"] = client
    at_us = 1000 * draw(st.integers(0, duration_us // 1000))
    return PlannedOperation(at_us, client, kind, f"{scenario}-1", args)


@st.composite
def faults(
    draw: Callable[[st.SearchStrategy[Any]], Any],
    nodes: Sequence[str],
    clients: Sequence[str],
    duration_us: int,
) -> FaultEvent:
    """Draw one fault that the cluster tolerates.

    Parameters
    ----------
    nodes, clients
        The machines.
    duration_us
        It begins within this time.
    """
    # All nodes are founders here, so nobody can join, or take the place of another; and there is no journal to survive
    # the loss of everything.
    left_out = ("join", *ELASTIC, *OF_JOURNALS, *OF_DISKS)
    kinds = [
        kind
        for kind in FAULTS
        if kind not in left_out and (len(nodes) >= _MIN_FOR_CRASH or kind not in _MANY_NODES)
    ]
    kind = draw(st.sampled_from(kinds))
    shape = FAULTS[kind]
    if kind.startswith("client_"):
        machines = list(clients)
    elif kind in (
        "ring",
        "bridge",
        "partial",
        "pause",
        "slow_node",
        "clock_drift",
        "wall_step",
        "memory",
        *GATED,
    ):
        machines = list(nodes)
    else:
        machines = [*nodes, *clients]
    # Two deaths at once take five replicas.
    most = 1 if kind in DEATHS else min(shape.most, max(shape.least, len(machines) - 1))
    targets = draw(st.lists(st.sampled_from(machines), min_size=shape.least, max_size=most, unique=True))
    ranges = {
        "delay_us": st.integers(0, 1_500_000),
        "jitter_us": st.integers(0, 800_000),
        "ppm": st.integers(-_DRIFT_PPM, _DRIFT_PPM) if kind == "clock_drift" else st.integers(0, 300_000),
        "is_power_loss": st.integers(0, 1),
        "which": st.integers(0, 5),
        "bytes_per_s": st.integers(1_000, 1_000_000),
        "held_us": st.integers(1_000, 50_000),
        "links": st.integers(1, 3),
        "percent": st.integers(60, 300),
        "at": st.integers(0, len(ALLOCATING) - 1),
        "seconds": st.integers(-86_400, 86_400),
    }
    return FaultEvent(
        at_us=1000 * draw(st.integers(0, duration_us // 1000)),
        kind=kind,
        targets=tuple(targets),
        duration_us=1000 * draw(st.integers(1, 5000)) if kind in LASTING else 0,
        args={name: draw(ranges[name]) for name in shape.args},
        after_ready=kind in GATED,
    )


@st.composite
def plans(
    draw: Callable[[st.SearchStrategy[Any]], Any],
    scenario: str,
    *,
    max_operations: int = 40,
    max_faults: int = 8,
    duration_s: int = 10,
) -> Plan:
    """Draw a whole plan.

    Parameters
    ----------
    scenario
        ``lock``, ``semaphore``, ``barrier``, ``counter``, ``map``, ``set`` or ``queue``. Values of maps and queues
        are made unique, which their checkers need.
    max_operations, max_faults
        Bounds of the lists.
    duration_s
        Virtual seconds of workload and faults.

    Examples
    --------
    >>> from hypothesis import given
    >>> from sim.runner.run import run_plan
    >>> @given(plans("lock"))
    ... def test_locks_exclude(plan):
    ...     assert run_plan(plan).verdict == "held"
    """
    duration_us = duration_s * _SECOND_US
    shape = ClusterShape(
        nodes=draw(st.sampled_from((3, 1, 5))),
        clients=draw(st.integers(2, 3)),
        settings={"slots": 2, "session_ttl_s": 6.0, "snapshot_entries": draw(st.sampled_from((1000, 8)))},
    )
    nodes = [name for name in shape.names() if name.startswith("node-")]
    clients = [name for name in shape.names() if name.startswith("client-")]
    drawn = draw(st.lists(operations(scenario, clients, duration_us), min_size=1, max_size=max_operations))
    events = draw(st.lists(faults(nodes, clients, duration_us), max_size=max_faults))
    return Plan(
        scenario=scenario,
        seed=draw(st.integers(0, 1 << 32)),
        cluster=shape,
        operations=tuple(sorted(map(_unique, drawn, range(len(drawn))), key=lambda one: one.at_us)),
        faults=tuple(sorted(events, key=lambda one: one.at_us)),
        duration_us=duration_us,
        label=MAY_BE_UNAVAILABLE,
    )


def _unique(operation: PlannedOperation, number: int) -> PlannedOperation:
    if operation.kind not in ("map.put", "queue.enqueue"):
        return operation
    args = {**operation.args, "value": number}
    return PlannedOperation(operation.at_us, operation.client, operation.kind, operation.entity, args)
