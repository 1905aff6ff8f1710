"""A seed becomes a plan. Swarm: every seed switches about half of the fault families and operation kinds off.

A plan in which everything happens at once hides what needs peace in some corner; so each seed draws which families
it has, and draws their ranges wide. Each choice is keyed by what it is for: adding a family moves no other draw.

Memory is the only durability here, so no plan takes away more replicas than are tolerated at once: nodes die one at
a time, and the next waits until the one before is back in its places (`FaultEvent.after_ready`).
"""

from __future__ import annotations

from dataclasses import replace

from .plan import MAY_BE_UNAVAILABLE, MUST_HOLD, Plan
from .swarm.actors import ACTORS, Company
from .swarm.dice import EVERYTHING, SECOND_US, Cast, Dice, duration_of
from .swarm.disks import DURABLE, DiskHarm
from .swarm.faults import Harm
from .swarm.journal import JOURNAL, Recorded
from .swarm.ledgers import ENTITIES
from .swarm.load import ACTOR_KINDS, ARGUMENTS, SCENARIO_KINDS, Load
from .swarm.members import Members, draw_quorum, draw_shape_of, draw_traits
from .swarm.memory import Little
from .swarm.shape import draw_nodes, draw_shape, draw_silences

__all__ = ["ACTOR_KINDS", "ARGUMENTS", "FAMILIES", "ROGUE", "SCENARIOS", "SCENARIO_KINDS", "expand"]

ROGUE = "rogue"
SCENARIOS = (*SCENARIO_KINDS, "mixed", "membership", "memory", ACTORS, ENTITIES, JOURNAL, ROGUE, DURABLE)

ON_DISKS = ("mixed", "membership")
"""Scenarios of which a share of the seeds is on nodes with disks, with what happens to disks on top."""
ONE_ON_DISKS_IN = 5
FAMILIES: tuple[str, ...] = (
    "delay", "jitter", "loss", "fragment", "link_loss", "reset", "half_open", "one_way_cut", "split", "ring", "bridge",
    "crash", "restart", "pause", "clock_drift", "clock_offset", "client_crash", "client_pause", "client_cancel",
    "clog", "partial", "slow_node", "wall_step",
    "memory", "allocation",
)  # fmt: skip
"""The fault families; ``clock_offset`` is part of the cluster's shape, the others are events. Replicas fail for want of
memory (``allocation``) only where all structures take part: what that tells does not depend on the structure."""


def expand(scenario: str, seed: int, *, duration_s: int | None = None, do_members_call: bool = True) -> Plan:
    """Return the plan that a seed is short for.

    Parameters
    ----------
    scenario
        A key of `SCENARIO_KINDS`; ``mixed`` for all of them; ``membership`` for all structures in clusters that
        change; ``memory`` for all structures while nothing but memory is short; ``actors`` for trees, watches,
        services, streams and entities; ``entities`` for event-sourced and volatile ones that are unloaded; ``journal``
        for structures on record in a journal that fails, in clusters that lose all
        their memory; ``rogue`` for ``mixed`` with a process that sends forged frames, which else every fourth
        seed of ``mixed`` has; ``durable`` for ``mixed`` on nodes with disks, and what happens to those. Every fifth
        seed of ``mixed`` and of ``membership`` is on disks as well.
    seed
        Any integer.
    duration_s
        How long the workload and the faults go on, in virtual seconds; None for as long as is usual.
    do_members_call
        Whether nodes may use structures as well as clients; half of the seeds then let them.

    Examples
    --------
    >>> expand("lock", 7) == expand("lock", 7)
    True
    """
    if scenario not in SCENARIOS:
        raise ValueError(f"scenario: expected one of {list(SCENARIOS)}, found {scenario!r}")
    if scenario == ROGUE:
        plan = expand("mixed", seed, duration_s=duration_s, do_members_call=do_members_call)
        return replace(plan, scenario=ROGUE, cluster=replace(plan.cluster, rogues=1))
    if scenario == DURABLE:
        plan = _expanded("mixed", seed, duration_s=duration_s, do_members_call=do_members_call)
        return replace(_with_disks(plan), scenario=DURABLE)
    plan = _expanded(scenario, seed, duration_s=duration_s, do_members_call=do_members_call)
    is_on_disks = scenario in ON_DISKS and Dice(scenario, seed).one_in("disks", 0, ONE_ON_DISKS_IN)
    return _with_disks(plan) if is_on_disks else plan


def _expanded(scenario: str, seed: int, *, duration_s: int | None, do_members_call: bool) -> Plan:
    """Return the plan without disks."""
    dice = Dice(scenario, seed)
    members = draw_shape_of(dice) if scenario == "membership" else None
    nodes = [f"node-{index + 1}" for index in range(members.nodes if members else draw_nodes(dice))]
    clients = [f"client-{index + 1}" for index in range(dice.between("clients", 0, 2, 6))]
    recorded = Recorded(dice, len(clients))
    duration_s = duration_of(scenario) if duration_s is None else duration_s
    cast = Cast(nodes, clients, duration_s * SECOND_US)
    families = [family for family in FAMILIES if dice.is_on("family", family) and scenario != "memory"]
    if scenario not in (*EVERYTHING, ACTORS):
        families = [family for family in families if family != "allocation"]
    if scenario == JOURNAL:
        families = [family for family in families if family != "memory"]
    load = Load(dice, cast, do_members_call=do_members_call and dice.is_on("callers", "members"))
    faults = Harm(dice, cast, families).faults() if scenario != "memory" else Little(dice, cast).faults()
    faults = [*faults, *Company(dice, cast).faults(), *recorded.faults(cast)]
    shape = draw_shape(dice, cast, families)
    if scenario == "mixed" and dice.one_in("rogues", 0, 4):
        shape = replace(shape, rogues=1)
    shape = replace(shape, journaled=recorded.journaled)
    faults = [*faults, *draw_silences(dice, cast, shape)]
    duration_us = cast.duration_us
    if members is not None:
        quorum = draw_quorum(dice, members.founders)
        drawn = Members(dice, cast, members.founders, quorum)
        zones, weighted, workers = draw_traits(dice)
        shape = replace(
            shape, founders=members.founders, quorum=quorum, nodes=len(nodes) + len(drawn.spares),
            zones=zones, weighted=weighted, workers=workers,
            settings={**shape.settings, **drawn.settings()},
        )  # fmt: skip
        faults = [*faults, *drawn.faults()]
        duration_us = drawn.duration_us()
    return Plan(
        scenario=scenario,
        seed=seed,
        cluster=shape,
        operations=load.operations(),
        faults=tuple(sorted(faults, key=lambda fault: fault.at_us)),
        duration_us=duration_us,
        label=MAY_BE_UNAVAILABLE if faults else MUST_HOLD,
    )


def _with_disks(plan: Plan) -> Plan:
    """Give the nodes of a plan disks."""
    names = plan.cluster.names()
    nodes, clients = names[: plan.cluster.nodes], names[plan.cluster.nodes :]
    faults = DiskHarm(Dice(DURABLE, plan.seed), Cast(nodes, clients, plan.duration_us)).faults()
    return replace(
        plan,
        cluster=replace(plan.cluster, disks=1),
        faults=tuple(sorted([*plan.faults, *faults], key=lambda fault: fault.at_us)),
        label=MAY_BE_UNAVAILABLE,
    )
