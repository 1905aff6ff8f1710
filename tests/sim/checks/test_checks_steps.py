"""Step checks: right sequences of writes and entries, and each one broken in one place."""

from __future__ import annotations

from typing import Any

import pytest

from casty.cluster.multiraft.host import Write
from casty.cluster.slots.machine import SlotMachine
from casty.cluster.slots.schema import (
    ABANDON,
    CANCEL,
    CLOSE,
    COMMAND,
    EXPIRE,
    OPEN,
)
from casty.cluster.slots.session_record import SlotSession
from casty.consensus import Entry, Membership, Role, Snapshot
from casty.consensus.membership import encode
from casty.distributed.machines.barrier import ARRIVE, BarrierStructure
from casty.distributed.machines.base import BARRIER, COUNTER, DESTROY, LOCK, OK, SEMAPHORE, Decision
from casty.distributed.machines.lock import ACQUIRE, RELEASE
from casty.distributed.machines.wait_queue import LineStructure, WaitQueue
from casty.wire.pack import pack
from sim.checks.step.raft_logs import GroupKey, Logs
from sim.checks.step.slots import Slots
from sim.checks.violation import ViolationError

THREE = Membership(("a", "b", "c"))


class Replica:
    """What the checks read of a core, and the writes of its host."""

    def __init__(self, logs: Logs, id: str, membership: Membership = THREE) -> None:
        self._logs = logs
        self.id = id
        self.term = 0
        self.commit = 0
        self.first_index = 1
        self.role = Role.FOLLOWER
        self.membership = membership
        self.committed_membership = membership
        self.last_index = 0

    def write(
        self,
        *entries: Entry,
        first: int | None = None,
        vote: str | None = None,
        snapshot: Snapshot | None = None,
    ) -> None:
        hard_state = (self.term, vote) if vote is not None else None
        first = self.last_index + 1 if first is None else first
        self.last_index = first + len(entries) - 1
        core: Any = self
        self._logs.written(Write(1, 1, hard_state, first, list(entries), snapshot), core)


@pytest.fixture
def committed() -> list[tuple[GroupKey, int, bytes]]:
    return []


@pytest.fixture
def logs(committed: list[tuple[GroupKey, int, bytes]]) -> Logs:
    return Logs(lambda key, index, entry: committed.append((key, index, entry.data)), lambda: None)


def entry(term: int, data: bytes = b"x") -> Entry:
    return Entry(term, 0, data)


def broken(number: int) -> Any:
    return pytest.raises(ViolationError, match=rf"\[{number}\]")


# -- logs


def elect(logs: Logs, id: str, term: int, *voters: str) -> None:
    for voter in voters:
        replica = Replica(logs, voter)
        replica.term = term
        replica.write(vote=id)


def test_a_proper_group(logs: Logs, committed: list[tuple[GroupKey, int, bytes]]) -> None:
    a, b = Replica(logs, "a"), Replica(logs, "b")
    for replica in (a, b):
        replica.term = 1
        replica.write(vote="a")
        replica.write(entry(1, b"1"), entry(1, b"2"))
    a.role = Role.LEADER
    a.commit = 2
    a.write()
    b.commit = 1
    b.write()
    b.commit = 2
    b.write()
    assert [data for _, _, data in committed] == [b"1", b"2"]
    assert logs.committed((1, 1)) == 2
    assert logs.counts["leaders"] == 1


def test_a_compaction_is_counted_once() -> None:
    logs = Logs(lambda key, index, entry: None, lambda: None)
    replica = Replica(logs, "a")
    replica.write(entry(1), entry(1))
    replica.first_index = 3
    replica.write(entry(1))
    replica.write(entry(1))
    assert logs.counts["compactions"] == 1


