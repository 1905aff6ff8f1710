"""Two clients, one slot, everything that can go wrong in any order: invariants 2, 8, 18 to 20, 23, 24, 26 to 29, 40.

Hypothesis draws the steps; what they do is repeatable, so a failing example is the whole story.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from casty.distributed.machines.base import BARRIER, COUNTER, LOCK, SEMAPHORE
from casty.errors import CastyError
from tests.kit.clock import settle
from tests.unit.cluster.replica_world import NODES, TTL_S, ReplicaWorld

PERMITS = 2
CALLS = ("add", "lock", "permit", "barrier", "read")
FAULTS = ("repeat", "late", "late", "elect", "orphan", "cut", "time", "time", "long", "cancel")
PROGRESS = ("deliver", "deliver", "commit", "link", "hear", "run", "run", "release", "release")
KINDS = CALLS * 2 + FAULTS + PROGRESS * 2
"""What may happen, as often as it is named here."""

steps = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 1), st.integers(0, 7)), min_size=1, max_size=120
)


class Timeline:
    """The calls of one run and what became of them."""

    def __init__(self) -> None:
        self.world = ReplicaWorld()
        self.clients = [self.world.client(name) for name in ("one", "two")]
        self.calls: list[tuple[str, int, asyncio.Task[Any]]] = []
        self.held: list[tuple[int, int, bytes, Any]] = []
        self.adds: list[tuple[int, asyncio.Task[Any]]] = []
        self.tokens: list[int] = []

    # -- calls

    def call(self, kind: str, who: int, number: int) -> None:
        gateway = self.clients[who].gateway
        timeout_s = (None, 0.3, 1.0, 3.0)[number % 4]
        if kind == "add":
            amount = 4 ** len(self.adds)
            self.adds.append(
                (amount, self._start(kind, who, gateway.command(COUNTER, b"n", [1, amount], timeout_s=3.0)))
            )
        elif kind == "read":
            self._start(kind, who, gateway.read(COUNTER, b"n", [1], timeout_s=1.0))
        elif kind == "lock":
            operation = 2 if number == 7 else 1
            self._start(kind, who, self._hold(who, LOCK, [operation], timeout_s))
        elif kind == "permit":
            self._start(kind, who, self._hold(who, SEMAPHORE, [1, PERMITS, 1 + number % PERMITS], timeout_s))
        else:
            self._start(kind, who, gateway.wait(BARRIER, b"b", [1, str(who), 2], timeout_s=timeout_s or 2.0))

    def _start(self, kind: str, who: int, coro: Any) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(coro)
        self.calls.append((kind, who, task))
        return task

    async def _hold(self, who: int, kind: int, command: list[int], timeout_s: float | None) -> None:
        reply, grant = await self.clients[who].gateway.wait(kind, b"h", command, timeout_s=timeout_s)
        if grant is not None:
            self.held.append((who, kind, b"h", grant))
            assert reply == [0, grant.token]
            if kind == LOCK:
                assert not self.tokens or grant.token > self.tokens[-1], (
                    "tokens grow in the order of grants (21)"
                )
                self.tokens.append(grant.token)

    def release(self, who: int, number: int) -> None:
        mine = [hold for hold in self.held if hold[0] == who]
        if mine:
            hold = mine[number % len(mine)]
            self.held.remove(hold)
            _, kind, entity, grant = hold
            what = grant.token if kind == LOCK else grant.seq
            gateway = self.clients[who].gateway
            self._start("release", who, gateway.release(kind, entity, grant, [3, what], timeout_s=1.0))

    # -- what goes wrong

    async def fault(self, kind: str, who: int, number: int) -> None:
        world, client = self.world, self.clients[who]
        flights = world.network.flights
        if kind in ("deliver", "repeat", "late") and flights:
            which = number % len(flights) if kind != "late" else -1
            world.arrive(flights[which], again=kind == "repeat")
        elif kind == "run":
            await world.run()
        elif kind == "commit" and world.leader is not None:
            world.commit(number + 1)
            world.serve_reads()
        elif kind == "elect":
            world.elect(NODES[number % 3], survivors=number % 4)
            if number > 3:
                for one in self.clients:
                    one.hear()
        elif kind == "orphan":
            world.elect(None, survivors=number % 4)
        elif kind == "cut":
            client.link_down(NODES[number % 3])
        elif kind == "link":
            client.link_up(NODES[number % 3])
        elif kind == "hear":
            client.hear()
        elif kind == "time":
            await world.advance(0.05 * (number + 1), quiet=True)
        elif kind == "long":
            await world.advance(2.0 * (number + 1), quiet=number < 4)
        elif kind == "cancel":
            running = [task for _, owner, task in self.calls if owner == who and not task.done()]
            if running:
                running[number % len(running)].cancel()

    # -- what must hold

    def check(self) -> None:
        """After every step."""
        machine = self.world.machine
        for replica in self.world.replicas.values():
            assert replica.machine.dump() == machine.dump()
        valid = [hold for hold in self.held if hold[3].is_valid]
        assert sum(kind == LOCK for _, kind, _, _ in valid) <= 1, "two valid holds of one lock (23)"
        line = machine.entities.get((LOCK, b"h"))
        assert line is None or len(line.grants) <= 1
        line = machine.entities.get((SEMAPHORE, b"h"))
        if line is not None:
            assert sum(share.amount for share in line.grants.values()) <= PERMITS
        for (kind, _), state in machine.entities.items():
            if kind in (LOCK, SEMAPHORE):
                for table in (state.waiters, state.grants, state.revoked):
                    assert all(session in machine.sessions for session, _ in table)
        waiting = sum(
            len(state.waiters) for (kind, _), state in machine.entities.items() if kind in (LOCK, SEMAPHORE)
        )
        waiting += sum(
            len(state.arrivals) for (kind, _), state in machine.entities.items() if kind == BARRIER
        )
        assert machine._waiting == waiting

    def check_counter(self) -> None:
        value = self.world.machine.entities.get((COUNTER, b"n"), 0)
        for amount, task in self.adds:
            digit = value // amount % 4
            assert digit <= 1, f"{amount} was added {digit} times"
            if task.done() and not task.cancelled() and task.exception() is None:
                assert digit == 1, f"{amount} was acknowledged and is lost"

    async def heal(self) -> None:
        """The faults end; every call ends, and what nobody has is free again."""
        world = self.world
        if world.leader is None:
            world.elect("b")
        for client in self.clients:
            for node_id in NODES:
                client.link_up(node_id)
            client.hear()
        await world.advance(5.0)
        self.check()
        for kind, _, task in self.calls:
            if not task.done():
                # Only what waits for ever still waits, for somebody who has it.
                assert kind in ("lock", "permit"), f"{kind} never ended"
                task.cancel()
        await world.advance(2 * TTL_S + 2)
        held = [hold for hold in self.held if hold[3].is_valid]
        for who in (0, 1):
            for _ in range(len(self.held)):
                self.release(who, 0)
        await world.advance(1.0)
        self._check_free(held)

    def _check_free(self, held: list[Any]) -> None:
        machine = self.world.machine
        for kind in (LOCK, SEMAPHORE):
            line = machine.entities.get((kind, b"h"))
            assert line is None or not (line.waiters or line.grants or line.revoked), (
                kind,
                line.grants,
                held,
            )
        barrier = machine.entities.get((BARRIER, b"b"))
        assert barrier is None or not barrier.arrivals
        self.check()
        self.check_counter()
        for client in self.clients:
            assert not client.gateway.core.table.calls
            for session in client.gateway.sessions_by_slot.values():
                assert session.is_idle(), (
                    session.waiting,
                    session.held,
                    session.abandoned,
                    session.ack_watermark,
                    session.next_seq,
                )
        for session in machine.sessions.values():
            assert not session.waits and not session.entities
            assert len(session.outcomes) + len(session.withdrawn) + len(session.replies) <= 80
        for _, _, task in self.calls:
            if task.done() and not task.cancelled() and task.exception() is not None:
                assert isinstance(task.exception(), (CastyError, TimeoutError)), task.exception()


async def play(drawn: list[tuple[str, int, int]]) -> None:
    timeline = Timeline()
    for kind, who, number in drawn:
        if kind in CALLS:
            timeline.call(kind, who, number)
        elif kind == "release":
            timeline.release(who, number)
        else:
            await timeline.fault(kind, who, number)
        await settle(3)
        timeline.check()
    await timeline.heal()
    for client in timeline.clients:
        closing = asyncio.ensure_future(client.gateway.close())
        await timeline.world.advance(1.5)
        assert closing.done()
    assert not timeline.world.machine.sessions
    assert timeline.world.clock.live() == 0


def silence(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Outcomes that a step never looked at are no errors."""
    assert "never retrieved" in str(context.get("message")), context


def run_timeline(drawn: list[tuple[str, int, int]]) -> None:
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(silence)
    try:
        loop.run_until_complete(play(drawn))
    finally:
        loop.close()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(steps)
def test_whatever_happens_to_frames_and_leaders(drawn: list[tuple[str, int, int]]) -> None:
    run_timeline(drawn)
