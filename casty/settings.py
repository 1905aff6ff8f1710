"""Settings of a cluster: every default with its unit, its bounds and its reason."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["BOUNDS", "SECOND_NS", "Bound", "Settings"]

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Bound:
    """The legal range of one setting and why its default is what it is."""

    unit: str
    low: float
    high: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What every node of a cluster agrees on; `BOUNDS` gives unit, range and reason of each.

    Raises
    ------
    ValueError
        When a value is outside its range, or two values contradict each other.

    Examples
    --------
    >>> Settings().slots
    64
    """

    slots: int = 64
    replication: int = 3
    heartbeat_s: float = 0.25
    election_min_s: float = 1.0
    election_max_s: float = 1.5
    drift: float = 0.01
    session_ttl_s: float = 15.0
    min_session_ttl_s: float = 0.0
    max_session_ttl_s: float = 300.0
    reads: str = "lease"
    founding_listen_s: float = 1.0
    start_timeout_s: float = 60.0
    unreachable_after_s: float = 3.0
    down_after_s: float = 10.0
    max_frame_bytes: int = 4 * 1024 * 1024
    max_value_bytes: int = 1024 * 1024
    max_hello_bytes: int = 4096
    max_half_open_links: int = 512
    max_clients: int = 0
    max_inbound_bytes: int = 64 * 1024 * 1024
    hello_timeout_s: float = 5.0
    max_outbound_bytes: int = 64 * 1024 * 1024
    max_window_replies: int = 1024
    max_window_bytes: int = 1024 * 1024
    max_waiters: int = 100_000
    max_sessions: int = 100_000
    max_entities: int = 1_000_000
    max_mailbox: int = 10_000
    memory_budget_bytes: int = 0
    max_uncommitted_bytes: int = 64 * 1024 * 1024
    snapshot_entries: int = 1_000
    retained_entries: int = 256
    retained_bytes: int = 2 * 1024 * 1024
    snapshot_chunk_bytes: int = 256 * 1024

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name == "reads":
                continue
            value, bound = getattr(self, field.name), BOUNDS[field.name]
            if not bound.low <= value <= bound.high:
                raise ValueError(
                    f"{field.name}: expected {bound.low} to {bound.high} {bound.unit}, found {value}"
                )
        if self.reads not in ("lease", "quorum"):
            raise ValueError(f"reads: expected 'lease' or 'quorum', found {self.reads!r}")
        if self.replication % 2 == 0:
            raise ValueError(f"replication: expected an odd number, found {self.replication}")
        if self.election_max_s <= self.election_min_s or self.election_min_s < 2 * self.heartbeat_s:
            raise ValueError(
                "expected 2 x heartbeat_s <= election_min_s < election_max_s, found "
                f"{self.heartbeat_s}, {self.election_min_s}, {self.election_max_s}"
            )
        for name in ("max_value_bytes", "snapshot_chunk_bytes"):
            if 2 * getattr(self, name) > self.max_frame_bytes:
                raise ValueError(
                    f"{name}: expected at most half of max_frame_bytes ({self.max_frame_bytes}), "
                    f"found {getattr(self, name)}"
                )
        if self.max_inbound_bytes < 2 * self.max_frame_bytes:
            raise ValueError(
                f"max_inbound_bytes: expected at least 2 x max_frame_bytes ({2 * self.max_frame_bytes}), "
                f"found {self.max_inbound_bytes}"
            )
        if self.session_ttl_s < 4 * self.election_max_s:
            raise ValueError(
                f"session_ttl_s: expected at least 4 x election_max_s ({4 * self.election_max_s}), "
                f"found {self.session_ttl_s}"
            )
        if self.min_session_ttl_s and self.min_session_ttl_s < 4 * self.election_max_s:
            raise ValueError(
                f"min_session_ttl_s: expected 0 or at least 4 x election_max_s ({4 * self.election_max_s}), "
                f"found {self.min_session_ttl_s}"
            )
        if not self.shortest_ttl_s <= self.session_ttl_s <= self.max_session_ttl_s:
            raise ValueError(
                f"session_ttl_s: expected min_session_ttl_s to max_session_ttl_s ({self.shortest_ttl_s} to "
                f"{self.max_session_ttl_s}), found {self.session_ttl_s}"
            )

    @property
    def shortest_ttl_s(self) -> float:
        """The shortest time to live that a client may ask for."""
        return self.min_session_ttl_s or 4 * self.election_max_s


