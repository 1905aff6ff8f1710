"""The core's interface: bounds, refusals, hostile input, storage answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casty.consensus import (
    Core,
    Entry,
    Limits,
    Membership,
    NotLeading,
    ProposalRefused,
    Restored,
    Role,
    Rounds,
    Snapshot,
    Timing,
)
from casty.consensus.messages import (
    ACCEPTED,
    APPEND,
    APPEND_REPLY,
    SNAPSHOT,
    SNAPSHOT_REPLY,
    VOTE,
    VOTE_REPLY,
)
from casty.errors import RemoteProtocolError
from tests.scripts.raft_snapshots import Snapshots

MS = 1_000_000
TIMING = Timing(1000 * MS, 1500 * MS, 250 * MS, 10_000)


def make(id: str, *voters: str, limits: Limits | None = None, restored: Restored | None = None) -> Core:
    return Core(
        id=id,
        group=1,
        epoch=1,
        membership=Membership(voters) if voters else None,
        now_ns=0,
        timing=TIMING,
        limits=limits or Limits(),
        rounds=Rounds(),
        election_timeout_ns=lambda: 1200 * MS,
        restored=restored,
    )


def settle(*cores: Core, now_ns: int = 0) -> None:
    by_id = {core.id: core for core in cores}
    snapshots = {core.id: Snapshots(100) for core in cores}
    is_busy = True
    while is_busy:
        is_busy = False
        for core in cores:
            snapshots[core.id].work(core, now_ns)
            ready = core.ready()
            if ready is not None:
                is_busy = True
                if ready.entries:
                    core.stored(ready.first_index + len(ready.entries) - 1, ready.entries[-1].term)
                if ready.needs_snapshot:
                    snapshots[core.id].begin(core, now_ns, core.applied, b"state")
                for to, message in ready.messages:
                    if to in by_id:
                        by_id[to].step(now_ns, core.id, message)


def trio(**options: Any) -> list[Core]:
    cores = [make(id, "a", "b", "c", **options) for id in "abc"]
    cores[0].campaign(0)
    settle(*cores)
    assert cores[0].role is Role.LEADER
    return cores


def test_nothing_to_do_is_none() -> None:
    cores = trio()
    assert [core.ready() for core in cores] == [None, None, None]


def test_proposals_are_refused_with_a_reason() -> None:
    a, b, c = trio(limits=Limits(max_uncommitted_bytes=10))
    with pytest.raises(NotLeading) as refusal:
        b.propose(b"x")
    assert refusal.value.leader == "a"
    a.propose(b"x" * 100)
    with pytest.raises(ProposalRefused, match="max_uncommitted_bytes"):
        a.propose(b"y")
    settle(a, b, c)
    assert a.propose(b"y") == 3


def test_a_slow_learner_throttles_only_while_it_replicates() -> None:
    a, b, c = trio(limits=Limits(catch_up_rounds=2, throttled_lag_entries=3))
    d = make("d")
    assert a.change(0, ["a", "b", "d"], [])
    settle(a, b, c, d)
    progress = a.progress["d"]
    progress.is_caught_up, progress.round_count = False, 2
    for _ in range(5):
        a.propose(b"x")
    assert a.change(0, ["a", "b", "d"], [])
    with pytest.raises(ProposalRefused, match="catching up"):
        a.propose(b"x")
    settle(a, b, c, d)
    assert a.propose(b"x")


def test_an_append_is_bounded() -> None:
    limits = Limits(max_append_entries=3, max_append_bytes=25, max_inflight_appends=2)
    a, b, c = trio(limits=limits)
    for _ in range(4):
        a.propose(b"x" * 10)
    a.propose(b"y" * 100)
    ready = a.ready()
    assert ready is not None
    batches: list[Any] = [message[6] for to, message in ready.messages if to == "b"]
    assert [len(batch) for batch in batches] == [2, 2]
    for to, message in ready.messages:
        (b if to == "b" else c).step(0, "a", message)
    settle(a, b, c)
    assert b.last_index == a.last_index == 6


def test_stored_is_credited_to_the_entry_that_was_stored() -> None:
    a = make("a", "a")
    a.tick(0)
    ready = a.ready()
    assert ready is not None and a.commit == 0
    a.stored(1, ready.entries[-1].term + 1)
    assert a.commit == 0
    a.stored(1, ready.entries[-1].term)
    assert a.commit == 1


def test_a_restored_voter_continues_and_a_snapshot_is_not_handed_out_again() -> None:
    snapshot = Snapshot(4, 2, Membership(("a", "b")))
    core = make("a", "a", "b", restored=Restored(3, "b", snapshot, [Entry(3, 0, b"x")]))
    assert (core.term, core.vote, core.commit, core.last_index) == (3, "b", 4, 5)
    ready = core.ready()
    assert ready is not None and ready.snapshot is None and not ready.entries and ready.hard_state is None
    core.step(0, "b", [3, 4, 9, 4, 1])
    ready = core.ready()
    assert ready is not None and ready.messages == [("b", [4, 3, 0])]


@pytest.mark.parametrize(("quiet_ms", "free_ms"), [(0, 1500), (4000, 4000)])
def test_a_restored_voter_keeps_quiet_for_one_election_timeout(quiet_ms: int, free_ms: int) -> None:
    """A lease may rest on what it heard just before its process ended; also on what that one promised, if longer."""
    restored = Restored(3, None, None, [Entry(3, 0, b"x")], quiet_ns=quiet_ms * MS)
    core = make("a", "a", "b", restored=restored)
    for at_ms, granted in ((free_ms - 1, 0), (free_ms, 1)):
        core.step(at_ms * MS, "b", [VOTE, 4, 1, 3, 1])
        ready = core.ready()
        assert ready is not None and ready.messages == [("b", [VOTE_REPLY, 4 if granted else 3, granted])]


def test_a_lone_voter_need_not_keep_quiet() -> None:
    core = make("a", "a", restored=Restored(3, "a", None, [Entry(3, 0, b"x")]))
    core.tick(0)
    assert core.role is Role.LEADER and core.term == 4


def test_a_restored_log_may_reach_back_before_its_snapshot() -> None:
    snapshot = Snapshot(6, 2, Membership(("a", "b")), 3)
    change = Entry(2, 2, b'[["a","b"],[],[]]')
    entries = [
        change,
        Entry(2, 0, b"xy"),
        Entry(2, 0, b"z"),
        Entry(2, 0, b"!"),
        Entry(3, 2, b'[["a","b"],[],["c"]]'),
    ]
    core = make("a", "a", "b", restored=Restored(3, None, snapshot, entries, 2, 1))
    assert (core.commit, core.applied, core.first_index, core.last_index) == (6, 6, 3, 7)
    assert core.history.items == [(3, Membership(("a", "b"))), (7, Membership(("a", "b"), (), ("c",)))]
    assert core.applied_bytes == len(change.data) + 4 and core.log.term_at(2) == 1


def test_what_a_majority_stored_may_be_compacted_before_it_is_durable_here() -> None:
    core = make("b", "a", "b", limits=Limits(retained_entries=1, compact_entries=1))
    for index in range(1, 7):
        core.step(0, "a", [APPEND, 1, index - 1, 1 if index > 1 else 0, index, 5, [[1, 0, b"x"]]])
    assert core.ready() is not None
    core.compact(6)
    assert core.first_index > 4
    core.stored(3, 1)
    assert core.stable == 3
    core.stored(6, 1)
    assert core.stable == 6


def test_blank_replicas_neither_stand_nor_vote() -> None:
    core = make("d")
    core.tick(5000 * MS)
    core.campaign(5000 * MS)
    core.step(5000 * MS, "a", [5, 9, 9, 9])
    core.step(5000 * MS, "a", [3, 9, 9, 9, 0])
    ready = core.ready()
    assert ready is not None
    assert [message[2] for _, message in ready.messages] == [0, 0]
    assert (core.role, core.term) == (Role.FOLLOWER, 0)


def test_reads_are_bounded_and_refused_when_not_leading() -> None:
    a, b, _ = trio(limits=Limits(max_pending_reads=1))
    b.read(0, 1)
    ready = b.ready()
    assert ready is not None and ready.reads_refused == [1]
    later = 2000 * MS
    a.read(later, 2)
    a.read(later, 3)
    assert a.wants_round
    ready = a.ready()
    assert ready is not None and ready.reads_refused == [3]
    a.rounds.answered["b"] = later
    a.rounds_advanced(later)
    ready = a.ready()
    assert ready is not None and ready.reads == [(2, 1)] and not a.wants_round


def test_a_heartbeat_from_before_the_leadership_is_no_lease() -> None:
    cores = [make(id, "a", "b", "c") for id in "abc"]
    cores[0].rounds.answered["b"] = 99
    cores[0].campaign(100)
    settle(*cores, now_ns=100)
    assert cores[0].lease_until_ns() == 100 + 990 * MS
    cores[0].progress["b"].round_ns = cores[0].progress["c"].round_ns = -1
    assert cores[0].lease_until_ns() == 0
    cores[0].peer_round("b", 99)
    assert cores[0].lease_until_ns() == 0
    cores[0].peer_round("b", 101)
    assert cores[0].lease_until_ns() == 101 + 990 * MS


def test_what_is_known_of_a_lease_ends_with_whatever_may_end_the_lease_sooner() -> None:
    cores = [make(id, "a", "b", "c") for id in "abc"]
    a = cores[0]
    assert a.lease_beyond_ns(0) == 0
    a.campaign(100)
    settle(*cores, now_ns=100)
    until_ns = 100 + 990 * MS
    assert a.lease_beyond_ns(100) == until_ns
    a.peer_round("b", 200)
    assert a.lease_beyond_ns(150) == until_ns, "it suffices"
    assert a.lease_beyond_ns(until_ns) == until_ns + 100
    assert a.transfer(300, "b")
    assert a.lease_beyond_ns(300) == 0
    settle(*cores, now_ns=300)
    assert [core.lease_beyond_ns(300) > 300 for core in cores] == [False, True, False]
    cores[1].become_follower(400, cores[1].term + 1, None)
    assert cores[1].lease_beyond_ns(400) == 0


def test_the_endless_lease_of_a_lone_voter_is_over_when_another_one_is_added() -> None:
    a, b = make("a", "a"), make("b")
    a.campaign(100)
    settle(a, now_ns=100)
    assert a.lease_beyond_ns(1 << 60) > 1 << 60
    for now_ns in (200, 300, 400, 500):
        a.change(now_ns, ("a", "b"), ())
        settle(a, b, now_ns=now_ns)
    assert a.membership is not None and a.membership.voters == ("a", "b")
    assert 500 < a.lease_beyond_ns(500) == a.lease_until_ns() < 500 + 1000 * MS


def test_two_leaders_of_one_term_are_a_protocol_error() -> None:
    a, b, _ = trio()
    with pytest.raises(RemoteProtocolError, match="two leaders"):
        b.step(0, "c", [1, a.term, 1, 1, 1, 0, []])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12) | st.binary(max_size=3) | st.text(max_size=2),
    lambda children: st.lists(children, max_size=4),
    max_leaves=12,
)


@given(
    st.lists(VALUES, max_size=12)
    | st.tuples(st.integers(0, 10), st.integers(0, 3)).flatmap(
        lambda head: st.lists(VALUES, max_size=10).map(lambda rest: [*head, *rest])
    )
)
def test_hostile_messages_raise_protocol_errors_only(message: list[object]) -> None:
    for core in trio()[:2]:
        term = core.term
        try:
            core.step(0, "c", message)
        except RemoteProtocolError:
            assert core.term >= term


def part(number: int, data: bytes, is_last: bool = False, began_ns: int = 5, index: int = 7) -> list[Any]:
    return [SNAPSHOT, 3, 10 + number, index, 2, ["a", "b"], [], [], 0, began_ns, number, int(is_last), data]


def sent(core: Core) -> list[tuple[str, list[object]]]:
    ready = core.ready()
    return [] if ready is None else ready.messages


def test_a_snapshot_names_its_configuration_as_the_leader_does() -> None:
    b = make("b")
    message = part(0, b"state", is_last=True)
    message[8] = 4
    b.step(0, "a", message)
    inbound = b.inbound
    assert inbound is not None and b.part_restored(inbound)
    assert b.membership_index == 4, "heartbeats compare it: an entry of its own would never be equal"


def test_parts_are_acknowledged_when_they_are_restored_and_the_snapshot_with_the_last_of_them() -> None:
    b = make("b")
    b.step(0, "a", part(0, b"st"))
    b.step(0, "a", part(1, b"ate", is_last=True))
    assert not sent(b) and (b.last_index, b.commit, b.membership) == (0, 0, None)
    inbound = b.inbound
    assert inbound is not None
    assert not b.part_restored(inbound)
    assert sent(b) == [("a", [SNAPSHOT_REPLY, 3, 11, 7, 1])]
    assert b.part_restored(inbound)
    ready = b.ready()
    assert ready is not None and ready.snapshot == Snapshot(7, 2, Membership(("a", "b")))
    assert ready.messages == [("a", [APPEND_REPLY, 3, 11, ACCEPTED, 7, 7, 0])]
    assert (b.first_index, b.last_index, b.commit, b.applied) == (8, 7, 7, 7)


def test_parts_of_two_snapshots_never_mix() -> None:
    b = make("b")
    b.step(0, "a", part(1, b"two"))
    assert b.inbound is None
    b.step(0, "a", part(0, b"one"))
    first = b.inbound
    b.step(0, "a", part(1, b"two", began_ns=6))
    assert b.inbound is first
    b.step(0, "a", part(0, b"one", began_ns=6))
    b.step(0, "a", part(0, b"one", began_ns=6))
    second = b.inbound
    assert second is not None and second is not first and len(second.parts) == 1
    b.step(0, "a", part(0, b"one"))
    b.step(0, "a", part(1, b"two"))
    assert b.inbound is second and len(second.parts) == 1


def test_a_follower_holds_no_more_parts_than_two_windows() -> None:
    b = make("b")
    for number in range(50):
        b.step(0, "a", part(number, b"x"))
    assert b.inbound is not None and len(b.inbound.parts) == 2 * Limits().snapshot_window_chunks


def test_a_snapshot_that_the_log_has_overtaken_is_not_needed() -> None:
    b = make("b", "a", "b")
    b.step(0, "a", part(0, b"x", is_last=True, index=2))
    b.step(0, "a", [APPEND, 3, 0, 0, 2, 5, [[2, 0, b"x"], [2, 0, b"y"]]])
    assert b.inbound is None and (b.first_index, b.commit) == (1, 2)


def test_a_snapshot_that_the_log_agrees_with_commits_it_and_replaces_nothing() -> None:
    b = make("b", "a", "b")
    b.step(0, "a", part(0, b"x", is_last=True, index=2))
    b.step(0, "a", [APPEND, 3, 0, 0, 1, 5, [[2, 0, b"x"], [2, 0, b"y"], [3, 0, b"z"]]])
    inbound = b.inbound
    assert inbound is not None and b.commit == 1
    assert not b.part_restored(inbound)
    assert b.inbound is None and (b.first_index, b.last_index, b.commit) == (1, 3, 2)


def test_an_answer_of_a_former_replica_is_not_its_successors() -> None:
    a, b, c = (make(id, "a", "b", "c#1") for id in ("a", "b", "c#1"))
    a.campaign(0)
    settle(a, b, c)
    a.propose(b"x")
    settle(a, b, c)
    late = [APPEND_REPLY, 1, 0, ACCEPTED, a.last_index, 0, 0]
    blank = make("c#1~1")
    a.change(0, ("a", "b", "c#1~1"), ())
    settle(a, b)
    assert a.progress_of("c#1~1") is not None
    a.step(0, "c#1", late)
    assert a.progress["c#1~1"].match == 0
    settle(a, b, blank)
    for step in range(1, 20):
        a.rounds.answered["b"] = step * 250 * MS
        a.tick(step * 250 * MS)
        a.change(step * 250 * MS, ("a", "b", "c#1~1"), ())
        settle(a, b, blank, now_ns=step * 250 * MS)
    assert a.committed_membership == (("a", "b", "c#1~1"), (), ()) and blank.applied == a.applied
    assert a.progress["c#1~1"].process == "c#1"
