"""Commands and reads: exactly once, whatever happened to their frames; and the window that bounds them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.config import Settings
from casty.distributed.machines.base import COUNTER, QUEUE
from casty.errors import MessageTooLarge, OutcomeUnknown, Overloaded, Unavailable
from casty.wire import frames
from tests.kit.clock import settle
from tests.unit.cluster.replica_calls import N, acquire, add, arrive, opened, release, run, task, value
from tests.unit.cluster.replica_world import TTL_S, ReplicaWorld

# -- commands


async def test_first_use_opens_once_for_all_who_wait() -> None:
    world = ReplicaWorld()
    client = world.client()
    calls = [add(client) for _ in range(5)]
    await world.run()
    assert [call.result()[1] for call in calls] == [1, 2, 3, 4, 5]
    assert len(world.machine.sessions) == 1


async def test_calls_of_one_turn_leave_in_one_frame() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    world.network.sent.clear()
    for _ in range(5):
        add(client)
    await settle()
    assert client.frames_sent() == [("a", frames.REQUEST)]
    await world.run()
    assert value(world) == 5


async def test_lost_request_is_sent_again_over_the_next_link() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    call = add(client)
    await settle()
    world.network.lose()
    client.link_down("a")
    await world.advance(0.2)
    assert not call.done()
    client.link_up("a")
    assert await run(world, call) == [0, 1]


async def test_lost_answer_is_given_again_and_nothing_is_applied_twice() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    call = add(client)
    await settle()
    world.arrive(world.network.flights[0], again=True)
    world.commit()
    client.link_down("a")
    client.link_up("a")
    assert await run(world, call) == [0, 1]
    await world.advance(1)
    assert value(world) == 1


async def test_redirect_goes_to_the_named_leader() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    world.elect("b")
    call = add(client)
    assert await run(world, call) == [0, 1]
    assert client.leaders.leader_of(0) == "b"


async def test_proposal_lost_with_its_leader_is_unknown_and_made_again() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    call = add(client)
    await settle()
    world.arrive(world.network.flights[0])
    world.elect("b", survivors=0)
    client.hear()
    assert await run(world, call) == [0, 1]


async def test_proposal_that_survives_its_leader_is_applied_once() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    call = add(client)
    await settle()
    world.arrive(world.network.flights[0])
    world.elect("b", survivors=1)
    client.hear()
    assert await run(world, call) == [0, 1]
    await world.advance(1)
    assert value(world) == 1


async def test_never_sent_is_unavailable() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    for node_id in list(client.links):
        client.link_down(node_id)
    call = add(client, timeout_s=1.0)
    await world.advance(1.1)
    with pytest.raises(Unavailable):
        call.result()


async def test_no_topology_is_unavailable_and_its_arrival_lets_go() -> None:
    world = ReplicaWorld()
    client = world.client()
    client.has_topology = False
    late, lost = add(client, timeout_s=9.0), add(client, timeout_s=1.0)
    await world.advance(2)
    with pytest.raises(Unavailable):
        lost.result()
    client.has_topology = True
    client.hear()
    assert await run(world, late) == [0, 1]


async def test_refused_before_it_was_proposed_is_unavailable() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    world.leader = None
    call = add(client, timeout_s=0.98)
    await world.advance(1.1)
    with pytest.raises(Unavailable):
        call.result()


async def test_unanswered_is_unknown_and_withdrawn_before_it_could_apply_late() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    call = add(client, timeout_s=1.0)
    await settle()
    late = world.network.flights.pop()
    await world.advance(2)
    with pytest.raises(OutcomeUnknown):
        call.result()
    world.network.flights.append(late)
    await world.run()
    assert value(world) == 0
    await world.advance(1)
    session = client.gateway.sessions_by_slot[0]
    assert not session.abandoned
    assert session.ack_watermark == session.next_seq


async def test_topology_of_a_new_leader_moves_what_was_sent_to_the_old_one() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    call = add(client)
    await settle()
    world.network.lose()  # the old leader is deaf, and its link looks alive
    world.elect("b")
    other = add(client)
    client.hear()
    assert (await run(world, other))[0] == 0
    assert call.done()
    assert value(world) == 2


async def test_reads_need_no_session() -> None:
    world = ReplicaWorld()
    client = world.client()
    read = task(client.gateway.read(COUNTER, N, [1], timeout_s=1.0))
    assert await run(world, read) == [0, 0]
    assert not world.machine.sessions
    world.leader = None
    read = task(client.gateway.read(COUNTER, N, [1], timeout_s=1.0))
    await world.advance(1.1)
    with pytest.raises(Unavailable):
        read.result()


async def test_unanswered_read_is_unavailable() -> None:
    world = ReplicaWorld()
    client = world.client()
    read = task(client.gateway.read(COUNTER, N, [1], timeout_s=1.0))
    await settle()
    world.network.lose()
    await world.advance(1.1)
    with pytest.raises(Unavailable):
        read.result()


async def test_scan_finds_entities_by_prefix() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    for name in (b"ab", b"ac", b"b"):
        await run(world, task(client.gateway.command(COUNTER, name, [1, 1], timeout_s=1.0)))
    assert sorted(await run(world, task(client.gateway.scan(COUNTER, b"a", timeout_s=1.0)))) == [b"ab", b"ac"]


async def test_too_large_is_said_at_the_call() -> None:
    world = ReplicaWorld(max_value_bytes=2048)
    client = await opened(world)
    call = task(client.gateway.command(4, b"q", [1, b"x" * 4096], timeout_s=1.0))
    await settle()
    with pytest.raises(MessageTooLarge):
        call.result()
    assert await run(world, add(client)) == [0, 1]
    await world.advance(6)
    assert not client.gateway.sessions_by_slot[0].abandoned


async def test_leader_out_of_reach_is_asked_through_another_node() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    client.link_down("a")
    call = add(client, timeout_s=5.0)
    await world.advance(0.9)
    assert not call.done()
    await world.advance(0.4)
    assert call.result() == [0, 1]
    again = add(client, timeout_s=5.0)
    await world.advance(0.1)
    assert again.result() == [0, 2]  # who is known to be out of reach is not waited for again


async def test_hold_outlives_the_ttl_where_only_a_relay_reaches_the_leader() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    _, grant = await run(world, acquire(client))
    client.link_down("a")
    await world.advance(3 * TTL_S)
    assert grant.is_valid
    assert await run(world, release(client, grant)) == [0, True]


# -- the window


async def test_window_holds_calls_back_and_lets_them_in_as_answers_come() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    limit = Settings().max_window_replies
    calls = [add(client, timeout_s=None) for _ in range(limit + 500)]
    await settle()
    assert client.gateway.sessions_by_slot[0].outstanding < limit
    await world.run()
    assert [call.result()[1] for call in calls] == list(range(1, limit + 501))
    assert world.machine.sessions[1].reply_bytes < 100_000


async def test_window_in_bytes_never_locks_up() -> None:
    world = ReplicaWorld(max_window_bytes=4096)
    client = await opened(world)

    def dequeue() -> asyncio.Task[Any]:
        return task(client.gateway.command(QUEUE, b"q", [2], timeout_s=5.0))

    for i in range(10):
        await run(world, task(client.gateway.command(QUEUE, b"q", [1, bytes([i]) * 1000], timeout_s=5.0)))
    first = [dequeue() for _ in range(5)]
    await settle()
    world.arrive(world.network.flights[0])
    world.commit()
    later = [dequeue() for _ in range(5)]  # these say what was confirmed before the first were answered
    await world.advance(1)
    assert [call.result()[1][0] for call in first + later] == list(range(10))


async def test_release_waits_for_no_window() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    _, grant = await run(world, acquire(client))
    stuck = [add(client, timeout_s=None) for _ in range(Settings().max_window_replies)]
    await settle()
    lost = [one for one in world.network.flights if one.message.to_node]
    world.network.lose()
    assert await run(world, release(client, grant)) == [0, True]
    world.network.flights.extend(lost)
    await world.run()
    assert all(call.done() for call in stuck)


async def test_waiters_leave_the_window() -> None:
    world = ReplicaWorld()
    client, holder = await opened(world), await opened(world, "h")
    _, grant = await run(world, acquire(holder))
    waiting = [acquire(client, timeout_s=None) for _ in range(Settings().max_window_replies + 50)]
    await world.run()
    assert client.gateway.sessions_by_slot[0].outstanding == 0
    assert await run(world, add(client)) == [0, 1]
    await run(world, release(holder, grant))
    _, grant = waiting[0].result()
    assert grant.is_valid
    for one in waiting:
        one.cancel()


async def test_outcomes_are_forgotten_while_an_older_call_waits_on() -> None:
    world = ReplicaWorld()
    client, other = await opened(world), await opened(world, "o")
    _, grant = await run(world, acquire(other))
    patient = acquire(client, timeout_s=None)
    await world.run()
    for _ in range(50):
        first = arrive(client, "c", 2)
        await world.run()
        await run(world, arrive(other, "o", 2))
        assert first.done()
    await world.advance(TTL_S)
    assert all(len(session.outcomes) < 10 for session in world.machine.sessions.values())
    await run(world, release(other, grant))
    assert patient.done()


async def test_too_many_parked_calls_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casty.cluster.sessions.core.session_core.MAX_PARKED", 3)
    world = ReplicaWorld()
    client = world.client()
    client.has_topology = False
    parked = [add(client, timeout_s=9.0) for _ in range(3)]
    await settle()
    refused = add(client)
    await settle()
    with pytest.raises(Overloaded):
        refused.result()
    client.has_topology = True
    client.hear()
    await world.run()
    assert all(call.done() for call in parked)


async def test_full_slot_answers_overloaded() -> None:
    world = ReplicaWorld(max_sessions=1)
    await opened(world)
    call = add(world.client("second"))
    await world.run()
    with pytest.raises(Overloaded, match="max_sessions"):
        call.result()
