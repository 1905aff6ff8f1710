"""Many holds of one slot: lost all at once, told to their owners and named in keep-alives in parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from casty.cluster.sessions.core import inputs, keepalive, session_core
from casty.cluster.sessions.core.client_session import ClientSession
from casty.cluster.sessions.core.session_core import SessionCore
from casty.cluster.sessions.grant import Hold
from casty.distributed.machines.base import LOCK, SEMAPHORE
from casty.distributed.machines.lock import ACQUIRE, DESTROY
from casty.distributed.port import LOST_DESTROYED, LOST_EXPIRED
from casty.wire import frames
from tests.unit.cluster.sessions.session_world import TTL_S, is_keepalive
from tests.unit.cluster.sessions.test_lost_sessions import Changing

PART = 3
HELD = 10
Holding = list[Hold]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Changing:
    monkeypatch.setattr(keepalive, "LOST_AT_ONCE", PART)
    monkeypatch.setattr(session_core, "LOST_AT_ONCE", PART)
    return Changing()


async def hold(world: Changing, kind: int = LOCK, count: int = HELD) -> Any:
    """Hold so many locks of one slot, or so many permits of one semaphore."""
    command = [ACQUIRE] if kind == LOCK else [ACQUIRE, count, 1]
    names = [b"%d" % number if kind == LOCK else b"s" for number in range(count)]
    replies = await asyncio.gather(
        *(world.gateway.wait(kind, name, command, timeout_s=5.0) for name in names)
    )
    return [grant for _, grant in replies]


def told(holding: Holding) -> int:
    return sum(hold.lost.done() for hold in holding)


def named(world: Changing, since: int, part: int) -> list[int]:
    """Return what keep-alives named since then: 0 waits, 1 is held, 2 is abandoned."""
    rows = [row for _, kind, body in world.sent()[since:] if kind == frames.KEEPALIVE for row in body[1]]
    return [request[0] for row in rows for request in row[3 + part]]


def as_a_step(world: Changing, act: Callable[[SessionCore], None]) -> None:
    """Do something to the core as a step would that begins now, and perform what comes of it."""
    core = world.gateway.core
    core._step.now_ns = world.clock.now()
    act(core)
    world.gateway._driver.step(inputs.Lasting(0))


def ask_soon(world: Changing, session: ClientSession) -> None:
    world.gateway._driver.step(inputs.AskSoon(session))


async def test_all_are_lost_at_once_and_their_owners_hear_of_it_in_parts(world: Changing) -> None:
    holding = await hold(world)
    world.network.loses = is_keepalive
    await world.advance(TTL_S / 3)
    left_s = (world.gateway.sessions_by_slot[0].covered_until_ns - world.clock.now()) / 1e9
    world.clock.skip_to(world.clock.now() + int(left_s * 1e9) + 1)
    since = len(world.sent())
    counts = []
    for _ in range(5):
        world.clock.run_due()
        assert not any(hold.is_valid for hold in holding)
        counts.append(told(holding))
    assert counts == [3, 6, 9, 10, 10]
    assert {hold.lost.result() for hold in holding} == {LOST_EXPIRED}
    # The slot is asked to forget all of them, also those whose turn came after the first keep-alive.
    world.clock.run_due()
    assert sorted(set(named(world, since, 2))) == sorted(hold.seq for hold in holding)
    world.network.loses = None
    await world.advance(1.0)
    assert not world.gateway.sessions_by_slot[0].abandoned
    assert all(not line.grants for line in world.machine.entities.values())


async def test_what_is_not_told_yet_stays_lost_when_the_session_is_covered_again(world: Changing) -> None:
    holding = await hold(world)
    session = world.gateway.sessions_by_slot[0]
    world.clock.skip_to(session.covered_until_ns)
    as_a_step(world, lambda core: core.keep_alive.covered(session, world.clock.now()))
    assert world.clock.now() < session.covered_until_ns
    assert told(holding) == PART
    assert not any(hold.is_valid for hold in holding)
    late = holding[-1]
    assert await world.gateway.release(LOCK, b"9", late, [2, late.token], timeout_s=1.0) == [0, False]
    await world.advance(0.5)
    # The owner gave the last one back before it was told: that is not lost, and forgotten by the slot all the same.
    assert not any(hold.is_valid for hold in holding)
    assert not session.abandoned
    assert not session.held
    (again,) = await hold(world, count=1)
    assert again.is_valid


async def test_a_grant_of_the_same_session_after_the_loss_counts(world: Changing) -> None:
    holding = await hold(world, SEMAPHORE, 4)
    session = world.gateway.sessions_by_slot[0]
    as_a_step(world, lambda core: core.keep_alive.lose_all(session, LOST_EXPIRED, abandon=True))
    assert not any(hold.is_valid for hold in holding)
    (other,) = await hold(world, count=1)
    assert other.is_valid
    assert session.held_of((LOCK, b"0")) == [other.seq]


async def test_permits_of_a_destroyed_semaphore_are_lost_in_parts_and_all_confirmed(world: Changing) -> None:
    holding = await hold(world, SEMAPHORE)
    (kept,) = await hold(world, count=1)
    counts = []
    destroying = asyncio.ensure_future(world.gateway.command(SEMAPHORE, b"s", [DESTROY], timeout_s=5.0))
    while not destroying.done() or told(holding) < HELD:
        world.clock.run_due()
        await world.settle()
        counts.append(told(holding))
    assert max(b - a for a, b in zip(counts, counts[1:], strict=False)) <= PART
    assert {hold.lost.result() for hold in holding} == {LOST_DESTROYED}
    await world.advance(1.0)
    assert kept.is_valid
    assert (SEMAPHORE, b"s") not in world.machine.entities
    assert not world.gateway.sessions_by_slot[0].abandoned


async def test_whoever_leaves_tells_all_owners_in_parts_and_whoever_is_cut_short_at_once(
    world: Changing,
) -> None:
    holding = await hold(world)
    closing = asyncio.ensure_future(world.gateway.close())
    counts = []
    for _ in range(5):
        await world.settle()
        counts.append(told(holding))
        assert not any(hold.is_valid for hold in holding)
        world.clock.run_due()
    assert counts == [3, 6, 9, 10, 10]
    await world.settle()
    assert closing.done()


async def test_an_abort_tells_everybody(world: Changing) -> None:
    holding = await hold(world)
    world.gateway.abort()
    assert told(holding) == HELD
    world.clock.run_due()
    assert not world.gateway.core.keep_alive._naming


async def test_frames_that_name_much_are_sent_in_parts(
    world: Changing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepalive, "FRAME_BYTES", 100)
    gateway = world.gateway
    gateway.core.keep_alive._frames._most = gateway.core.keep_alive._frames._left = 2
    holding = await hold(world)
    session = gateway.sessions_by_slot[0]
    since = len(world.sent())
    world.clock.skip_to(world.clock.now() + int(TTL_S / 3 * 1e9) + 1)
    counts = [0]
    while counts[-1] < HELD:
        world.clock.run_due()
        assert len(world.sent()[since:]) <= 2 * len(counts)
        counts.append(len(named(world, since, 1)))
        assert counts[-1] > counts[-2]
        await world.settle()
        if HELD - counts[-1] > 2:  # not before the last part: once that is sent, all of it would be due again
            ask_soon(world, session)
    for _ in range(HELD):
        world.clock.run_due()
    # What was asked for meanwhile came with the rows that were under way; nothing was named twice.
    assert named(world, since, 1) == [hold.seq for hold in holding]
    assert len(counts) > 3
    await world.settle()
    assert session.covered_until_ns > world.clock.now()
    assert all(hold.is_valid for hold in holding)


async def test_rows_of_a_session_that_ended_meanwhile_are_not_sent(
    world: Changing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepalive, "FRAME_BYTES", 100)
    gateway = world.gateway
    gateway.core.keep_alive._frames._most = gateway.core.keep_alive._frames._left = 2
    await hold(world)
    since = len(world.sent())
    world.clock.skip_to(world.clock.now() + int(TTL_S / 3 * 1e9) + 1)
    world.clock.run_due()
    before = len(named(world, since, 1))
    assert 0 < before < HELD
    as_a_step(world, lambda core: core.sessions.lose(gateway.sessions_by_slot[0], "gone"))
    for _ in range(6):
        world.clock.run_due()
    assert len(named(world, since, 1)) <= before + 3  # the row that was begun
    assert gateway.core.keep_alive.is_sent
    assert not gateway.core.keep_alive._naming
