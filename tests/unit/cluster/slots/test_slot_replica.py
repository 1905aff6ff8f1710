"""What a slot's leader refuses before it proposes: full windows, made-up withdrawals, expiries that it inherits."""

from __future__ import annotations

from typing import Any, cast

import pytest

from casty.cluster.multiraft.proposals import BUSY, EXPIRED, UNKNOWN
from casty.cluster.recovery.renewal import renew
from casty.cluster.slots.applied import TOKEN_BITS
from casty.cluster.slots.schema import (
    ABANDON,
    CANCEL,
    CLOSE,
    COMMAND,
    EXPIRE,
    OPEN,
)
from casty.config import Settings
from casty.consensus import Entry
from casty.distributed.machines.base import BAD, COUNTER, DESTROY, LOCK, OK, RELEASE
from casty.distributed.machines.counter import ADD
from casty.distributed.machines.lock import ACQUIRE
from casty.distributed.machines.record import RECORDED
from casty.errors import RemoteProtocolError
from casty.limits import MAX_GENERATION
from casty.wire.pack import pack
from tests.kit.gateways import Answers
from tests.unit.cluster.replica_world import TTL_S, ReplicaWorld

WINDOW = Settings(slots=1).max_window_replies
PROOF = b"sixteen bytes it"


class Leader:
    """One session, written to directly: no gateway keeps it honest."""

    def __init__(self) -> None:
        self.world = ReplicaWorld()
        self.replica = self.world.replicas["a"]
        self.group = cast(Any, self.world.groups["a"])
        self.number = self.write(OPEN, PROOF, b"gateway")[1]

    def write(self, *entry: object) -> list[Any]:
        answers = Answers()
        self.replica.write(self.group, pack(list(entry)), PROOF, answers, 1)
        self.world.commit()
        return answers.replies[-1]

    def command(self, seq: int, kind: int, name: bytes, *command: object, low: int = 1) -> list[Any]:
        return self.write(COMMAND, self.number, seq, low, 1, kind, name, list(command))

    def fill(self, first: int = 1) -> None:
        for seq in range(first, WINDOW + 1):
            assert self.command(seq, COUNTER, b"c", ADD, 1)[0] == OK

    @property
    def session(self) -> Any:
        return self.replica.machine.sessions[self.number]


@pytest.fixture
def leader() -> Leader:
    return Leader()


def test_a_full_window_takes_no_more_until_something_is_confirmed(leader: Leader) -> None:
    leader.fill()
    assert leader.command(WINDOW + 1, COUNTER, b"c", ADD, 1)[0] == BUSY
    assert leader.command(WINDOW + 1, COUNTER, b"c", ADD, 1, low=WINDOW) == [OK, WINDOW + 1]
    assert len(leader.session.replies) == 2


def test_a_full_window_still_answers_repetitions(leader: Leader) -> None:
    leader.fill()
    assert leader.command(7, COUNTER, b"c", ADD, 1) == [OK, 7]


def test_a_full_window_lets_a_release_and_a_destroy_through(leader: Leader) -> None:
    _, token = leader.command(1, LOCK, b"l", ACQUIRE)
    leader.fill(2)
    assert leader.command(WINDOW + 2, LOCK, b"l", RELEASE, token) == [OK, True]
    assert leader.command(WINDOW + 3, COUNTER, b"c", DESTROY) == [OK, True]


def test_not_even_destroys_fill_a_slot_without_end(leader: Leader) -> None:
    replies = [leader.command(seq, COUNTER, b"c", DESTROY)[0] for seq in range(1, 5 * WINDOW)]
    assert BUSY in replies
    assert len(leader.session.replies) == replies.index(BUSY) == 4 * WINDOW


def test_made_up_withdrawals_are_bounded(leader: Leader) -> None:
    replies = [leader.write(CANCEL, leader.number, seq, LOCK, b"l")[0] for seq in range(1, 5 * WINDOW)]
    assert replies[-1] == BUSY
    rows = [[seq, LOCK, b"l"] for seq in range(10 * WINDOW, 20 * WINDOW)]
    assert leader.write(ABANDON, leader.number, 1, rows)[0] == BUSY
    leader.replica.keep_alive(leader.group, [0, 1, leader.number, [], [], rows, 1, PROOF])
    leader.world.commit()
    assert len(leader.session.withdrawn) == 4 * WINDOW
    assert leader.write(CLOSE, leader.number) == [OK]


def test_an_inherited_expiry_ends_a_session_that_is_heard_of_again(leader: Leader) -> None:
    """The former leader's entry may be committed at any time: the new one must not promise anything."""
    leader.world.pending.append(Entry(1, 0, pack([EXPIRE, leader.number])))
    leader.world.elect("b", survivors=1)
    group = cast(Any, leader.world.groups["b"])
    row = [0, 1, leader.number, [], [], [], 1, PROOF]
    assert leader.world.replicas["b"].keep_alive(group, row)[1] == BUSY
    leader.world.commit()
    assert leader.world.replicas["b"].keep_alive(group, row)[1] == EXPIRED
    assert leader.number not in leader.world.replicas["b"].machine.sessions