def test_a_leader_without_the_votes_of_both_configurations(logs: Logs) -> None:
    joint = Membership(("a", "b", "d"), ("a", "b", "c"))
    elect(logs, "a", 1, "a", "c")
    elect(logs, "a", 2, "a", "d")
    elect(logs, "a", 3, "a", "b")
    for term in (1, 2):
        with broken(10):
            lead(logs, "a", term, joint)
    lead(logs, "a", 3, joint)


def lead(logs: Logs, id: str, term: int, membership: Membership) -> None:
    replica = Replica(logs, id, membership)
    replica.term, replica.role = term, Role.LEADER
    replica.write(entry(term))


def test_a_leader_that_counts_for_entries_of_earlier_terms(logs: Logs) -> None:
    replica = Replica(logs, "a")
    replica.term = 1
    replica.write(entry(1), entry(1))
    elect(logs, "a", 2, "a", "b")
    replica.term, replica.role = 2, Role.LEADER
    replica.commit = 1
    replica.write(entry(2))
    replica.commit = 2
    with broken(11):
        replica.write()
    replica.commit = 3
    replica.write()


def test_a_leader_that_inherits_and_one_that_changes_are_told_of() -> None:
    heirs: list[GroupKey] = []
    changes: list[GroupKey] = []
    logs = Logs(
        lambda key, index, entry: None,
        lambda: None,
        lambda key, core: heirs.append(key),
        lambda key, core: changes.append(key),
    )
    replica = Replica(logs, "a")
    elect(logs, "a", 2, "a", "b")
    replica.term, replica.role = 2, Role.LEADER
    replica.write(entry(1), entry(2))
    assert (heirs, changes) == ([(1, 1)], [])
    replica.write(Entry(2, 2, encode(THREE)))
    replica.write(Entry(2, 2, encode(Membership(("a", "b", "d"), ("a", "b", "c")))))
    assert (heirs, changes) == ([(1, 1)], [(1, 1)])


def test_two_leaders_of_a_term(logs: Logs) -> None:
    elect(logs, "a", 3, "a", "c")
    for name in ("a", "b"):
        replica = Replica(logs, name)
        replica.term, replica.role = 3, Role.LEADER
        if name == "b":
            with broken(10):
                replica.write()
        else:
            replica.write()


def test_a_leader_without_a_vote(logs: Logs) -> None:
    replica = Replica(logs, "d")
    replica.role = Role.LEADER
    with broken(17):
        replica.write()


def test_a_leader_whose_newest_configuration_is_without_it_had_a_vote_before(logs: Logs) -> None:
    replica = Replica(logs, "d", Membership(("a", "b", "c"), (), ("d",)))
    replica.committed_membership = Membership(("a", "b", "c", "d"))
    replica.term = 1
    for id in "abc":
        voter = Replica(logs, id)
        voter.term = 1
        voter.write(vote="d")
    replica.role = Role.LEADER
    replica.write()


def test_a_term_or_a_vote_that_goes_back(logs: Logs) -> None:
    replica = Replica(logs, "a")
    replica.term = 2
    replica.write(vote="b")
    with broken(12):
        replica.write(vote="c")
    replica.term = 1
    with broken(12):
        replica.write(vote="b")


def test_entries_of_one_index_and_term_that_differ(logs: Logs) -> None:
    Replica(logs, "a").write(entry(1, b"1"))
    with broken(11):
        Replica(logs, "b").write(entry(1, b"2"))


def test_committed_entries_that_differ(logs: Logs) -> None:
    a, b = Replica(logs, "a"), Replica(logs, "b")
    a.write(entry(1, b"1"))
    b.write(entry(2, b"2"))
    a.commit = b.commit = 1
    a.write()
    with broken(11):
        b.write()


def test_a_committed_entry_that_is_written_over(logs: Logs) -> None:
    replica = Replica(logs, "a")
    replica.write(entry(1))
    replica.commit = 1
    replica.write()
    with broken(11):
        replica.write(entry(2), first=1)


def test_a_commit_beyond_the_log(logs: Logs) -> None:
    replica = Replica(logs, "a")
    replica.write(entry(1))
    replica.commit = 2
    with broken(11):
        replica.write()


