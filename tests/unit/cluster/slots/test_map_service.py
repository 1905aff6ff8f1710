"""What a slot's leader does for maps: it answers no read by its own clock, and tells who watches."""

from __future__ import annotations

from typing import Any, cast

import pytest

from casty.cluster.slots.schema import COMMAND, LAPSE, OPEN
from casty.distributed.machines.base import MAP, NOT_LEADER, OK
from casty.distributed.machines.map import CONTAINS, FOR_EVER, GET, PUT, PUT_FOR, TOUCH, TTL
from casty.distributed.machines.watching import ALL, ENTRIES, NOTHING, WATCH
from casty.wire.pack import pack, unpack
from tests.kit.gateways import Answers
from tests.unit.cluster.replica_world import ReplicaWorld

TICK_NS = 10_000_000
PROOF = b"sixteen bytes it"
BEGIN = [b"", 0, NOTHING, b""]
K = pack(["k", b""])[: -len(pack(b""))]
"""What all keys of the map begin with."""


class Leader:
    """One session, and reads, without a gateway."""

    def __init__(self) -> None:
        self.world = ReplicaWorld()
        self.replica = self.world.replicas["a"]
        self.group = cast(Any, self.world.groups["a"])
        self.answers = Answers()
        self.calls = 0
        self.seq = 0
        self.number = self.write(OPEN, PROOF, b"gateway")[1]

    def write(self, *entry: object) -> Any:
        self.calls += 1
        self.replica.write(self.group, pack(list(entry)), PROOF, self.answers, self.calls)
        self.world.commit()
        return self.answers.latest[self.calls]

    def do(self, name: bytes, *command: object, ticks: int = 0) -> Any:
        """Change a key; return the answer. Its entries are committed so many ticks later."""
        self.seq += 1
        self.calls += 1
        entry = [COMMAND, self.number, self.seq, self.seq, 1, MAP, name, list(command)]
        self.replica.write(self.group, pack(entry), PROOF, self.answers, self.calls)
        self.skip_ticks(ticks)
        self.world.commit()
        return self.answers.latest[self.calls]

    def read(self, name: bytes, *query: object) -> Any:
        """Ask; return the answer, None where there is none yet."""
        self.calls += 1
        self.replica.read(self.group, pack([MAP, name, list(query)]), self.answers, self.calls)
        while self.group.core.reads:
            self.replica.serve_read(self.group.core.reads.pop(0))
        return self.answers.latest.get(self.calls)

    def skip_ticks(self, count: int) -> None:
        self.world.clock.skip_to(self.world.clock.now() + count * TICK_NS)

    def proposed(self) -> list[Any]:
        return [unpack(entry.data) for entry in self.world.pending]


@pytest.fixture
def leader() -> Leader:
    return Leader()


def test_a_read_of_a_key_that_is_over_waits_for_the_log_to_say_so(leader: Leader) -> None:
    leader.do(b"k", PUT_FOR, b"v", 5)
    leader.skip_ticks(5)
    assert leader.read(b"k", GET) == [OK, b"v"], "up to a tick late"
    leader.skip_ticks(1)
    for query, absence in ((GET, None), (CONTAINS, False), (TTL, None)):
        assert leader.read(b"k", query) is None, "the next leader may not think so yet"
        assert leader.proposed()[-1][::2] == [LAPSE, [b"k"]]
        leader.world.commit()
        assert leader.answers.latest[leader.calls] == [OK, absence]
        leader.do(b"k", PUT_FOR, b"v", 5)
        leader.skip_ticks(6)


def test_a_read_that_waits_for_the_log_hears_that_the_leadership_ended(leader: Leader) -> None:
    leader.do(b"k", PUT_FOR, b"v", 5)
    leader.skip_ticks(6)
    assert leader.read(b"k", GET) is None
    leader.world.elect("b")
    assert leader.answers.latest[leader.calls] != [OK, None]
    assert leader.world.replicas["b"].machine.entities, "nobody said that it ended"


def test_time_goes_on_however_late_the_leader_s_own_entries_are_committed(leader: Leader) -> None:
    leader.do(b"first", PUT_FOR, b"v", 1_000)
    began = leader.replica.machine.time
    for number in range(5):
        leader.do(b"k%d" % number, PUT_FOR, b"v", 1_000, ticks=50)
    leader.do(b"last", PUT_FOR, b"v", 1_000)
    assert leader.replica.machine.time == began + 250


def test_time_is_told_before_a_time_to_live_counts_from_it(leader: Leader) -> None:
    leader.do(b"old", PUT_FOR, b"v", 100)
    first = leader.replica.machine.time
    leader.skip_ticks(60)
    leader.do(b"k", PUT_FOR, b"v", 100)
    assert leader.replica.machine.time == first + 60
    leader.do(b"k2", PUT_FOR, b"v", 100)
    leader.skip_ticks(30)
    assert leader.read(b"k", TTL) == [OK, 71] and leader.read(b"old", TTL) == [OK, 11]
    leader.do(b"old", TOUCH, 10)
    assert leader.read(b"old", TTL) == [OK, 11]
    leader.do(b"plain", PUT, b"v")
    assert leader.read(b"plain", TTL) == [OK, FOR_EVER]
    told = [entry for entry in leader.world.log if entry.data[1] == LAPSE]
    assert len(told) <= 3, "once for all that is stored within a tick"


def test_a_heartbeat_lets_go_of_what_nobody_asks_for(leader: Leader) -> None:
    leader.do(b"k", PUT_FOR, b"v", 5)
    leader.skip_ticks(6)
    leader.replica.tick(leader.group, leader.world.clock.now())
    assert leader.proposed()[-1][::2] == [LAPSE, [b"k"]]
    leader.world.commit()
    assert not leader.replica.machine.entities


def test_a_watcher_is_answered_by_the_change_and_other_reads_as_ever(leader: Leader) -> None:
    begun = leader.read(K, WATCH, *BEGIN, 1000)
    assert begun[1][1:] == [True, [], [b"", None, []]]
    assert leader.read(K, WATCH, *begun[1][0], 1000) is None
    call = leader.calls
    leader.do(b"other", PUT, b"v")
    assert call not in leader.answers.latest
    leader.do(K + b"1", PUT, b"v")
    assert leader.answers.latest[call][1][2] == [[K + b"1", b"v", 0]]
    assert leader.read(K, ENTRIES, b"") == [OK, [[[K + b"1", b"v"]], False]]
    assert leader.replica.feed_bytes() > 0


def test_who_watches_hears_that_the_leadership_ended(leader: Leader) -> None:
    begun = leader.read(K, WATCH, *BEGIN, 1000)
    assert leader.read(K, WATCH, *begun[1][0], 1000) is None
    leader.world.elect("b")
    assert leader.answers.latest[leader.calls][0] == NOT_LEADER
    assert begun[1][0][2] == ALL and leader.replica.feed_bytes() == 0