def test_a_new_leader_calls_nothing_lost_before_it_has_applied_what_it_inherited(leader: Leader) -> None:
    command = [COMMAND, leader.number, 1, 1, 1, LOCK, b"l", [ACQUIRE]]
    leader.world.pending.append(Entry(1, 0, pack(command)))
    leader.world.elect("b", survivors=1)
    group = cast(Any, leader.world.groups["b"])
    row = [0, 1, leader.number, [], [[1, LOCK, b"l"]], [], 1, PROOF]
    assert leader.world.replicas["b"].keep_alive(group, row)[1] == BUSY
    leader.world.commit()
    assert leader.world.replicas["b"].keep_alive(group, row)[1:5] == [OK, [], [], []]


def test_a_new_leader_gives_a_fresh_time_to_live(leader: Leader) -> None:
    ttl_ns = int(TTL_S * 1_000_000_000)
    leader.world.clock.skip_to(leader.world.clock.now() + ttl_ns - 1)
    leader.world.elect("b")
    leader.world.clock.skip_to(leader.world.clock.now() + ttl_ns)
    leader.world.tick()
    assert leader.world.pending == []
    leader.world.clock.skip_to(leader.world.clock.now() + 1)
    leader.world.tick()
    assert [entry.data for entry in leader.world.pending] == [pack([EXPIRE, leader.number])]


def test_without_a_lease_nobody_is_kept_alive_and_nobody_expires(leader: Leader) -> None:
    leader.group.core.has_lease = False
    assert leader.replica.keep_alive(leader.group, [0, 1, leader.number, [], [], [], 1, PROOF])[1] == BUSY
    leader.world.clock.skip(10 * TTL_S)
    leader.world.tick()
    assert leader.world.pending == []


@pytest.mark.parametrize(
    "row",
    [
        None,
        [],
        [0, 1, "2", [], [], [], 1, PROOF],
        [0, 1, 1, [], [], [[1, 2, 3]], 1, PROOF],
        [0] * 8,
        [0, 1, True, [], [], [], 1, PROOF],
    ],
)
def test_a_malformed_keep_alive_is_refused(leader: Leader, row: object) -> None:
    with pytest.raises(RemoteProtocolError, match=r"keep-alive.*: expected"):
        leader.replica.keep_alive(leader.group, row)


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", pack(7), pack([COMMAND]), pack([ABANDON, 1, 1, [[1, "two", b""]]])]
)
def test_an_entry_that_fits_no_schema_is_an_outcome(leader: Leader, data: bytes) -> None:
    """No leader of this version proposes one; whoever waits for it hears, and nothing else happens."""
    answers = Answers()
    before = leader.replica.machine.dump()
    leader.replica.proposals.propose(leader.group.core, data, answers, 1)
    leader.world.commit()
    assert answers.replies[0][0] == BAD
    assert leader.replica.machine.dump() == before
    assert leader.command(1, COUNTER, b"c", ADD, 1) == [OK, 1]


def test_a_leadership_that_ended_and_came_back_between_two_looks_begins_anew(leader: Leader) -> None:
    """What the former one heard, gave up and proposed is not the new one's."""
    answers = Answers()
    leader.replica.write(
        leader.group, pack([COMMAND, leader.number, 1, 1, 1, COUNTER, b"c", [ADD, 1]]), PROOF, answers, 1
    )
    before = leader.replica.leader
    leader.replica.role_changed(leader.group)
    assert leader.replica.leader is before and not answers.replies
    leader.world.term += 1
    leader.replica.write(
        leader.group, pack([COMMAND, leader.number, 2, 1, 1, COUNTER, b"c", [ADD, 1]]), PROOF, answers, 2
    )
    leader.replica.role_changed(leader.group)
    assert leader.replica.leader is not None and leader.replica.leader is not before
    assert answers.replies == [[UNKNOWN]], "the first call's only: the second was proposed in this term"


def test_nobody_moves_the_tokens_of_a_slot_to_the_end_of_generations(leader: Leader) -> None:
    believed = MAX_GENERATION // 2 + leader.world.clock.wall_s() - 1
    asked = leader.command(1, LOCK, b"l", RECORDED, b"journal", believed, [ACQUIRE])
    assert asked[0] == OK and asked[1] >> TOKEN_BITS == believed
    for seq, generation in enumerate((believed + 1, MAX_GENERATION), 2):
        refused = leader.command(seq, LOCK, b"m", RECORDED, b"journal", generation, [ACQUIRE])
        assert refused[0] == BAD and str(believed + 1) in refused[1]
    usual_ms = round(1000 * TTL_S)
    renew(leader.replica.machine, 2, b"mark", is_whole=True, usual_ms=usual_ms, longest_ms=usual_ms)
    assert leader.replica.machine.numbers[0] == believed + 1, "a cluster can be made anew of it"
