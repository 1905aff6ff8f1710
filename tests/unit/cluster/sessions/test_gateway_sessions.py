"""Sessions: kept alive, expired, closed, and what that does to calls and holds."""

from __future__ import annotations

import pytest

from casty.cluster.sessions.core.inputs import AskSoon
from casty.cluster.slots.schema import COMMAND, EXPIRE
from casty.consensus import Entry
from casty.errors import NotStarted, OutcomeUnknown, SessionExpired
from casty.wire import frames
from casty.wire.pack import pack
from tests.kit.clock import settle
from tests.unit.cluster.replica_calls import (
    acquire,
    add,
    arrive,
    end_session,
    entries,
    expire,
    line,
    opened,
    release,
    run,
    task,
)
from tests.unit.cluster.replica_world import TTL_S, ReplicaWorld


async def test_keep_alives_cover_a_hold_for_ever() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    _, grant = await run(world, acquire(client))
    await world.advance(10 * TTL_S)
    assert grant.is_valid and not grant.lost.done()
    assert await run(world, release(client, grant)) == [0, True]


async def test_hold_is_lost_before_another_is_granted_it() -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    _, grant = await run(world, acquire(one))
    waiting = acquire(two, timeout_s=None)
    await world.run()
    for node_id in list(one.links):
        one.link_down(node_id)
    for _ in range(100):
        if waiting.done():
            break
        await world.advance(0.25)
    assert waiting.done()
    assert grant.lost.done() and not grant.is_valid
    assert waiting.result()[1].is_valid


async def test_lost_stays_lost_and_is_given_back() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    _, grant = await run(world, acquire(client))
    await world.advance(TTL_S, quiet=True)  # nothing gets through, and the leader's clock says nothing yet
    assert not grant.is_valid and grant.lost.done()
    world.network.lose()
    await world.advance(1)
    assert not grant.is_valid
    assert not line(world) or not line(world).grants


async def test_call_after_the_expiry_opens_anew() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    first = client.gateway.sessions_by_slot[0].number
    await expire(world, client)
    call = add(client)
    await world.advance(0.5)
    assert call.result() == [0, 1]
    assert client.gateway.sessions_by_slot[0].number != first


async def test_calls_of_one_frame_after_the_expiry_all_open_anew() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    end_session(world, client)
    calls = [add(client) for _ in range(5)]
    await world.run()
    assert sorted(call.result()[1] for call in calls) == [1, 2, 3, 4, 5]
    assert len(world.machine.sessions) == 1


async def test_call_that_was_sent_before_the_expiry_is_unknown() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    call = add(client, timeout_s=60.0)
    await settle()
    world.network.lose()
    await expire(world, client)
    await world.run()
    with pytest.raises(OutcomeUnknown) as caught:
        call.result()
    assert isinstance(caught.value.__cause__, SessionExpired)


async def test_waiter_of_an_expired_session_is_unknown_and_gone() -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    await run(world, acquire(one))
    waiting = acquire(two, timeout_s=None)
    await world.run()
    await expire(world, two)
    await world.advance(6)
    with pytest.raises(OutcomeUnknown) as caught:
        waiting.result()
    assert isinstance(caught.value.__cause__, SessionExpired)
    assert not line(world).waiters


async def test_late_answer_of_an_old_session_does_not_end_the_new_one() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    call = add(client, timeout_s=60.0)
    await settle()
    late = [flight for flight in world.network.flights if flight.message.to_node]
    world.network.lose()
    end_session(world, client)
    assert await run(world, add(client)) == [0, 1]
    new = client.gateway.sessions_by_slot[0]
    world.network.flights.extend(late)
    await world.run()
    assert client.gateway.sessions_by_slot[0] is new
    assert await run(world, add(client)) == [0, 3 if call.done() and not call.exception() else 2]


async def test_idle_session_is_closed() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    await world.advance(4 * TTL_S + TTL_S)
    assert not world.machine.sessions
    assert not client.gateway.sessions_by_slot
    assert await run(world, add(client)) == [0, 1]


async def test_session_with_a_hold_is_not_idle() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    _, grant = await run(world, acquire(client))
    await world.advance(8 * TTL_S)
    assert grant.is_valid


async def test_slot_that_began_anew_ends_what_was_known_of_the_old_one() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    _, grant = await run(world, acquire(client))
    call = add(client, timeout_s=60.0)
    await settle()
    world.network.lose()
    world.start_anew()
    world.version += 1
    stranger = world.client("stranger")
    await run(world, add(stranger, 100))  # takes the same session number in the new epoch
    client.hear()
    await world.run()
    assert grant.lost.done()
    with pytest.raises(OutcomeUnknown):
        call.result()
    assert await run(world, add(client)) == [0, 101]


@pytest.mark.parametrize("is_another_cluster", [False, True])
@pytest.mark.parametrize("is_heard_late", [False, True])
async def test_an_opening_under_way_when_its_slot_begins_anew_is_forgotten(
    *, is_another_cluster: bool, is_heard_late: bool
) -> None:
    world = ReplicaWorld()
    client = world.client()
    call = add(client, timeout_s=60.0)
    await settle()
    world.arrive(world.network.flights[0])
    world.commit()
    late, world.network.flights = world.network.flights, []
    assert [flight.message.to_node for flight in late] == [False]
    world.start_anew()
    world.version += 1
    world.cluster_id += "y" * is_another_cluster
    stranger = world.client("stranger")
    await run(world, add(stranger, 100))  # takes the same session number in the new epoch
    client.hear()
    if is_heard_late:
        world.network.flights.extend(late)
    assert await run(world, call) == [0, 101]
    assert client.gateway.sessions_by_slot[0].number != stranger.gateway.sessions_by_slot[0].number
    assert len(world.machine.sessions) == 2
    assert not client.gateway.core.table.calls