def test_a_snapshot_takes_the_place_of_a_log(
    logs: Logs, committed: list[tuple[GroupKey, int, bytes]]
) -> None:
    a, b = Replica(logs, "a"), Replica(logs, "b")
    a.write(entry(1, b"1"), entry(1, b"2"))
    a.commit = 2
    a.write()
    b.commit = 1
    b.write(snapshot=Snapshot(1, 1, THREE))
    b.commit = 2
    b.write(entry(1, b"2"), first=2)
    assert len(committed) == 2
    assert logs.counts["snapshots installed"] == 1


@pytest.mark.parametrize(
    ("changes", "is_fine"),
    [
        ([THREE, Membership(("b", "c", "d"), ("a", "b", "c")), Membership(("b", "c", "d"))], True),
        ([THREE, Membership(("a", "b", "c"), (), ("d",))], True),
        ([THREE, Membership(("a", "b"))], True),
        ([THREE, Membership(("c", "d", "e"))], False),
        ([THREE, Membership(("c", "d", "e"), ("a", "b"))], False),
        ([THREE, Membership(("b", "c", "d"), ("a", "b", "c")), Membership(("d", "e", "f"))], False),
    ],
)
def test_configurations_overlap(logs: Logs, changes: list[Membership], is_fine: bool) -> None:
    replica = Replica(logs, "a")
    replica.write(*[Entry(1, 2, encode(membership)) for membership in changes])
    replica.commit = len(changes)
    if is_fine:
        replica.write()
    else:
        with broken(13):
            replica.write()


# -- slots


class Slot:
    """Entries of one slot, made by two sessions."""

    def __init__(self) -> None:
        self.expired: list[int] = []
        self._slots = Slots(lambda: 1, lambda slot, epoch, session: self.expired.append(session))
        self._index = 0
        self._seqs = {1: 0, 2: 0}
        for session in (1, 2):
            self.put(OPEN, b"attempt-%d" % session, b"client")

    def put(self, *parts: object) -> None:
        self._index += 1
        self._slots.committed((1, 1), self._index, Entry(1, 0, pack(list(parts))))

    def ask(self, session: int, kind: int, command: list[Any], seq: int | None = None) -> int:
        self._seqs[session] += seq is None
        number = self._seqs[session] if seq is None else seq
        self.put(COMMAND, session, number, 1, 1, kind, b"e", command)
        return number

    def machine(self) -> SlotMachine:
        return self._slots.shadows[1, 1].machine

    def line(self) -> Any:
        return self.machine().entities[LOCK, b"e"]


def test_a_confirmed_answer_that_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = Slot()
    slot.ask(1, COUNTER, [1, 5])
    slot.put(COMMAND, 1, 2, 2, 2, COUNTER, b"e", [1, 5])
    monkeypatch.setattr(SlotSession, "pass_marks", lambda session, low, wait_low: 0)
    with broken(9):
        slot.put(COMMAND, 1, 3, 3, 3, COUNTER, b"e", [1, 5])


def test_a_confirmed_answer_that_is_kept_beside_its_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    def pass_marks(session: Any, low: int, wait_low: int) -> int:
        session.low, session.wait_low = low, wait_low
        return 0

    slot = Slot()
    slot.ask(1, COUNTER, [1, 5])
    monkeypatch.setattr(SlotSession, "pass_marks", pass_marks)
    with broken(9):
        slot.put(COMMAND, 1, 2, 2, 2, COUNTER, b"e", [1, 5])


def test_a_proper_slot() -> None:
    slot = Slot()
    slot.ask(1, LOCK, [ACQUIRE])
    waiting = slot.ask(2, LOCK, [ACQUIRE])
    slot.ask(2, LOCK, [ACQUIRE], waiting)
    (share,) = slot.line().grants.values()
    slot.ask(1, LOCK, [RELEASE, share.token])
    slot.ask(1, COUNTER, [1, 5])
    slot.put(ABANDON, 2, 1, [[waiting, LOCK, b"e"]])
    slot.put(EXPIRE, 2)
    slot.put(CLOSE, 1)
    assert slot.expired == [2]


