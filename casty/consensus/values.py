"""What the consensus core takes and hands out: roles, settings, work for the host, refusals."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from casty.consensus.log import Entry
from casty.consensus.snapshot import Snapshot

__all__ = [
    "Limits",
    "NotLeading",
    "ProgressReport",
    "ProposalRefused",
    "Ready",
    "Restored",
    "Role",
    "Timing",
]


class Role(Enum):
    """What a replica is in its group at the moment. A learner or a blank replica is a follower."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class Timing(NamedTuple):
    """Times of a group; one cluster has one timing.

    Parameters
    ----------
    election_min_ns, election_max_ns
        A follower stands for election after a silence drawn between these.
    heartbeat_ns
        How often the host sends heartbeats; also the pace of retries.
    drift_ppm
        Bound on the ratio of two nodes' clock rates, in parts per million above 1.
    """

    election_min_ns: int
    election_max_ns: int
    heartbeat_ns: int
    drift_ppm: int


class Limits(NamedTuple):
    """Bounds of one group; every queue and buffer of the core has one.

    Parameters
    ----------
    max_append_bytes, max_append_entries
        Size of one append; an entry larger than the bytes travels alone.
    max_inflight_appends, max_inflight_bytes
        Appends sent to one peer and not answered.
    max_uncommitted_bytes
        Proposals held while there is no majority.
    snapshot_window_chunks
        How many parts of a snapshot may be made and not restored by the peer.
    retained_entries, retained_bytes
        Tail of the log that compaction keeps for followers a little behind; half the bytes of it.
    compact_entries
        Applied entries beyond that tail after which a log is compacted. So a log never holds more than
        ``retained_entries + compact_entries`` applied entries, nor more than ``retained_bytes`` of them and one
        entry more, whatever its followers do; what is not applied yet comes on top.
    max_pending_reads
        Reads that wait for a round.
    catch_up_rounds, throttled_lag_entries
        Rounds given to a learner; afterwards proposals wait while it is further behind than the lag.
    """

    max_append_bytes: int = 512 * 1024
    max_append_entries: int = 1024
    max_inflight_appends: int = 64
    max_inflight_bytes: int = 8 * 1024 * 1024
    max_uncommitted_bytes: int = 64 * 1024 * 1024
    snapshot_window_chunks: int = 8
    retained_entries: int = 1024
    retained_bytes: int = 4 * 1024 * 1024
    compact_entries: int = 1000
    max_pending_reads: int = 65_536
    catch_up_rounds: int = 10
    throttled_lag_entries: int = 256


class Restored(NamedTuple):
    """What a disk gave back: the state of this very voter before its process ended.

    Parameters
    ----------
    term, vote
        The last durable hard state.
    snapshot
        The newest durable snapshot, or None when the log begins at index 1.
    entries
        The log, which may begin before the snapshot ends.
    offset, offset_term
        The entry before the first of these, and its term; None where that is the snapshot's last.
    quiet_ns
        How long the former process kept quiet after it heard a leader, where that was longer than it is now.
    """

    term: int
    vote: str | None
    snapshot: Snapshot | None
    entries: Sequence[Entry]
    offset: int | None = None
    offset_term: int = 0
    quiet_ns: int = 0


class ProgressReport(NamedTuple):
    """How far a leader knows a peer to be; `state` is ``probe``, ``replicate`` or ``snapshot``."""

    match: int
    next: int
    state: str
    is_caught_up: bool


class Ready:
    """Work for the host, handed out once: persist, send, report `stored`, apply, answer reads.

    A `snapshot` says that the log begins anew behind it: the machine's state, which the host has restored by then,
    stands for everything before.
    """

    __slots__ = (
        "committed",
        "committed_first",
        "entries",
        "first_index",
        "hard_state",
        "messages",
        "needs_snapshot",
        "reads",
        "reads_refused",
        "role_changed",
        "snapshot",
    )

    def __init__(self, messages: list[tuple[str, list[object]]]) -> None:
        self.messages = messages
        self.hard_state: tuple[int, str | None] | None = None
        self.first_index = 0
        self.entries: Sequence[Entry] = ()
        self.snapshot: Snapshot | None = None
        self.committed_first = 0
        self.committed: Sequence[Entry] = ()
        self.reads: Sequence[tuple[int, int]] = ()
        self.reads_refused: Sequence[int] = ()
        self.needs_snapshot = False
        self.role_changed = False


class NotLeading(Exception):
    """This replica does not lead; `leader` is who does, as far as it knows."""

    def __init__(self, leader: str | None, term: int) -> None:
        super().__init__(f"not leading in term {term}; leader: {leader}")
        self.leader = leader
        self.term = term


class ProposalRefused(Exception):
    """The leader takes no proposal right now; nothing was appended. `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
