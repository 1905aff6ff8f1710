"""Snapshots: what a state stands for, and its parts on their way out and in.

Raft paper section 7. Nobody ever holds a whole one as bytes. The leader's machine gives its state at one index in
parts of bounded size, no further ahead than a window of them; the follower's restores them one by one into a new
state and acknowledges a part when it is restored, and the snapshot when that state has taken the old one's place.

Parts are taken strictly in order; every part is answered with the number of parts restored, so a lost part or answer
costs a retry by the leader's timer and nothing else. They belong to one (term, index, begin): two leaders, or one that
began again, may cut a state differently, so their parts never mix.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from casty.consensus.membership import Membership

__all__ = ["Inbound", "Outbound", "Part", "Snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a machine's state stands for: everything up to the entry at `index`, and the configuration there.

    `since` is the index of that configuration's entry, 0 for one that began with the group. Whoever takes the snapshot
    has to name its configuration as its leader does: heartbeats compare that index.
    """

    index: int
    term: int
    membership: Membership
    since: int = 0


class Part(NamedTuple):
    """A piece of a machine's state."""

    data: bytes
    is_last: bool


class Outbound:
    """A snapshot on its way to one peer."""

    __slots__ = ("acked", "began_ns", "is_whole", "parts", "sent", "snapshot")

    def __init__(self, snapshot: Snapshot, began_ns: int) -> None:
        self.snapshot = snapshot
        self.began_ns = began_ns
        self.parts: deque[Part] = deque()
        """Made and not acknowledged; the first has the number `acked`."""
        self.acked = 0
        self.sent = 0
        self.is_whole = False

    @property
    def index(self) -> int:
        """The last entry that the state contains."""
        return self.snapshot.index

    def add(self, part: Part) -> None:
        """Take the next part of the state."""
        assert not self.is_whole
        self.parts.append(part)
        self.is_whole = part.is_last

    def acknowledge(self, held: int) -> bool:
        """The peer restored so many parts; False when it cannot have."""
        if held > self.acked + len(self.parts):
            return False
        while self.acked < held:
            self.parts.popleft()
            self.acked += 1
        self.sent = max(self.sent, held)
        return True


class Inbound:
    """A snapshot on its way in."""

    __slots__ = (
        "began_ns",
        "is_whole",
        "parts",
        "restored",
        "sender",
        "sent_ns",
        "snapshot",
        "taken",
        "term",
    )

    def __init__(self, term: int, snapshot: Snapshot, began_ns: int, sender: str) -> None:
        self.term = term
        self.snapshot = snapshot
        self.began_ns = began_ns
        self.sender = sender
        self.sent_ns = 0
        """Of the latest part, for the answer."""
        self.parts: deque[Part] = deque()
        """Taken and not restored."""
        self.taken = 0
        self.restored = 0
        self.is_whole = False

    def is_for(self, term: int, index: int, began_ns: int) -> bool:
        """Whether a part so marked belongs here."""
        return self.term == term and self.snapshot.index == index and self.began_ns == began_ns

    def take(self, number: int, part: Part, max_waiting: int) -> bool:
        """Take a part if it is the next one and there is room."""
        if number != self.taken or self.is_whole or len(self.parts) >= max_waiting:
            return False
        self.parts.append(part)
        self.taken += 1
        self.is_whole = part.is_last
        return True
