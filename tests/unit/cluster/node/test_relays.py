"""Calls that are passed on for somebody else: kept until they end, in whatever way they end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.cluster.control.schema import REGION
from casty.cluster.multiraft.proposals import OK, UNKNOWN
from casty.cluster.node.relays import RETRY_NS, ControlCalls, Relays
from casty.config import SECOND_NS
from casty.distributed.machines.base import QUEUED, WITHDRAWN
from casty.errors import Unavailable
from casty.wire.pack import pack, unpack
from tests.kit.clock import ManualClock, settle
from tests.kit.gateways import Answers

ENTRY = pack([REGION, "r", 3, None])


def test_a_queued_call_is_kept_until_it_ends() -> None:
    relays, caller = Relays(ManualClock()), Answers()
    relay_id = relays.expect("a", caller, 7)
    relays.on_reply(relay_id, [QUEUED], is_final=False)
    assert len(relays) == 1
    relays.on_reply(relay_id, [WITHDRAWN], is_final=True)
    relays.on_reply(relay_id, [OK], is_final=True)
    assert (caller.calls, len(relays)) == ([(7, [QUEUED]), (7, [WITHDRAWN])], 0)


def test_the_next_attempt_of_a_call_takes_the_place_of_the_one_before() -> None:
    relays, caller, other = Relays(ManualClock()), Answers(), Answers()
    first = relays.expect("a", caller, 7)
    theirs = relays.expect("a", other, 7)
    second = relays.expect("b", caller, 7)
    relays.on_reply(first, [OK, 1], is_final=True)
    relays.on_reply(second, [OK, 2], is_final=True)
    relays.on_reply(theirs, [OK, 3], is_final=True)
    assert (caller.calls, other.calls, len(relays)) == ([(7, [OK, 2])], [(7, [OK, 3])], 0)


def test_the_end_of_either_link_ends_its_calls() -> None:
    relays, caller, other = Relays(ManualClock()), Answers(), Answers()
    relays.expect("a", caller, 1)
    relays.expect("b", caller, 2)
    kept = relays.expect("b", other, 3)
    relays.link_lost("a")
    relays.caller_lost(caller)
    relays.caller_lost(caller)
    assert (caller.calls, len(relays)) == ([(1, [UNKNOWN])], 1)
    relays.drop(kept)
    relays.drop(kept)
    assert len(relays) == 0


@pytest.fixture
def in_threes(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    monkeypatch.setattr("casty.cluster.node.relays.ENDED_AT_ONCE", 3)
    return ManualClock()


def test_calls_of_a_link_that_ended_are_answered_in_parts(in_threes: ManualClock) -> None:
    relays, caller = Relays(in_threes), Answers()
    for number in range(8):
        relays.expect("a", caller, number)
    relays.expect("b", caller, 8)
    relays.link_lost("a")
    counts = [len(caller.calls)]
    for _ in range(3):
        in_threes.run_due()
        counts.append(len(caller.calls))
    assert (counts, len(relays)) == ([3, 6, 8, 8], 1)
    assert caller.calls == [(number, [UNKNOWN]) for number in range(8)]


def test_what_is_sent_again_between_the_parts_is_on_the_next_link(in_threes: ManualClock) -> None:
    relays, caller = Relays(in_threes), Answers()
    former = [relays.expect("a", caller, number) for number in range(6)]
    relays.link_lost("a")
    again = relays.expect("a", caller, 5)
    # The node may have answered on the link that ended: that counts as long as nothing else was said.
    relays.on_reply(former[4], [OK, 4], is_final=True)
    for _ in range(3):
        in_threes.run_due()
    assert caller.calls == [*((number, [UNKNOWN]) for number in range(3)), (4, [OK, 4]), (3, [UNKNOWN])]
    relays.on_reply(former[5], [OK, "former"], is_final=True)
    relays.on_reply(again, [OK, "again"], is_final=True)
    assert caller.calls[-1] == (5, [OK, "again"])
    assert (len(relays), relays._by_target, relays._by_caller) == (0, {}, {})


def test_calls_of_a_caller_that_is_gone_are_forgotten_in_parts_and_answered_never(
    in_threes: ManualClock,
) -> None:
    relays, caller, other = Relays(in_threes), Answers(), Answers()
    ids = [relays.expect("a", caller, number) for number in range(8)]
    kept = relays.expect("a", other, 0)
    relays.caller_lost(caller)
    assert len(relays) == 6
    relays.on_reply(ids[7], [QUEUED], is_final=False)
    relays.on_reply(ids[7], [OK], is_final=True)
    relays.drop(ids[6])
    in_threes.run_due()
    in_threes.run_due()
    assert (caller.calls, len(relays)) == ([], 1)
    relays.link_lost("a")
    in_threes.run_due()
    assert (other.calls, len(relays), kept) == ([(0, [UNKNOWN])], 0, kept)
    assert (relays._by_target, relays._by_caller) == ({}, {})


def test_one_caller_has_so_many_calls_passed_on_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casty.cluster.node.relays.MAX_RELAYED", 2)
    relays, caller = Relays(ManualClock()), Answers()
    assert relays.has_room(caller)
    relays.expect("a", caller, 1)
    relays.expect("a", caller, 2)
    assert not relays.has_room(caller)
    assert relays.has_room(Answers())
    relays.caller_lost(caller)
    assert relays.has_room(caller)


@pytest.mark.parametrize("is_sent", [False, True])
async def test_an_unanswered_control_entry_goes_out_at_growing_distances(is_sent: bool) -> None:
    clock = ManualClock()
    relays = Relays(clock)
    sent: list[float] = []

    def send(node_id: str, kind: int, body: bytes) -> bool:
        del node_id, kind, body
        sent.append(clock.now() / SECOND_NS)
        return is_sent

    start_s = clock.now() / SECOND_NS
    writing = asyncio.ensure_future(ControlCalls(clock, relays, lambda: "a", send).write(ENTRY, 20.0))
    for _ in range(41):
        await settle()
        clock.advance(RETRY_NS / SECOND_NS)
    await settle()
    assert [at - start_s for at in sent] == [0, 0.5, 1.5, 3.5, 7.5, 15.5]
    assert len(relays) == 0
    with pytest.raises(Unavailable):
        await writing


async def test_a_late_reply_to_an_earlier_attempt_counts() -> None:
    clock = ManualClock()
    relays = Relays(clock)
    sent: list[int] = []

    def send(node_id: str, kind: int, body: bytes) -> bool:
        row: Any = unpack(body)
        sent.append(row[0][0])
        return True

    writing = asyncio.ensure_future(ControlCalls(clock, relays, lambda: "a", send).write(ENTRY, 20.0))
    await settle()
    clock.advance(RETRY_NS / SECOND_NS)
    await settle()
    assert len(sent) == 2
    relays.on_reply(sent[0], [OK, "late"], is_final=True)
    await settle()
    assert writing.done()
    assert await writing == [OK, "late"]
    assert len(relays) == 0


async def test_another_leader_is_asked_without_waiting_for_the_former_one() -> None:
    clock = ManualClock()
    relays = Relays(clock)
    sent: list[str] = []
    leader = "a"

    def send(node_id: str, kind: int, body: bytes) -> bool:
        sent.append(node_id)
        return True

    writing = asyncio.ensure_future(ControlCalls(clock, relays, lambda: leader, send).write(ENTRY, 20.0))
    for elected in "aaaaab":
        leader = elected
        await settle()
        clock.advance(RETRY_NS / SECOND_NS)
    await settle()
    assert sent == ["a", "a", "a", "b", "b"]
    writing.cancel()


async def test_a_cancelled_control_entry_is_forgotten() -> None:
    clock = ManualClock()
    relays = Relays(clock)
    calls = ControlCalls(clock, relays, lambda: "a", lambda node_id, kind, body: True)
    writing = asyncio.ensure_future(calls.write(ENTRY, 2.0))
    await settle()
    writing.cancel()
    await settle()
    assert len(relays) == 0
