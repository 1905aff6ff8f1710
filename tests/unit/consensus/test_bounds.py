"""A leader's log stays within its bounds whatever becomes of its followers, and snapshots go when nobody needs them."""

from __future__ import annotations

from typing import Any

import pytest

from casty.consensus import Core, Limits, NotLeading, Outbound, ProposalRefused, Role
from casty.consensus.messages import APPEND, SNAPSHOT
from tests.kit.network import Flight, at_once
from tests.kit.world import World
from tests.scripts.raft_snapshots import Snapshots
from tests.unit.consensus.test_core import make

LIMITS = Limits(
    retained_entries=4,
    compact_entries=16,
    retained_bytes=400,
    snapshot_window_chunks=1,
    throttled_lag_entries=4,
    catch_up_rounds=4,
)


Message = list[Any]


class Trio(World[Message]):
    """Voters a and b, and c with a, the leader; whoever is not `alive` hears nothing."""

    def __init__(self, limits: Limits = LIMITS, blank: str = "") -> None:
        super().__init__(0, carry=at_once)
        self.network.loses = self._is_lost
        self.network.holds = lambda flight: flight.to == "d" and flight.message[0] == SNAPSHOT
        self.cores: dict[str, Core] = {
            id: make(id, *(() if id == blank else ("a", "b", "c")), limits=limits) for id in "abc"
        }
        self.alive = dict.fromkeys("abc")
        self.drops_kinds: tuple[int, ...] = ()
        """What c does not receive."""
        self.snapshots = {id: Snapshots(2) for id in "abcd"}
        self.leader = self.cores["a"]
        self.leader.campaign(0)
        self.work()
        assert self.leader.role is Role.LEADER

    def work(self) -> None:
        is_busy = True
        while is_busy:
            is_busy = False
            for core in self.cores.values():
                if core.id in self.alive:
                    self.snapshots[core.id].work(core, self.clock.now())
                ready = core.ready() if core.id in self.alive else None
                if ready is not None:
                    is_busy = True
                    self._work(core, ready)
        for core in self.cores.values():
            self._check(core)

    def _work(self, core: Core, ready: Any) -> None:
        if ready.entries:
            core.stored(ready.first_index + len(ready.entries) - 1, ready.entries[-1].term)
        if ready.committed and core.is_log_full:
            core.compact(core.applied)
        if ready.needs_snapshot:
            self.snapshots[core.id].begin(core, self.clock.now(), core.applied, b"the state")
        for to, message in ready.messages:
            self.network.send(core.id, to, message)

    def receive(self, sender: str, to: str, message: Message) -> None:
        self.cores[to].step(self.clock.now(), sender, message)

    def _is_lost(self, flight: Flight[Message]) -> bool:
        is_dropped = flight.to == "c" and flight.message[0] in self.drops_kinds
        return flight.to not in self.alive or is_dropped

    def kinds_to_c(self) -> list[int]:
        return [flight.message[0] for flight in self.network.sent if flight.to == "c"]

    def _check(self, core: Core) -> None:
        assert core.applied - core.log.offset <= LIMITS.retained_entries + LIMITS.compact_entries
        kept = core.log.slice(core.first_index, core.applied) if core.applied > core.log.offset else []
        assert sum(len(entry.data) for entry in kept) == core.applied_bytes <= LIMITS.retained_bytes
        assert core.log.size_bytes == sum(len(entry.data) for entry in core.log.entries)

    @property
    def dumps(self) -> int:
        return self.snapshots["a"].begun

    def running(self) -> Outbound | None:
        return self.leader.outbound("c")

    def write(self, count: int, data: bytes = b"x") -> int:
        written = 0
        for _ in range(count):
            try:
                self.leader.propose(data)
            except (NotLeading, ProposalRefused):
                continue
            written += 1
            self.work()
        return written

    def wait(self, times: int = 1) -> None:
        for _ in range(times):
            self.clock.skip(0.25)
            if self.network.held:
                self.network.hand_over(self.network.held.pop(0))
            for peer in self.leader.peers:
                if peer in self.alive:
                    self.leader.rounds.answered[peer] = self.clock.now()
                    self.cores[peer].rounds.heard["a"] = self.clock.now()
            for id in self.alive:
                self.cores[id].tick(self.clock.now())
            self.work()


@pytest.mark.parametrize("data", [b"x", b"y" * 70])
def test_a_dead_voter_makes_no_log_longer(data: bytes) -> None:
    trio = Trio()
    del trio.alive["c"]
    for _ in range(40):
        trio.write(10, data)
        trio.wait()
    assert trio.dumps == 0 and SNAPSHOT not in trio.kinds_to_c()
    trio.alive["c"] = None
    trio.wait(8)
    assert trio.dumps == 1 and trio.cores["c"].applied == trio.leader.applied > 400
    assert trio.running() is None, "nobody is being sent it any more"


def test_a_voter_that_dies_during_its_snapshot_makes_no_log_longer() -> None:
    trio = Trio()
    del trio.alive["c"]
    trio.write(100)
    trio.alive["c"] = None
    trio.drops_kinds = (SNAPSHOT,)
    trio.wait(6)
    assert trio.running() is not None, "it is being sent"
    del trio.alive["c"]
    for _ in range(100):
        trio.write(10)
        trio.wait()
    assert trio.dumps == 1 and trio.running() is None
    trio.alive["c"] = None
    trio.drops_kinds = ()
    trio.wait(8)
    assert trio.cores["c"].applied == trio.leader.applied


def test_a_snapshot_that_the_log_leaves_behind_is_replaced_by_one_of_now() -> None:
    trio = Trio()
    del trio.alive["c"]
    trio.write(100)
    trio.alive["c"] = None
    trio.drops_kinds = (SNAPSHOT,)
    trio.wait(6)
    first = trio.running()
    assert first is not None
    trio.write(12)
    assert trio.running() is first and trio.leader.first_index <= first.index + 1, "kept for it"
    trio.write(30)
    assert trio.running() is not first
    trio.drops_kinds = ()
    trio.wait(8)
    assert trio.cores["c"].applied == trio.leader.applied


@pytest.mark.parametrize(("lag", "data"), [(4, b"x"), (256, b"x"), (256, b"y" * 60)])
def test_a_learner_whose_snapshots_are_overrun_slows_writers_down_while_it_lives(
    lag: int, data: bytes
) -> None:
    trio = Trio(LIMITS._replace(throttled_lag_entries=lag))
    trio.cores["d"] = make("d", limits=trio.leader.limits)
    trio.alive["d"] = None
    voters = ("a", "b", "c", "d")
    written = []
    for _ in range(400):
        if not trio.leader.change(trio.clock.now(), voters, ()):
            break
        written.append(trio.write(8, data))
        trio.wait()
    assert trio.leader.committed_membership == (voters, (), ())
    assert trio.dumps >= LIMITS.catch_up_rounds and min(written) == 0


def test_one_log_entry_above_all_bounds_is_kept_no_longer_than_it_is_needed() -> None:
    trio = Trio()
    trio.leader.propose(b"z" * 1000)
    trio.leader.ready()
    assert trio.leader.log.size_bytes == 1000 and trio.leader.applied_bytes == 0
    assert trio.kinds_to_c()[-1] == APPEND