def test_a_request_that_is_applied_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = Slot()
    number = slot.ask(1, COUNTER, [1, 5])
    monkeypatch.setattr(SlotMachine, "known", lambda machine, session, number, seq: None)
    with broken(2):
        slot.ask(1, COUNTER, [1, 5], number)


def test_two_holders(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = Slot()
    monkeypatch.setattr(WaitQueue, "free", lambda line: 1)
    slot.ask(1, LOCK, [ACQUIRE])
    with broken(20):
        slot.ask(2, LOCK, [ACQUIRE])


def test_too_many_permits(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = Slot()
    monkeypatch.setattr(WaitQueue, "free", lambda line: 9)
    slot.ask(1, SEMAPHORE, [ACQUIRE, 3, 2])
    with broken(28):
        slot.ask(2, SEMAPHORE, [ACQUIRE, 3, 2])


def test_tokens_that_do_not_grow() -> None:
    slot = Slot()
    slot.ask(1, LOCK, [ACQUIRE])
    (share,) = slot.line().grants.values()
    slot.ask(1, LOCK, [RELEASE, share.token])
    slot.machine()._counter -= 2
    with broken(21):
        slot.ask(2, LOCK, [ACQUIRE])


def test_a_late_comer_that_is_granted_first(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = Slot()
    slot.ask(1, SEMAPHORE, [ACQUIRE, 3, 2])
    slot.ask(1, SEMAPHORE, [ACQUIRE, 3, 3])
    ask = WaitQueue.ask

    def barge(line: WaitQueue, amount: int, ctx: Any, may_wait: bool) -> Any:
        waiters, line.waiters = line.waiters, type(line.waiters)()
        reply = ask(line, amount, ctx, may_wait)
        line.waiters = waiters
        return reply

    monkeypatch.setattr(WaitQueue, "ask", barge)
    with broken(25):
        slot.ask(2, SEMAPHORE, [ACQUIRE, 3, 1])


def test_a_destroyed_hold_that_is_granted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = Slot()
    slot.ask(1, LOCK, [ACQUIRE])
    slot.ask(2, LOCK, [DESTROY])
    monkeypatch.setattr(WaitQueue, "free", lambda line: 1)
    with broken(20):
        slot.ask(2, LOCK, [ACQUIRE])


@pytest.mark.parametrize("kind", [CLOSE, EXPIRE])
def test_a_session_that_leaves_something_behind(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    slot = Slot()
    slot.ask(1, LOCK, [ACQUIRE])
    monkeypatch.setattr(LineStructure, "end_session", lambda self, state, session: Decision(state, [OK]))
    with pytest.raises(ViolationError, match=r"\[(19|24)\]"):
        slot.put(kind, 1)


def test_a_barrier_that_trips_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = Slot()
    slot.ask(1, BARRIER, [ARRIVE, "a", 2])
    slot.ask(2, BARRIER, [ARRIVE, "b", 2])
    arrive = vars(BarrierStructure)["_arrive"]
    monkeypatch.setattr(
        BarrierStructure,
        "_arrive",
        lambda self, state, party, expected, ctx: arrive(self, state, party, 1, ctx),
    )
    with broken(31):
        slot.ask(1, BARRIER, [ARRIVE, "a", 2])


def test_withdrawals_are_counted() -> None:
    slot = Slot()
    slot.ask(1, LOCK, [ACQUIRE])
    waiting = slot.ask(2, LOCK, [ACQUIRE])
    slot.put(CANCEL, 2, waiting, LOCK, b"e")
    slot.put(CANCEL, 1, 1, LOCK, b"e")
    counts = slot._slots.counts
    assert counts == {"withdrawals asked": 1, "grants crossed a withdrawal": 1}
