"""The table of a call's moves keeps what it says, and is the one that the decision tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from casty.cluster.sessions.core.call import Call
from casty.cluster.sessions.core.life import NEXT, CallEvent, CallState
from casty.cluster.slots.operations import OP_READ, OP_WRITE
from casty.distributed.machines.base import COUNTER, MAP
from casty.wire.pack import pack

PAGE = Path(__file__).parents[4] / "docs" / "adr" / "0033-sessions-are-a-value.md"
MOVES = [
    (state, event, following)
    for state in CallState
    for event in CallEvent
    if (following := NEXT[state][event]) is not None
]


@pytest.mark.parametrize(
    ("entity", "name"),
    [
        ((COUNTER, b"it"), "counter 'it'"),
        ((COUNTER, b"n" * 1000), f"counter '{'n' * 99}"),
        ((MAP, pack(["users", b"key"])), "map 'users'"),
        ((MAP, pack(["n" * 1000, b"key"])), f"map '{'n' * 99}"),
        ((MAP, b"\xc1"), "map b'\\xc1'"),
        ((MAP, b""), "map"),
        ((0, b""), "call"),
    ],
)
def test_a_call_says_what_was_called(entity: tuple[int, bytes], name: str) -> None:
    assert str(Call(OP_READ, entity, 0, None)) == name


def in_state(state: CallState) -> Call:
    call = Call(OP_WRITE, (COUNTER, b"it"), 0, None)
    call.state = state
    return call


def flags(state: CallState) -> list[bool]:
    call = in_state(state)
    return [call.is_parked, call.may_be_applied, call.was_in_doubt, call.is_queued, call.is_withdrawing]


def test_the_flags_of_each_state_are_those_of_the_decision() -> None:
    rows = [line.split("|")[1:-1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    told = {
        name.strip(" `"): [cell.strip() == "yes" for cell in cells]
        for names, *cells in rows
        if len(cells) == 5
        for name in names.split(",")
    }
    assert told == {state.name: flags(state) for state in CallState}


@pytest.mark.parametrize(("state", "event", "following"), MOVES)
def test_each_move_keeps_the_invariants(state: CallState, event: CallEvent, following: CallState) -> None:
    before, after = in_state(state), in_state(following)
    assert not before.was_in_doubt or before.may_be_applied
    if event is CallEvent.END:
        assert following is CallState.DONE
        return
    if event is CallEvent.GIVE:
        assert before.may_be_applied or before.is_parked, "a late answer finds it parked"
        assert after.is_given and not after.may_be_applied
        return
    if before.was_in_doubt:
        assert after.was_in_doubt, "doubt stays"
        assert event is not CallEvent.RENUMBER, "only what is not in doubt is numbered again"
    if before.is_withdrawing:
        assert after.is_withdrawing, "a withdrawal is for good"
    if event in (CallEvent.SEND, CallEvent.ASK):
        assert not before.is_parked and not after.is_parked, "what is parked is taken out first"
        assert after.may_be_applied == (event is CallEvent.SEND)
    if event is CallEvent.PARK:
        assert after.is_parked and after.may_be_applied == before.may_be_applied
    if event is CallEvent.REFUSE:
        assert after.may_be_applied == before.was_in_doubt, "a refusal says nothing of the attempt before"
    if event is CallEvent.QUEUE:
        assert after.was_in_doubt and (after.is_queued or after.is_withdrawing)
    if event is CallEvent.WITHDRAW:
        assert before.may_be_applied and after.is_withdrawing


def test_every_state_is_reached_and_can_end_but_the_end() -> None:
    reached = {CallState.READY: None}
    while more := [to for of, _, to in MOVES if of in reached and to not in reached]:
        reached.update(dict.fromkeys(more))
    assert list(CallState) == sorted(reached)
    for state in CallState:
        assert (NEXT[state][CallEvent.END] is None) == (state is CallState.DONE)
    assert [event for event in CallEvent if NEXT[CallState.GIVEN][event] is not None] == [CallEvent.END]
    assert not any(NEXT[CallState.DONE]), "whoever is over stays over"


def test_a_move_that_is_not_in_the_table_is_named() -> None:
    call = in_state(CallState.PARKED)
    with pytest.raises(AssertionError, match="a call that is PARKED cannot SEND"):
        call.move(CallEvent.SEND)
    call = in_state(CallState.DONE)
    with pytest.raises(AssertionError, match="DONE cannot PARK"):
        call.move(CallEvent.PARK)


def test_a_question_is_never_in_doubt() -> None:
    call = Call(OP_READ, (COUNTER, b"it"), 0, None)
    for event in (CallEvent.PARK, CallEvent.RESUME):
        call.move(event)
    call.move(CallEvent.ASK)
    assert call.state is CallState.ASKED and not call.may_be_applied
    call.move(CallEvent.DOUBT)
    assert not call.may_be_applied