BOUNDS: dict[str, Bound] = {
    "slots": Bound(
        "slots", 1, 4096, "64 spreads load over some ten nodes and still idles below 1 % of a core"
    ),
    "replication": Bound("replicas", 1, 7, "3 survives the loss of one node at the cost of one round trip"),
    "heartbeat_s": Bound("s", 0.005, 10, "four chances to be heard within the shortest election timeout"),
    "election_min_s": Bound("s", 0.02, 60, "longer than a usual collector pause or a short network stall"),
    "election_max_s": Bound(
        "s", 0.03, 120, "half as much again spreads candidates so that one wins the first vote"
    ),
    "drift": Bound(
        "ratio", 0, 0.2, "no two clocks run apart faster; quartz is 1,000 times better, and it costs 1 %"
    ),
    "session_ttl_s": Bound(
        "s", 0.1, 300, "outlives a failover; the price is how long a dead holder's lock stays closed"
    ),
    "min_session_ttl_s": Bound(
        "s",
        0,
        300,
        "0: 4 x election_max_s; the shortest that a client may ask for outlives a failover as well",
    ),
    "max_session_ttl_s": Bound(
        "s", 0.1, 300, "the longest that a client may ask for, and so keep what it holds closed when it dies"
    ),
    "founding_listen_s": Bound("s", 0, 60, "twice the longest back-off of a member that dials a lost one"),
    "start_timeout_s": Bound("s", 0.1, 3600, "a rollout starts its processes within a minute"),
    "unreachable_after_s": Bound("s", 0.1, 3600, "twelve missed heartbeats"),
    "down_after_s": Bound(
        "s", 0.2, 86400, "a restart by a supervisor takes less, so its places are still its own"
    ),
    "max_frame_bytes": Bound(
        "bytes", 65536, 2**30, "a frame is decoded in one piece: this is what a peer can make us hold"
    ),
    "max_value_bytes": Bound(
        "bytes", 1024, 2**29, "one command or reply; leaves room for several in a frame"
    ),
    "max_hello_bytes": Bound("bytes", 512, 65536, "a stranger can make us hold no more than this"),
    "max_half_open_links": Bound(
        "links", 1, 65536, "strangers that say nothing cannot use up the descriptors"
    ),
    "max_clients": Bound(
        "clients",
        0,
        2**20,
        "0: what the limit of open files allows, less what is kept back for members and status",
    ),
    "max_inbound_bytes": Bound(
        "bytes",
        131072,
        2**40,
        "unfinished frames of all links together: what many slow ends can make us hold",
    ),
    "hello_timeout_s": Bound("s", 0.1, 60, "a handshake is one round trip"),
    "max_outbound_bytes": Bound("bytes", 65536, 2**32, "what a peer that does not read can make us hold"),
    "max_window_replies": Bound("replies", 16, 2**20, "answered calls one session may leave unacknowledged"),
    "max_window_bytes": Bound("bytes", 1024, 2**30, "the same in bytes"),
    "max_waiters": Bound("waiters", 1, 2**31, "waiting calls of one slot; a waiter is some hundred bytes"),
    "max_sessions": Bound("sessions", 1, 2**31, "sessions of one slot; a session is some hundred bytes"),
    "max_entities": Bound("entities", 1, 2**31, "structures and map keys of one slot"),
    "max_mailbox": Bound("messages", 1, 2**31, "unread messages of one actor"),
    "memory_budget_bytes": Bound(
        "bytes",
        0,
        2**50,
        "0: half of what machine, control group and process limits allow; see `casty.cluster.multiraft.memory_budget`",
    ),
    "max_uncommitted_bytes": Bound(
        "bytes", 65536, 2**32, "proposals a leader holds while it has no majority"
    ),
    "snapshot_entries": Bound(
        "entries", 4, 2**31, "applied entries beyond the retained ones before a log is compacted"
    ),
    "retained_entries": Bound(
        "entries", 0, 2**31, "entries that a compacted log keeps for followers a little behind, per slot"
    ),
    "retained_bytes": Bound(
        "bytes",
        0,
        2**32,
        "applied bytes that a log holds at most; 64 slots of large values stay below 128 MiB",
    ),
    "snapshot_chunk_bytes": Bound(
        "bytes", 16, 2**26, "a part of a state: made and restored within some milliseconds"
    ),
}
