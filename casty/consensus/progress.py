"""What a leader knows of one peer, and how it may send to it.

States. PROBE: the matching point is unknown, one append at a time. REPLICATE: it is known, appends are
pipelined within bounds, ``next`` runs ahead of ``match``. SNAPSHOT: the peer needs entries that are compacted
away, or is blank, and has said so; parts are sent within a window until it reports the snapshot's index.

Any message may be lost: whatever is outstanding longer than ``retry_ns`` without an answer puts the peer back
to PROBE with an empty append (parts are sent again in SNAPSHOT), and the pause doubles up to its bound.
"""

from __future__ import annotations

from collections import deque

from casty.address import process_of
from casty.consensus.rounds import NEVER_NS
from casty.consensus.snapshot import Outbound

__all__ = ["PROBE", "REPLICATE", "SNAPSHOT", "STATE_NAMES", "Progress"]

PROBE = 0
REPLICATE = 1
SNAPSHOT = 2
STATE_NAMES = ("probe", "replicate", "snapshot")


class Progress:
    """One peer, as its leader sees it.

    A row of one leadership: it begins with nothing known, so no answer to an earlier leader is counted. Always
    ``match < next``, and ``match`` is an index of the leader's log.
    """

    __slots__ = (
        "active_ns",
        "commit",
        "commit_sent",
        "id",
        "inflight",
        "inflight_bytes",
        "is_blank",
        "is_caught_up",
        "is_empty_probe",
        "is_paused",
        "match",
        "needs_snapshot",
        "next",
        "process",
        "retry_ns",
        "round_count",
        "round_ns",
        "round_start_ns",
        "round_target",
        "since_ns",
        "snapshot",
        "state",
        "waiting_ns",
    )

    def __init__(self, id: str, last_index: int, now_ns: int, retry_ns: int) -> None:
        self.id = id
        self.process = process_of(id)
        """Whose row in `Rounds` counts for it."""
        self.state = PROBE
        """Moves in `probe`, `replicate` and `install` only."""
        self.match = 0
        """The peer stored our log up to here, as it said itself; never falls. Commits are counted by it, so one that
        is too high loses what was acknowledged; one that is too low costs an append."""
        self.next = last_index + 1
        """The first entry that is not on its way. A guess in PROBE, which each rejection lowers."""
        self.commit = 0
        """The peer's commit index as it last said; never falls."""
        self.commit_sent = 0
        """The commit index that the latest append to it named; where it is ours, only its loss is a reason to send
        again."""
        self.since_ns = now_ns
        """Heartbeats sent before this did not cover the peer's place."""
        self.round_ns = NEVER_NS
        """Send time of the newest message of this leadership that the peer answered."""
        self.is_paused = False
        """In PROBE: the one message it may have is on its way; ends with its answer, or with `retry_ns`."""
        self.is_empty_probe = False
        """In PROBE: the peer was silent for long, so it is asked without entries, and no snapshot is begun for it."""
        self.is_blank = False
        """It said that it has no configuration, which only a snapshot gives it: none of our log is sent to it.
        `match` is 0 unless it took an earlier snapshot meanwhile."""
        self.inflight: deque[tuple[int, int]] = deque()
        """(last index, bytes) of appends with entries that are not answered, oldest first; empty unless in REPLICATE.
        At most ``limits.max_inflight_appends``."""
        self.inflight_bytes = 0
        """The bytes of these; below ``limits.max_inflight_bytes`` whenever one more is sent."""
        self.active_ns = now_ns
        """When the peer last answered, or when it became a peer."""
        self.waiting_ns = now_ns
        """When the peer last answered, or when the message we wait for left if that is later."""
        self.retry_ns = retry_ns
        """How long an answer is waited for: a heartbeat, twice as long after each in vain, four at most; a heartbeat
        again with any answer."""
        self.needs_snapshot = False
        """It said that it needs entries that are compacted away; the host begins a snapshot when its turn comes."""
        self.snapshot: Outbound | None = None
        """The one that it is sent; None exactly outside SNAPSHOT."""
        self.is_caught_up = False
        """Whether its latest round of catch-up was short: only then a learner may become a voter, for commits wait
        for it from then on. Taken back when it needs a snapshot or falls silent."""
        self.round_count = 0
        """Rounds that were too long since it began to catch up."""
        self.round_target = last_index
        """The end of our log when the round began: it ends when `match` is there."""
        self.round_start_ns = now_ns

    @property
    def is_outstanding(self) -> bool:
        """Whether an answer is due."""
        if self.snapshot is not None:
            return bool(self.snapshot.parts)
        return self.is_paused or bool(self.inflight)

    @property
    def is_idle(self) -> bool:
        """Whether the peer keeps up and has answered everything."""
        return self.state == REPLICATE and not self.inflight

    def probe(self, next_index: int) -> None:
        """Look for the matching point from `next_index` on, one message at a time."""
        assert next_index > self.match
        self.state = PROBE
        self.next = next_index
        self.needs_snapshot = False
        self.snapshot = None
        self.is_paused = False
        self.is_empty_probe = False
        self.inflight.clear()
        self.inflight_bytes = 0

    def ask(self, next_index: int) -> None:
        """Ask with an empty append where a silent peer is.

        Nothing else is made or sent for it until it answers: it may be dead, and a snapshot is large.
        """
        self.probe(next_index)
        self.is_empty_probe = True
        self.is_blank = False

    def replicate(self) -> None:
        """Pipeline from the known matching point on."""
        self.state = REPLICATE
        self.next = self.match + 1
        self.needs_snapshot = False
        self.snapshot = None
        self.is_blank = False
        self.is_paused = False
        self.is_empty_probe = False
        self.inflight.clear()
        self.inflight_bytes = 0

    def install(self, snapshot: Outbound, retry_ns: int) -> None:
        """Send a snapshot."""
        self.retry_ns = retry_ns
        self.state = SNAPSHOT
        self.needs_snapshot = False
        self.snapshot = snapshot
        self.is_paused = False
        self.inflight.clear()
        self.inflight_bytes = 0
        self.is_caught_up = False

    def acknowledge(self, index: int) -> None:
        """The peer holds our log up to `index`."""
        if index > self.match:
            self.match = index
            if index >= self.next:
                self.next = index + 1
        inflight = self.inflight
        while inflight and inflight[0][0] <= index:
            self.inflight_bytes -= inflight.popleft()[1]

    def end_round(self, last_index: int, now_ns: int, election_min_ns: int) -> None:
        """Judge catch-up at the end of a round (dissertation 4.2.1): it must take less than a timeout.

        A peer that already holds all there is ends the next round at once.
        """
        if now_ns - self.round_start_ns < election_min_ns or self.match >= last_index:
            self.is_caught_up = True
        else:
            self.count_round(last_index, now_ns)

    def count_round(self, last_index: int, now_ns: int) -> None:
        """Begin another round of catch-up: the last one took too long."""
        self.round_count += 1
        self.round_target = last_index
        self.round_start_ns = now_ns

    def fall_behind(self, last_index: int, now_ns: int) -> None:
        """Start counting catch-up rounds afresh."""
        self.is_caught_up = False
        self.round_count = 0
        self.round_target = last_index
        self.round_start_ns = now_ns
