"""What the fields of `State` and `Progress` say of themselves, looked at between two steps of a core."""

from __future__ import annotations

from casty.consensus.core import Core
from casty.consensus.progress import PROBE, REPLICATE, SNAPSHOT, Progress
from casty.consensus.values import Role

__all__ = ["check_fields"]


def check_fields(core: Core) -> None:
    """Raise `AssertionError` where a field is not what it says that it always is."""
    _check_indexes(core)
    _check_role(core)
    assert not core.inbound or core.inbound.snapshot.index > core.commit
    assert core.last_heard_ns() <= core.now_ns or core.role is not Role.LEADER
    if core.role is Role.LEADER:
        _check_leader(core)
    else:
        assert not core.progress and not core.pending_reads and core.transfer_to is None
        assert not core.voter_peers and not core.outgoing_peers and not core.uncommitted_bytes


def _check_indexes(core: Core) -> None:
    log = core.log
    assert log.offset <= core.applied <= core.commit <= log.last_index
    assert core.stable <= log.last_index and core.unsaved_index <= log.last_index + 1
    assert all(entry.term <= core.term for entry in log.entries)
    assert (core.membership_index, core.membership) == core.history.latest


def _check_role(core: Core) -> None:
    membership = core.membership
    assert (core.leader == core.id) is (core.role is Role.LEADER)
    if core.role in (Role.CANDIDATE, Role.PRE_CANDIDATE):
        assert membership is not None and core.leader is None
        assert core.votes[core.id] and all(id == core.id or membership.has_voter(id) for id in core.votes)
    assert core.peers == (
        () if membership is None else tuple(id for id in membership.members if id != core.id)
    )
    assert core.self_in_voters is (membership is not None and core.id in membership.voters)
    assert core.self_in_outgoing is (membership is not None and core.id in membership.outgoing)


def _check_leader(core: Core) -> None:
    membership = core.membership
    assert membership is not None and core.inbound is None
    assert tuple(core.progress) == core.peers
    assert [row.id for row in core.voter_peers] == [id for id in membership.voters if id != core.id]
    assert [row.id for row in core.outgoing_peers] == [id for id in membership.outgoing if id != core.id]
    assert core.is_established is (core.commit >= core.lead_index)
    assert core.slow_learner is None or core.slow_learner.id in core.progress
    assert core.retry_due_ns <= core.now_ns + core.timing.heartbeat_ns
    assert core.uncommitted_bytes == core.data_bytes(core.commit + 1, core.log.last_index)
    began = [began_ns for _, began_ns in core.pending_reads]
    assert began == sorted(began) and len(began) <= core.limits.max_pending_reads
    for row in core.progress.values():
        _check_row(core, row)


def _check_row(core: Core, row: Progress) -> None:
    assert row.match < row.next and row.match <= core.log.last_index
    assert (row.snapshot is not None) is (row.state == SNAPSHOT)
    assert row.state == PROBE or not (row.is_paused or row.is_empty_probe or row.needs_snapshot)
    assert row.state == REPLICATE or not row.inflight
    assert not row.is_blank or not row.match or row.state == SNAPSHOT
    assert len(row.inflight) <= core.limits.max_inflight_appends
    assert row.inflight_bytes == sum(size_bytes for _, size_bytes in row.inflight)
    assert row.commit_sent <= core.commit and row.round_ns <= row.active_ns <= row.waiting_ns <= core.now_ns
    assert core.timing.heartbeat_ns <= row.retry_ns <= 4 * core.timing.heartbeat_ns
    assert not row.is_caught_up or row.state != SNAPSHOT
