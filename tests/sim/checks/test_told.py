"""A session that is given up though it lives is seen, and one whose slot said that it ended is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from casty.cluster.sessions.core.call import Purpose
from sim.checks.step.told import SessionKey, Told
from sim.checks.violation import ViolationError


def gateway(*numbers: int | None, is_idle: bool = False, held: tuple[int, ...] = ()) -> Any:
    rows = {
        slot: SimpleNamespace(slot=slot, epoch=1, number=number, is_idle=lambda: is_idle, held=held)
        for slot, number in enumerate(numbers)
    }
    core = SimpleNamespace(is_closed=False, table=SimpleNamespace(calls={}))
    return SimpleNamespace(sessions_by_slot=rows, core=core)


@pytest.mark.parametrize(("lives", "is_wrong"), [(True, True), (False, False)])
def test_who_gives_up_a_session_was_told(lives: bool, is_wrong: bool) -> None:
    asked: list[SessionKey] = []
    told = Told(lambda key: asked.append(key) is None and lives)
    one = gateway(7, 8, None)
    told.look("client-1", one)
    told.look("client-1", one)
    assert asked == []
    one.sessions_by_slot[1].number = 9
    if is_wrong:
        with pytest.raises(ViolationError, match=r"\[18\].* gave up its session 8"):
            told.look("client-1", one)
    else:
        told.look("client-1", one)
    assert asked == [(1, 1, 8)]


@pytest.mark.parametrize(
    ("held", "purpose", "is_wrong"),
    [((), Purpose.CLOSE, False), ((), Purpose.KEEP_ALIVE, True), ((3,), Purpose.CLOSE, True)],
)
def test_a_session_whose_calls_ended_since_may_be_closed_and_one_with_a_hold_may_not(
    held: tuple[int, ...], purpose: Purpose, is_wrong: bool
) -> None:
    told, one = Told(lambda key: True), gateway(7, held=held)
    told.look("client-1", one)
    one.core.table.calls[1] = SimpleNamespace(session=one.sessions_by_slot.pop(0), purpose=purpose)
    if is_wrong:
        with pytest.raises(ViolationError, match=r"gave up its session 7"):
            told.look("client-1", one)
    else:
        told.look("client-1", one)


def test_another_life_a_closed_gateway_and_idle_sessions_say_nothing() -> None:
    told = Told(lambda key: True)
    told.look("client-1", gateway(7))
    told.look("client-1", gateway())
    one = gateway(7)
    told.look("client-1", one)
    one.core.is_closed = True
    one.sessions_by_slot.clear()
    told.look("client-1", one)
    one = gateway(7, is_idle=True)
    told.look("client-1", one)
    one.sessions_by_slot.clear()
    told.look("client-1", one)
    told.look("client-1", None)
