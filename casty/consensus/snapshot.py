"""Snapshots: the value, and the buffer of one that comes in as chunks.

Raft paper section 7. Chunks are taken strictly in order; every chunk is answered with the number of bytes
held, so a lost chunk or answer costs a retry by the leader's timer and nothing else. A buffer belongs to one
(term, index): two leaders may cut different bytes at one index, so their chunks never mix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from casty.consensus.membership import Membership

__all__ = ["Inbound", "Installing", "Snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A machine's state after the entry at `index`, and the configuration in force there."""

    index: int
    term: int
    membership: Membership
    data: bytes


class Installing(NamedTuple):
    """A snapshot that is being restored, and who is told, with which send time, once it is."""

    snapshot: Snapshot
    sender: str
    sent_ns: int


class Inbound:
    """A snapshot on its way in."""

    __slots__ = ("buffer", "index", "size_bytes", "term")

    def __init__(self, term: int, index: int, size_bytes: int) -> None:
        self.term = term
        self.index = index
        self.size_bytes = size_bytes
        self.buffer = bytearray()

    def is_for(self, term: int, index: int, size_bytes: int) -> bool:
        """Whether a chunk so marked belongs here."""
        return self.term == term and self.index == index and self.size_bytes == size_bytes

    def take(self, offset: int, data: bytes) -> bool:
        """Take a chunk if it is the next one; say whether the snapshot is complete."""
        if offset == len(self.buffer) and offset + len(data) <= self.size_bytes:
            self.buffer += data
        return len(self.buffer) == self.size_bytes
