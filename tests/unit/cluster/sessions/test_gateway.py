"""The gateway's side of exactly once: retries, doubts, deadlines, cancellation, holds, and the end."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from casty.cluster.sessions.core.call import Call
from casty.cluster.sessions.core.inputs import AskSoon
from casty.cluster.slots.operations import OP_WRITE
from casty.cluster.slots.schema import CLOSE, EXPIRE
from casty.config import Settings
from casty.distributed.machines.base import BARRIER, COUNTER, LOCK, OK, UNKNOWN
from casty.distributed.port import LOST_DESTROYED, LOST_EXPIRED
from casty.errors import NotStarted, OutcomeUnknown, SessionExpired, Unavailable
from casty.wire import frames
from casty.wire.pack import pack
from tests.kit.network import Next
from tests.unit.cluster.sessions.session_world import (
    GATEWAY,
    NAME,
    NODES,
    TTL_S,
    SessionWorld,
    is_answer,
    is_keepalive,
    is_request,
)

ADD, VALUE = 1, 1
ACQUIRE, RELEASE, DESTROY = 1, 3, 0


@pytest.fixture
def world() -> SessionWorld:
    return SessionWorld()


def add(world: SessionWorld, timeout_s: float | None = 10.0) -> asyncio.Task[Any]:
    return asyncio.ensure_future(world.gateway.command(COUNTER, NAME, [ADD, 1], timeout_s=timeout_s))


def acquire(world: SessionWorld, timeout_s: float | None = 10.0) -> asyncio.Task[Any]:
    return asyncio.ensure_future(world.gateway.wait(LOCK, NAME, [ACQUIRE], timeout_s=timeout_s))


def value(world: SessionWorld) -> Any:
    return world.machine.query(COUNTER, NAME, [VALUE])[1]


def holder(world: SessionWorld) -> Any:
    return world.machine.query(LOCK, NAME, [1])[1]


def number(world: SessionWorld) -> Any:
    return world.gateway.sessions_by_slot[0].number


# -- once


async def test_a_command_is_answered_and_read_back(world: SessionWorld) -> None:
    assert (await add(world))[0] == OK
    assert await world.gateway.read(COUNTER, NAME, [VALUE], timeout_s=1.0) == [OK, 1]


@pytest.mark.parametrize("copies", [2, 3])
async def test_repeated_frames_count_once(world: SessionWorld, copies: int) -> None:
    world.network.copies = copies
    await asyncio.gather(*(add(world) for _ in range(10)))
    assert value(world) == 10


async def test_a_lost_reply_is_asked_for_again_and_applied_once(world: SessionWorld) -> None:
    await add(world)
    world.network.loses = Next(1, is_answer)
    task = add(world)
    await world.settle()
    assert value(world) == 2
    assert not task.done()
    world.link_down("a")
    world.link_up("a")
    await world.advance(0.1)
    assert (await task)[0] == OK
    assert value(world) == 2


async def test_a_lost_request_is_sent_again(world: SessionWorld) -> None:
    await add(world)
    world.network.loses = Next(1, is_request)
    task = add(world)
    await world.settle()
    world.link_down("a")
    world.link_up("a")
    await world.advance(0.1)
    assert (await task)[0] == OK
    assert value(world) == 2


async def test_a_new_leader_is_asked_again_and_the_old_ones_answer_changes_nothing(
    world: SessionWorld,
) -> None:
    await add(world)
    world.hold_answers()
    task = add(world)
    await world.settle()
    world.network.let_pass()
    world.elect("b")
    world.gateway.on_topology()
    assert (await task)[0] == OK
    world.network.release()
    await world.advance(1.0)
    assert value(world) == 2
    assert world.gateway.sessions_by_slot[0].ack_watermark == 3


async def test_a_redirect_is_followed(world: SessionWorld) -> None:
    world.elect("b", is_told=False)
    assert (await add(world))[0] == OK
    assert world.leaders.leader_of(0) == "b"


@pytest.mark.parametrize("has_failed", [False, True])
async def test_who_was_silent_for_long_is_asked_through_another_at_once(
    world: SessionWorld, has_failed: bool
) -> None:
    assert (await add(world))[0] == OK
    world.hold_answers()
    task = add(world)
    await world.advance(0.1)
    world.link_down("a", has_failed=has_failed)
    world.network.let_pass()
    await world.advance(0.3)
    assert bool([item for item in world.sent() if item[0] == "b" and item[1] == frames.REQUEST]) is has_failed
    task.cancel()
    await world.settle()


async def test_an_unreachable_leader_is_asked_through_another(world: SessionWorld) -> None:
    world.network.cut(f"{GATEWAY}>a")
    task = add(world)
    await world.advance(0.5)
    assert not [item for item in world.sent() if item[0] == "b"]
    await world.advance(1.0)
    relayed = [item for item in world.sent() if item[0] == "b" and item[1] == frames.REQUEST]
    assert relayed
    assert relayed[0][2][0][3] == 1 | 8
    task.cancel()
    await world.settle()


# -- doubts and deadlines


async def test_never_sent_is_unavailable_and_leaves_no_trace(world: SessionWorld) -> None:
    world.is_known = False
    task = add(world, 1.0)
    await world.advance(1.1)
    with pytest.raises(
        Unavailable, match=r"counter 'it': no node told of the cluster within 1\.0 s; it was not applied"
    ):
        await task
    world.is_known = True
    await add(world)
    assert value(world) == 1


async def test_sent_and_never_answered_is_unknown_and_withdrawn(world: SessionWorld) -> None:
    await add(world)
    world.network.loses = Next(1, is_request)
    task = add(world, 1.0)
    await world.advance(1.1)
    with pytest.raises(OutcomeUnknown, match=r"counter 'it': no answer from slot 0 within 1\.0 s"):
        await task
    await world.advance(1.0)
    session = world.gateway.sessions_by_slot[0]
    assert not session.abandoned
    assert session.ack_watermark == session.next_seq
    assert value(world) == 1


async def test_a_refusal_takes_the_doubt_back_only_if_there_was_none_before(world: SessionWorld) -> None:
    await add(world)
    world.network.loses = Next(1, is_request)
    task = add(world, 1.0)
    await world.settle()
    # The first attempt is in doubt; the second one is refused.
    world.elect("b", is_told=False)
    world.network.cut(f"{GATEWAY}>b")
    world.link_down("a")
    world.link_up("a")
    await world.advance(1.0)
    with pytest.raises(OutcomeUnknown):
        await task


async def test_refused_before_it_was_proposed_is_unavailable(world: SessionWorld) -> None:
    await add(world)
    world.elect("b", is_told=False)
    world.network.cut(f"{GATEWAY}>b")
    task = add(world, 0.5)
    await world.advance(0.6)
    with pytest.raises(Unavailable):
        await task
    assert world.gateway.sessions_by_slot[0].ack_watermark == world.gateway.sessions_by_slot[0].next_seq


async def test_unknown_answers_are_asked_again_under_the_same_number(world: SessionWorld) -> None:
    await add(world)
    world.hold_answers()
    task = add(world)
    await world.settle()
    (call_id,) = world.held_calls()
    world.network.held.clear()
    world.network.let_pass()
    world.gateway.on_reply(pack([[call_id, [UNKNOWN]]]))
    await world.advance(0.1)
    assert (await task)[0] == OK
    assert value(world) == 2


async def test_answers_after_the_caller_gave_up_are_nothing(world: SessionWorld) -> None:
    await add(world)
    world.hold_answers()
    task = add(world, 1.0)
    await world.advance(1.1)
    with pytest.raises(OutcomeUnknown):
        await task
    world.network.release()
    await world.advance(1.0)
    await add(world)
    assert value(world) == 3


# -- waiting


async def test_a_wait_is_granted_when_the_holder_lets_go(world: SessionWorld) -> None:
    other = world.other_session()
    token = world.command(other, 1, LOCK, [ACQUIRE])[1]
    task = acquire(world)
    await world.settle()
    assert not task.done()
    world.network.copies = 2
    world.command(other, 2, LOCK, [RELEASE, token])
    reply, grant = await task
    assert reply[1] == grant.token > token
    assert grant.is_valid


async def test_a_wait_that_times_out_is_withdrawn(world: SessionWorld) -> None:
    other = world.other_session()
    token = world.command(other, 1, LOCK, [ACQUIRE])[1]
    task = acquire(world, 1.0)
    await world.advance(1.1)
    with pytest.raises(TimeoutError, match=r"lock 'it': not granted within 1\.0 s; .* withdrawn") as caught:
        await task
    assert not isinstance(caught.value, OutcomeUnknown)
    world.command(other, 2, LOCK, [RELEASE, token])
    assert holder(world) is None
    assert not world.gateway.sessions_by_slot[0].waiting


async def test_a_wait_follows_the_leader_and_asks_for_a_lost_grant(world: SessionWorld) -> None:
    other = world.other_session()
    token = world.command(other, 1, LOCK, [ACQUIRE])[1]
    task = acquire(world)
    await world.settle()
    world.elect("b")
    world.gateway.on_topology()
    await world.settle()
    world.network.loses = Next(1, is_answer)
    world.command(other, 2, LOCK, [RELEASE, token])
    await world.settle()
    assert not task.done()
    await world.advance(TTL_S / 2)
    _, grant = await task
    assert grant.token == holder(world)


async def test_cancelling_a_wait_withdraws_it(world: SessionWorld) -> None:
    other = world.other_session()
    token = world.command(other, 1, LOCK, [ACQUIRE])[1]
    task = acquire(world)
    await world.settle()
    task.cancel()
    await world.advance(1.0)
    world.command(other, 2, LOCK, [RELEASE, token])
    assert holder(world) is None
    assert not world.gateway.sessions_by_slot[0].abandoned


async def test_a_grant_that_crosses_the_cancellation_is_given_back(world: SessionWorld) -> None:
    await add(world)
    world.hold_answers()
    task = acquire(world)
    await world.settle()
    assert holder(world) is not None
    world.network.release()
    task.cancel()
    await world.advance(1.0)
    assert task.cancelled()
    assert holder(world) is None
    assert world.gateway.sessions_by_slot[0].is_idle()


async def test_a_barrier_trips_once_for_all(world: SessionWorld) -> None:
    task = asyncio.ensure_future(world.gateway.wait(BARRIER, NAME, [1, "a", 2], timeout_s=5.0))
    await world.settle()
    tripped = world.command(world.other_session(), 1, BARRIER, [1, "b", 2])
    reply, grant = await task
    assert reply == tripped
    assert grant is None


# -- sessions


async def test_an_expired_session_is_opened_anew_for_a_new_command(world: SessionWorld) -> None:
    await add(world)
    first = number(world)
    world.apply(pack([EXPIRE, first]))
    assert (await add(world))[0] == OK
    assert value(world) == 2
    assert number(world) != first


async def test_an_expired_session_leaves_a_command_in_doubt_unknown(world: SessionWorld) -> None:
    await add(world)
    world.network.loses = Next(1, is_answer)
    task = add(world)
    await world.settle()
    world.apply(pack([EXPIRE, number(world)]))
    world.link_down("a")
    world.link_up("a")
    await world.advance(0.1)
    with pytest.raises(OutcomeUnknown) as caught:
        await task
    assert isinstance(caught.value.__cause__, SessionExpired)
    assert value(world) == 2


async def test_commands_parked_under_a_dead_session_move_to_the_next(world: SessionWorld) -> None:
    await add(world)
    first = number(world)
    world.network.cut(f"{GATEWAY}>a")
    tasks = [add(world) for _ in range(3)]
    await world.settle()
    world.apply(pack([EXPIRE, first]))
    world.link_up("a")
    await world.advance(0.2)
    assert [(await task)[0] for task in tasks] == [OK] * 3
    _, grant = await acquire(world)
    await world.advance(1.0)
    assert grant.is_valid, "nothing of the old session ends the new one"
    assert value(world) == 4


async def test_a_close_that_comes_too_late_leaves_the_next_session_alone(world: SessionWorld) -> None:
    await add(world)
    former = world.gateway.sessions_by_slot[0]
    world.apply(pack([EXPIRE, former.number]))
    await add(world)
    second = number(world)
    close = Call(OP_WRITE, (0, b""), world.clock.now(), None)
    close.slot, close.session, close.payload = 0, former, pack([CLOSE, former.number])
    assert await world.gateway._driver.call(close) == [16]
    await world.advance(0.5)
    assert number(world) == second


async def test_an_idle_session_is_kept_and_then_closed(world: SessionWorld) -> None:
    await add(world)
    await world.advance(TTL_S * 3)
    assert len(world.machine.sessions) == 1
    await world.advance(TTL_S * 3)
    assert not world.machine.sessions
    assert not world.gateway.sessions_by_slot


# -- holds


async def test_a_hold_outlives_many_ttls_while_it_is_confirmed(world: SessionWorld) -> None:
    _, grant = await acquire(world)
    await world.advance(TTL_S * 5)
    assert grant.is_valid
    assert holder(world) == grant.token


async def test_an_unconfirmed_hold_is_lost_before_anybody_else_can_have_it(world: SessionWorld) -> None:
    _, grant = await acquire(world)
    world.network.loses = is_keepalive
    await world.advance(TTL_S * 0.92)
    assert not grant.is_valid
    assert grant.lost.result() == LOST_EXPIRED
    assert holder(world) == grant.token, "the slot still waits"
    world.network.loses = None
    await world.advance(TTL_S)
    assert not grant.is_valid, "once lost, lost for good"
    assert holder(world) is None


async def test_a_hold_is_lost_when_its_lock_is_destroyed(world: SessionWorld) -> None:
    _, grant = await acquire(world)
    world.command(world.other_session(), 1, LOCK, [DESTROY])
    await world.advance(TTL_S / 2)
    assert grant.lost.result() == LOST_DESTROYED
    assert (LOCK, NAME) not in world.machine.entities, "the revoked hold is confirmed and gone"


async def test_a_release_gives_the_hold_to_the_next(world: SessionWorld) -> None:
    _, grant = await acquire(world)
    next_one = acquire(world)
    await world.settle()
    assert await world.gateway.release(LOCK, NAME, grant, [RELEASE, grant.token], timeout_s=1.0) == [OK, True]
    assert not grant.is_valid
    assert (await next_one)[1].token == holder(world)
    assert await world.gateway.release(LOCK, NAME, grant, [RELEASE, grant.token], timeout_s=1.0) == [
        OK,
        False,
    ]


async def test_an_unanswered_release_is_made_good(world: SessionWorld) -> None:
    _, grant = await acquire(world)
    world.network.loses = Next(1, is_request)
    release = world.gateway.release(LOCK, NAME, grant, [RELEASE, grant.token], timeout_s=0.5)
    task = asyncio.ensure_future(release)
    await world.advance(0.6)
    with pytest.raises(OutcomeUnknown):
        await task
    await world.advance(1.0)
    assert holder(world) is None
    assert world.gateway.sessions_by_slot[0].is_idle()


async def test_an_answer_about_the_last_session_says_nothing_about_this_one(world: SessionWorld) -> None:
    await add(world)
    world.network.loses = is_keepalive
    world.gateway._driver.step(AskSoon(world.gateway.sessions_by_slot[0]))
    await world.advance(0.01)
    nonce = next(body[0] for _, kind, body in reversed(world.sent()) if kind == frames.KEEPALIVE)
    world.apply(pack([EXPIRE, number(world)]))
    _, grant = await acquire(world)
    session = number(world)
    world.gateway.on_keepalive_ack(pack([nonce, [[0, 16, [], [], [], None, 1]]]))
    assert number(world) == session
    assert grant.is_valid


# -- back-pressure and the end


@pytest.mark.parametrize("window", [16, 100])
async def test_the_window_holds_calls_back_and_lets_them_in(window: int) -> None:
    world = SessionWorld(Settings(max_window_replies=window))
    await add(world)
    world.hold_answers()
    tasks = [add(world) for _ in range(3 * window)]
    await world.settle()
    assert 0 < len(world.held_calls()) < window
    assert all(len(session.replies) <= window for session in world.machine.sessions.values())
    while not all(task.done() for task in tasks):
        world.network.release()
        await world.advance(0.05)
    assert value(world) == 1 + 3 * window


async def test_deadlines_of_answered_calls_do_not_pile_up(world: SessionWorld) -> None:
    for _ in range(50):
        await asyncio.gather(*(add(world, 60.0) for _ in range(60)))
    assert len(world.gateway.core.table.deadlines._heap) < 2_000


async def test_close_ends_calls_and_frees_what_was_held(world: SessionWorld) -> None:
    _, grant = await acquire(world)
    waiting = acquire(world)
    await world.settle()
    await world.gateway.close()
    with pytest.raises(NotStarted):
        await waiting
    with pytest.raises(NotStarted):
        await add(world)
    assert not grant.is_valid
    assert holder(world) is None
    assert not world.machine.sessions


async def test_close_leaves_in_doubt_what_was_sent(world: SessionWorld) -> None:
    """What is called not applied must not be applied later: the command is on its way already."""
    await add(world)
    world.network.loses = Next(1, is_request)
    sent = add(world)
    await world.settle()
    closing = asyncio.ensure_future(world.gateway.close())
    await world.settle()
    with pytest.raises(OutcomeUnknown, match="applied once or never"):
        await sent
    await closing


async def test_close_waits_a_second_for_a_silent_slot_and_no_longer(world: SessionWorld) -> None:
    await acquire(world)
    world.network.cut(f"{GATEWAY}>a")
    task = asyncio.ensure_future(world.gateway.close())
    await world.advance(0.9)
    assert not task.done()
    await world.advance(0.2)
    await task
    await world.advance(TTL_S * 1.2)
    assert holder(world) is None


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_the_wires_and_leaders_do_each_command_counts_once(
    world: SessionWorld, seed: int
) -> None:
    chance = random.Random(seed)
    requests, answers = Next(0, is_request), Next(0, is_answer)
    world.network.loses = lambda flight: requests(flight) or answers(flight)
    tasks: list[asyncio.Task[Any]] = []
    for _ in range(40):
        tasks += [add(world, 2.0) for _ in range(chance.randrange(4))]
        match chance.randrange(7):
            case 0:
                requests.left += 1
            case 1:
                answers.left += 1
            case 2:
                world.network.copies = chance.randrange(1, 4)
            case 3:
                world.elect(chance.choice("ab"), is_told=chance.random() < 0.5)
                world.gateway.on_topology()
            case 4:
                node_id = chance.choice("ab")
                if node_id not in world.linked():
                    world.link_up(node_id)
                else:
                    world.link_down(node_id)
            case 5:
                world.hold_answers()
            case _:
                world.network.release()
        await world.advance(chance.choice([0.0, 0.05, 0.2]))
    world.network.release()
    for node_id in NODES:
        if node_id not in world.linked():
            world.link_up(node_id)
    await world.advance(5.0)
    errors = [task.exception() for task in tasks]
    done = errors.count(None)
    unknown = sum(isinstance(error, OutcomeUnknown) for error in errors)
    assert done + unknown + sum(isinstance(error, Unavailable) for error in errors) == len(tasks)
    assert done <= value(world) <= done + unknown
    await world.advance(TTL_S)
    assert world.gateway.sessions_by_slot[0].is_idle()
