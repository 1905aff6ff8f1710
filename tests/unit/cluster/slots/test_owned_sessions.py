"""A session serves whoever opened it: everybody else hears what is said of a session that is none."""

from __future__ import annotations

from typing import Any, cast

import pytest

from casty.cluster.slots.schema import (
    ABANDON,
    CANCEL,
    CLOSE,
    COMMAND,
    OPEN,
)
from casty.consensus import Entry
from casty.distributed.machines.base import BUSY, COUNTER, EXPIRED, LOCK, OK, QUEUE
from casty.distributed.machines.counter import ADD
from casty.distributed.machines.lock import ACQUIRE, RELEASE
from casty.distributed.machines.queue import DEQUEUE, ENQUEUE
from casty.errors import RemoteProtocolError
from casty.wire.pack import pack
from tests.kit.gateways import Answers
from tests.unit.cluster.replica_world import ReplicaWorld

OURS, THEIRS = b"0123456789abcdef", b"fedcba9876543210"
PROOFS = [b"", b"\x00", OURS[:-1], OURS + b"0", THEIRS, b"1"]


class Slot:
    """A slot with two sessions that are written to directly, under any proof."""

    def __init__(self) -> None:
        self.world = ReplicaWorld()
        self.ours, self.theirs = (self.ask(b"", OPEN, proof, b"g")[1] for proof in (OURS, THEIRS))

    def ask(self, proof: bytes, *entry: object) -> list[Any]:
        answers = Answers()
        self.before = len(self.world.pending)
        node = cast(str, self.world.leader)
        group = cast(Any, self.world.groups[node])
        self.world.replicas[node].write(group, pack(list(entry)), proof, answers, 1)
        self.is_proposed = len(self.world.pending) > self.before
        self.world.commit()
        return answers.replies[-1]

    def keep_alive(self, session: int, proof: object, abandoned: list[Any]) -> list[Any]:
        node = cast(str, self.world.leader)
        group = cast(Any, self.world.groups[node])
        row = [0, 1, session, [], [], abandoned, 1, proof]
        return cast("list[Any]", self.world.replicas[node].keep_alive(group, row))


def entries(session: int, token: int) -> list[list[object]]:
    """Return what a client may write, of each kind."""
    return [
        [COMMAND, session, 9, 1, 1, COUNTER, b"c", [ADD, 1]],
        [COMMAND, session, 9, 1, 1, LOCK, b"l", [RELEASE, token]],
        [COMMAND, session, 2, 1, 1, COUNTER, b"c", [ADD, 1]],
        [COMMAND, session, 3, 2**40, 2**40, COUNTER, b"c", [ADD, 1]],
        [CANCEL, session, 1, LOCK, b"l"],
        [ABANDON, session, 1, [[1, LOCK, b"l"]]],
        [CLOSE, session],
    ]


@pytest.mark.parametrize("proof", PROOFS)
def test_nothing_is_proposed_for_a_stranger(proof: bytes) -> None:
    slot = Slot()
    token = slot.ask(OURS, COMMAND, slot.ours, 1, 1, 1, LOCK, b"l", [ACQUIRE])[1]
    assert slot.ask(OURS, COMMAND, slot.ours, 2, 1, 1, COUNTER, b"c", [ADD, 1]) == [OK, 1]
    before = slot.world.machine.dump()
    for entry in entries(slot.ours, token):
        assert slot.ask(proof, *entry) == [EXPIRED]
        assert not slot.is_proposed
    assert slot.keep_alive(slot.ours, proof, [[1, LOCK, b"l"]])[1] == EXPIRED
    assert slot.world.machine.dump() == before


def test_a_kept_reply_is_read_by_its_owner_only() -> None:
    slot = Slot()
    slot.ask(OURS, COMMAND, slot.ours, 1, 1, 1, QUEUE, b"q", [ENQUEUE, b"secret"])
    taken = [COMMAND, slot.ours, 2, 1, 1, QUEUE, b"q", [DEQUEUE]]
    assert slot.ask(OURS, *taken)[:2] == [OK, b"secret"]
    assert slot.ask(THEIRS, *taken) == [EXPIRED]
    assert slot.ask(OURS, *taken)[:2] == [OK, b"secret"]


def test_a_number_that_is_guessed_before_it_is_given_is_not_proposed() -> None:
    slot = Slot()
    for guess in range(slot.theirs + 1, slot.theirs + 10):
        assert slot.ask(THEIRS, COMMAND, guess, 1, 1, 1, COUNTER, b"c", [ADD, 1]) == [EXPIRED]
        assert not slot.is_proposed


def test_a_leader_that_may_be_behind_says_of_no_session_that_it_is_none() -> None:
    """Its opening may be in what the leader inherited; that it is refused forgets nothing."""
    slot = Slot()
    slot.world.pending.append(Entry(1, 0, pack([OPEN, b"later", b"g"])))
    slot.world.elect("b", survivors=1)
    entry = [COMMAND, slot.theirs + 1, 1, 1, 1, COUNTER, b"c", [ADD, 1]]
    group = cast(Any, slot.world.groups["b"])
    answers = Answers()
    slot.world.replicas["b"].write(group, pack(entry), b"later", answers, 1)
    assert answers.replies[-1][0] == BUSY
    slot.world.commit()
    session = max(slot.world.machine.sessions)
    assert slot.ask(b"later", COMMAND, session, 1, 1, 1, COUNTER, b"c", [ADD, 1]) == [OK, 1]


def test_without_a_lease_nobody_is_told_that_a_session_is_gone() -> None:
    """Another node may lead by now, and have opened it."""
    slot = Slot()
    group = cast(Any, slot.world.groups[cast(str, slot.world.leader)])
    group.core.has_lease = False
    assert slot.ask(THEIRS, CLOSE, slot.ours)[0] == BUSY
    assert slot.ask(THEIRS, CLOSE, 999)[0] == BUSY


def test_a_row_without_a_proof_keeps_nothing_alive() -> None:
    slot = Slot()
    group = cast(Any, slot.world.groups[cast(str, slot.world.leader)])
    row = [0, 1, slot.ours, [], [], [], 1]
    assert cast(Any, slot.world.replicas["a"]).keep_alive(group, row)[1] == EXPIRED


@pytest.mark.parametrize("proof", [None, "text", 7, [b"x"]])
def test_a_proof_is_bytes(proof: object) -> None:
    slot = Slot()
    with pytest.raises(RemoteProtocolError, match="keep-alive, field 7: expected bytes"):
        slot.keep_alive(slot.ours, proof, [])


def test_an_entry_has_one_encoding() -> None:
    """Replicas tell by its second byte whether an entry is a command, also one that waits."""
    slot = Slot()
    waiting = [COMMAND, slot.ours, 1, 1, 1, LOCK, b"l", [ACQUIRE]]
    group = cast(Any, slot.world.groups[cast(str, slot.world.leader)])
    for data in (b"\xdc\x00\x08" + pack(waiting)[1:], pack(waiting)[:1] + b"\xcc\x02" + pack(waiting)[2:]):
        with pytest.raises(RemoteProtocolError, match="slot entry: expected the head"):
            slot.world.replicas["a"].write(group, data, OURS, cast(Any, None), 1)