async def test_another_cluster_ends_all_sessions() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    _, grant = await run(world, acquire(client))
    world.cluster_id = "y"
    client.hear()
    assert grant.lost.done()
    assert not client.gateway.sessions_by_slot


async def test_close_frees_at_once_and_fails_what_waits() -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    await run(world, acquire(one))
    waiting, late = acquire(two), acquire(one, name=b"other")
    await world.run()
    stuck = arrive(one, "1", 2)
    await world.run()
    closing = task(one.gateway.close())
    await world.run()
    assert closing.done()
    assert waiting.result()[1].is_valid
    assert late.done()
    with pytest.raises(NotStarted):
        stuck.result()
    with pytest.raises(NotStarted):
        await add(one)
    assert len(world.machine.sessions) == 1
    await run(world, task(two.gateway.close()))
    assert world.clock.live() == 0


async def test_close_is_bounded_where_nobody_answers() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    closing = task(client.gateway.close())
    await world.advance(1.1, quiet=True)
    assert closing.done()
    assert world.clock.live() == 0


async def test_no_future_and_no_table_outlives_its_call() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    for _ in range(100):
        await run(world, add(client))
        _, grant = await run(world, acquire(client))
        await run(world, release(client, grant))
    await world.advance(6)
    session = client.gateway.sessions_by_slot[0]
    assert session.is_idle()
    assert not client.gateway.core.table.calls
    session = world.machine.sessions[1]
    assert not session.waits and not session.withdrawn and len(session.replies) < 4
    assert len(entries(world, COMMAND)) == 301


async def test_new_leader_expires_nobody_before_a_fresh_ttl() -> None:
    world = ReplicaWorld()
    one, two = await opened(world, "1"), await opened(world, "2")
    _, grant = await run(world, acquire(one))
    waiting = acquire(two, timeout_s=None)
    await world.run()
    for node_id in list(one.links):
        one.link_down(node_id)
    await world.advance(TTL_S - 6)
    world.elect("b")
    two.hear()
    for _ in range(120):
        await world.advance(0.25)
        assert not (waiting.done() and grant.is_valid)
        if waiting.done():
            break
    assert waiting.done() and grant.lost.done()


async def test_keep_alive_that_was_long_under_way_covers_from_when_it_was_sent() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    _, grant = await run(world, acquire(client))
    await world.advance(TTL_S / 3 + 0.1, quiet=True)
    sent_ns = world.clock.now_ns
    asked = [flight for flight in world.network.flights if flight.message.kind == frames.KEEPALIVE]
    world.network.lose()
    await world.advance(TTL_S / 3, quiet=True)
    world.network.flights[:] = asked[:1]
    world.arrive(world.network.flights[0])
    world.arrive(world.network.flights[0])
    assert grant.is_valid
    assert client.gateway.sessions_by_slot[0].covered_until_ns <= sent_ns + TTL_S * 1_000_000_000


async def test_expiry_that_a_former_leader_left_in_the_log_covers_nobody() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    _, grant = await run(world, acquire(client))
    world.pending.append(Entry(world.term, 0, pack([EXPIRE, client.gateway.sessions_by_slot[0].number])))
    world.elect("b", survivors=1)
    client.hear()
    covered_until_ns = client.gateway.sessions_by_slot[0].covered_until_ns
    client.gateway._driver.step(AskSoon(client.gateway.sessions_by_slot[0]))
    await world.advance(0.01, quiet=True)
    while world.network.flights:  # nothing is committed: the expiry only stands in the log
        world.arrive(world.network.flights[0])
    assert client.gateway.sessions_by_slot[0].covered_until_ns == covered_until_ns
    await world.advance(0.2)
    assert grant.lost.done()
    assert await run(world, add(client)) == [0, 1]


async def test_expired_session_of_a_full_window_lets_everybody_in_again() -> None:
    world = ReplicaWorld()
    client = await opened(world)
    end_session(world, client)
    calls = [add(client, timeout_s=None) for _ in range(1_500)]
    await world.run()
    assert sorted(call.result()[1] for call in calls) == list(range(1, 1_501))


async def test_withdrawal_of_a_call_of_a_dead_session_leaves_the_next_one_alone() -> None:
    world = ReplicaWorld()
    client, holder = await opened(world), await opened(world, "h")
    await run(world, acquire(holder))
    stuck = acquire(client, timeout_s=1.0)
    await settle()
    late = list(world.network.flights)
    world.network.lose()
    end_session(world, client)
    await run(world, add(client))
    waiting = acquire(client, timeout_s=None)
    await world.run()
    await world.advance(1.1)
    world.network.flights.extend(late)
    await world.run()
    assert stuck.done()
    assert not waiting.done()
    assert len(line(world).waiters) == 1
