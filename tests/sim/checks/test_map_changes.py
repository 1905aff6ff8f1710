"""What watchers were told, held against what happened; and keys that ended too early."""

from __future__ import annotations

from typing import Any

import pytest

from casty.distributed.machines.map import HAS_ENDED, WAS_DELETED, WAS_PUT
from casty.wire.codec import default_codec
from casty.wire.pack import pack
from sim.checks.history.map_changes import STATE, MapChanges, Sight, check_ends, check_watcher
from sim.checks.history.models import REGISTER_MODEL
from sim.history import OK, UNKNOWN, Operation

KEY = pack(["map-1", default_codec().canonical(1)])
SECOND_NS = 1_000_000_000


def changes(*values: tuple[int, int | None]) -> MapChanges:
    made = MapChanges()
    for at, (what, value) in enumerate(values):
        made.take(1, KEY, at * SECOND_NS, None if value is None else pack(value), what)
    return made


def told(*sights: tuple[str, int | None]) -> list[Sight]:
    return [Sight(kind, KEY, value) for kind, value in sights]


HISTORY = ((WAS_PUT, 1), (WAS_PUT, 2), (HAS_ENDED, None), (WAS_PUT, 3), (WAS_DELETED, None), (WAS_PUT, 4))


@pytest.mark.parametrize(
    "sights",
    [
        told((STATE, None), ("put", 1), ("put", 2), ("expired", None), ("put", 3)),
        told((STATE, None), ("put", 3), ("deleted", None), ("put", 4)),
        told((STATE, 2), ("expired", None), (STATE, None), ("put", 4)),
        told((STATE, 1), (STATE, 4)),
        told((STATE, 1), (STATE, 1), ("put", 2)),
        told(),
    ],
)
def test_what_may_have_been_told(sights: list[Sight]) -> None:
    assert not check_watcher("w", sights, changes(*HISTORY))


@pytest.mark.parametrize(
    "sights",
    [
        told((STATE, None), ("put", 2)),
        told((STATE, 1), ("expired", None)),
        told((STATE, 1), ("put", 2), ("put", 2)),
        told((STATE, 2), ("deleted", None)),
        told((STATE, 4), (STATE, 1)),
        told((STATE, 4), ("put", 5)),
        told((STATE, 7)),
        told(("put", 1)),
    ],
)
def test_what_cannot_have_been_told(sights: list[Sight]) -> None:
    (found,) = check_watcher("w", sights, changes(*HISTORY))
    assert found.number == 62


def test_a_slot_that_lost_its_state_is_told_as_a_state() -> None:
    made = changes((WAS_PUT, 1))
    made.begun_anew(1, 5)
    made.take(1, KEY, 6, pack(2), WAS_PUT)
    assert not check_watcher("w", told((STATE, 1), (STATE, None), ("put", 2)), made)
    assert check_watcher("w", told((STATE, 1), ("put", 2)), made)


def operation(
    kind: str, call_s: float, end_s: float, value: Any = None, outcome: str = OK, **args: Any
) -> Operation:
    own = {"value" if name == "value_put" else name: one for name, one in args.items()}
    made = Operation(1, "c", kind, "map-1", {"key": 1, **own}, round(call_s * SECOND_NS))
    made.outcome, made.value, made.return_ns = outcome, value, round(end_s * SECOND_NS)
    return made


def test_no_key_ends_before_its_time() -> None:
    made = changes((WAS_PUT, 5), (HAS_ENDED, None))
    assert not check_ends(made, [operation("map.put", 0, 0.1, value_put=5, ttl_ms=900)])
    late = operation("map.put", 0, 0.1, value_put=5, ttl_ms=1100)
    (found,) = check_ends(made, [late])
    assert found.number == 61
    assert not check_ends(made, [late, operation("map.touch", 0.2, 0.3, True, ttl_ms=500)])
    assert check_ends(made, [operation("map.put", 0, 0.1, value_put=5)]), "it had no time to live"


def test_a_key_is_absent_only_when_it_may_have_ended() -> None:
    step = REGISTER_MODEL.step
    put = Operation(1, "c", "map.put", "map-1", {"key": 1, "value": 5, "ttl_ms": 1000}, 0)
    put.outcome, put.return_ns = OK, 1
    held = step(REGISTER_MODEL.initial, put)
    assert held is not None
    assert step(held, operation("map.get", 0.1, 0.9)) is None
    assert step(held, operation("map.get", 0.1, 1.1)) == REGISTER_MODEL.initial
    assert step(held, operation("map.get", 0.1, 9.0, 5)) == held, "it may end late"
    assert step(held, operation("map.put_if_absent", 0.1, 0.9, True, value_put=6)) is None
    assert step(held, operation("map.put_if_absent", 0.1, 1.1, True, value_put=6)) is not None
    in_doubt = operation("map.put_if_absent", 0.1, 0.2, None, UNKNOWN, value_put=6)
    assert step(held, in_doubt) != held, "it may have found nothing, later"
    kept = step(held, operation("map.persist", 0.1, 0.2, True))
    assert kept is not None and step(kept, operation("map.get", 5, 6)) is None
