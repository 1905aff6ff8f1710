"""Listings against living actors: what a broken receptionist or registry does is seen by the checks of the workload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from casty.actor.services import Deregister, Listing, Register, ServiceKey
from casty.cluster.actors import receptionist as services
from casty.cluster.actors.service_listings import Listings
from casty.cluster.control import service_registry as registry
from casty.cluster.control.topology import Topology
from sim.plans.plan import ClusterShape, FaultEvent, Plan, PlannedOperation
from sim.runner.result import HELD, Result
from sim.runner.sweep import run_alone

S = 1_000_000


def _call(at_us: int, who: str, kind: str, **args: int) -> PlannedOperation:
    return PlannedOperation(at_us, who, f"service.{kind}", "service-1", args)


PLAN = Plan(
    "mixed",
    5,
    ClusterShape(clients=2, settings={"slots": 2, "session_ttl_s": 6.0}),
    operations=(
        _call(0, "node-1", "register"),
        _call(0, "node-2", "register"),
        _call(0, "node-2", "register"),
        _call(0, "node-3", "register"),
        _call(1, "client-1", "subscribe"),
        _call(1, "node-3", "subscribe"),
        _call(2 * S, "node-1", "again", which=0),
        _call(2 * S, "client-2", "find"),
        _call(3 * S, "node-2", "stop", which=0),
        _call(3 * S, "node-2", "deregister", which=0),
    ),
    faults=(FaultEvent(4 * S, "restart", ("node-1",), after_ready=True),),
    duration_us=9 * S,
)

LATE = Plan(
    "mixed",
    5,
    ClusterShape(clients=1, settings={"slots": 2, "session_ttl_s": 6.0}),
    operations=(_call(0, "node-1", "register"), _call(2 * S + 1000, "node-1", "register")),
    faults=(FaultEvent(2 * S, "half_open", ("node-1", "node-2")),),
    duration_us=2 * S + 100_000,
)
"""Nobody is subscribed; node-2 hears of the second registration when its dead link was noticed, in peace."""


def _run() -> Result:
    return run_alone(PLAN)


def test_listings_are_compared_in_peace() -> None:
    result = _run()
    assert result.verdict == HELD, result.violation
    for goal in (
        "services registered",
        "services taken back",
        "services stopped",
        "services found",
        "listings heard",
    ):
        assert result.goals[goal] >= 1, goal
    assert result.goals["listings compared"] == 1


def test_a_node_may_learn_of_a_service_when_its_dead_link_was_noticed() -> None:
    result = run_alone(LATE)
    assert result.verdict == HELD, result.violation
    assert result.goals["listings compared"] == 1


def test_a_listing_that_stays_behind_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a subscriber only the comparison of what everybody is asked can tell."""
    right, kept = Listings.of, dict[Listings, Listing[Any]]()

    def first(listings: Listings, topology: Topology | None, key: ServiceKey[Any]) -> Listing[Any]:
        return kept.setdefault(listings, right(listings, topology, key))

    monkeypatch.setattr(Listings, "of", first)
    result = run_alone(LATE)
    assert "[46]" in (result.violation or "")
    assert "node-2 sees" in (result.violation or "")


def _dropping(kind: type) -> Callable[[Any, Any, Any], Any]:
    right = services.Receptionist._receive

    def receive(receptionist: Any, ctx: Any, message: Any) -> Any:
        return None if isinstance(message, kind) else right(receptionist, ctx, message)

    return receive


@pytest.mark.parametrize(
    ("owner", "name", "planted"),
    [
        pytest.param(services.Receptionist, "_tell_subscribers", lambda self: None, id="nobody-is-told"),
        pytest.param(services.Receptionist, "_receive", _dropping(Deregister), id="nothing-is-taken-back"),
        pytest.param(services.Receptionist, "_receive", _dropping(Register), id="nothing-is-registered"),
        pytest.param(services.Receptionist, "_forget", lambda self, ref: None, id="what-stopped-is-listed"),
        pytest.param(registry.Registry, "forget", lambda self, node_id: False, id="what-died-is-listed"),
    ],
)
def test_a_broken_listing_is_seen(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, planted: Callable[..., Any]
) -> None:
    monkeypatch.setattr(owner, name, planted)
    result = _run()
    assert "[46]" in (result.violation or "")
    assert "service-1" in (result.violation or "")
