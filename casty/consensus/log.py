"""The log of one replica: a compacted prefix known by its last index and term, and the entries after it.

Raft paper, sections 5.3 and 7. Indexes start at 1; ``offset`` entries are compacted away. An entry at or
below the commit index is never removed but by compaction - `truncate` is asserted against it by its callers.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DATA", "MEMBERSHIP", "NOOP", "Entry", "Log", "bytes_of"]

DATA = 0
NOOP = 1
MEMBERSHIP = 2


class Entry(NamedTuple):
    """One log entry: data (0), the empty entry of a new leader (1), or a configuration (2)."""

    term: int
    kind: int
    data: bytes


def bytes_of(entries: list[Entry]) -> int:
    """Return the data bytes of some entries."""
    # Mostly of one or two: a loop is the cheapest then, and no worse for many.
    size_bytes = 0
    for entry in entries:
        size_bytes += len(entry[2])
    return size_bytes


class Log:
    """Entries after a compacted prefix."""

    __slots__ = ("entries", "last_index", "last_term", "offset", "offset_term", "size_bytes")

    def __init__(self, offset: int = 0, offset_term: int = 0) -> None:
        self.offset = offset
        self.offset_term = offset_term
        self.entries: list[Entry] = []
        self.last_index = offset
        self.last_term = offset_term
        self.size_bytes = 0
        """Data bytes of the entries held, without what an entry costs besides."""

    def term_at(self, index: int) -> int:
        """Return the term of the entry at `index`, which is held or is the last compacted one."""
        if index == self.offset:
            return self.offset_term
        assert self.offset < index <= self.last_index, (self.offset, index, self.last_index)
        return self.entries[index - self.offset - 1].term

    def matches(self, index: int, term: int) -> bool:
        """Whether this log holds an entry of that index and term."""
        if index == self.last_index:
            return term == self.last_term
        if index < self.offset or index > self.last_index:
            return False
        return self.term_at(index) == term

    def append(self, entry: Entry) -> int:
        """Add an entry at the end and return its index."""
        term, _, data = entry
        assert term >= self.last_term, (term, self.last_term)
        self.entries.append(entry)
        self.size_bytes += len(data)
        self.last_index += 1
        self.last_term = term
        return self.last_index

    def extend(self, entries: list[Entry]) -> None:
        """Add entries at the end; their terms do not decrease."""
        if entries:
            first, last = entries[0], entries[-1]
            assert first[0] >= self.last_term, (first[0], self.last_term)
            self.entries.extend(entries)
            self.size_bytes += len(first[2]) if len(entries) == 1 else bytes_of(entries)
            self.last_index += len(entries)
            self.last_term = last[0]

    def slice(self, first: int, last: int) -> list[Entry]:
        """Return the entries from `first` to `last`, both included."""
        assert first > self.offset, (first, self.offset)
        return self.entries[first - self.offset - 1 : last - self.offset]

    def truncate(self, first: int) -> None:
        """Remove the entry at `first` and all after it."""
        assert self.offset < first <= self.last_index, (self.offset, first, self.last_index)
        self.size_bytes -= bytes_of(self.slice(first, self.last_index))
        del self.entries[first - self.offset - 1 :]
        self.last_index = first - 1
        self.last_term = self.term_at(first - 1)

    def conflict(self, index: int, term: int) -> tuple[int, int]:
        """Return the last (index, term) here at or below `index` whose term is not above `term`.

        Both ends use it to walk back a whole term at a time (section 5.3, last paragraphs): at most one
        rejection for each term in which the logs differ. A compacted prefix answers with its end.
        """
        index = min(index, self.last_index)
        while index > self.offset and self.term_at(index) > term:
            index -= 1
        return max(index, self.offset), self.term_at(max(index, self.offset))

    def compact(self, index: int) -> int:
        """Forget entries up to `index`, and return how many bytes they had."""
        if index <= self.offset:
            return 0
        term = self.term_at(index)
        dropped_bytes = bytes_of(self.slice(self.offset + 1, index))
        del self.entries[: index - self.offset]
        self.size_bytes -= dropped_bytes
        self.offset = index
        self.offset_term = term
        return dropped_bytes

    def retained_from(self, index: int, max_entries: int, max_bytes: int) -> int:
        """Return up to where the log may go when a tail before `index` is kept within both bounds."""
        kept_bytes = 0
        lowest = max(index - max_entries, self.offset)
        while index > lowest:
            kept_bytes += len(self.entries[index - self.offset - 1].data)
            if kept_bytes > max_bytes:
                break
            index -= 1
        return index
