"""Records of one group back into what its replica was. Pure; whatever does not fit together is `Corrupt`.

Nothing is repaired here: a replica of which anything is lost has lost what it voted or acknowledged, and must not speak
under its name any more. It is begun anew, under another one, and filled from the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from casty.consensus import Entry, Restored
from casty.durable.records import (
    Corrupt,
    GroupRow,
    Head,
    decode_entry,
    decode_hard_state,
    decode_head,
    hard_key,
    head_key,
    index_of,
    log_key,
)

__all__ = ["Stored", "load_group"]

Rows = Sequence[tuple[bytes, bytes]]


class Stored(NamedTuple):
    """A replica as its disk has it; the parts of its state are read apart."""

    row: GroupRow
    restored: Restored
    head: Head | None
    log_bytes: int


def load_group(group: int, row: GroupRow, rows: Rows, quiet_ns: int) -> Stored:
    """Put a replica together from its records other than parts.

    Parameters
    ----------
    group, row
        Which one.
    rows
        Its term and vote, its snapshot's head and its log, by key.
    quiet_ns
        How long its former processes promised to keep quiet.

    Raises
    ------
    Corrupt
        When a record is damaged, missing or from another time than the others.
    """
    term, vote, head = 0, None, None
    entries: list[Entry] = []
    first, log_bytes = 0, 0
    hard, heads, prefix = hard_key(group), head_key(group), log_key(group, 0)[:6]
    for key, value in rows:
        if key == hard:
            term, vote = decode_hard_state(group, value)
        elif key == heads:
            head = decode_head(group, value)
        elif key.startswith(prefix):
            first = first or index_of(key)
            if index_of(key) != first + len(entries):
                raise Corrupt(f"the log lacks entry {first + len(entries)}")
            entries.append(decode_entry(key, value))
            log_bytes += len(value)
    _check(term, head, first, entries)
    snapshot = None if head is None else head.snapshot
    offset, offset_term = (0, 0) if head is None else (head.offset, head.offset_term)
    restored = Restored(term, vote, snapshot, entries, offset, offset_term, quiet_ns)
    return Stored(row, restored, head, log_bytes)


def _check(term: int, head: Head | None, first: int, entries: Sequence[Entry]) -> None:
    offset = 0 if head is None else head.offset
    if entries and first != offset + 1:
        raise Corrupt(f"the log begins with entry {first}, expected {offset + 1}")
    if head is not None and offset + len(entries) < head.snapshot.index:
        raise Corrupt(f"the log ends before entry {head.snapshot.index}, for which the snapshot stands")
    before = 0 if head is None else head.offset_term
    for entry in entries:
        if entry.term < before:
            raise Corrupt(f"the log goes from term {before} back to {entry.term}")
        before = entry.term
    if before > term or (head is not None and head.snapshot.term > term):
        raise Corrupt(f"the log has term {before}, but the replica was never in a term above {term}")
