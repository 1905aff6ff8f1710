"""Step checks of consensus: every write of every replica goes past here, before any message that depends on it.

The storage port is where a replica's terms, votes and entries become real, so nothing can be missed between two
looks. From it each replica's log is mirrored; what its commit index covers has to agree with everybody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from casty.consensus import Core, Entry, Membership, Restored, Role
from casty.consensus.membership import decode

from ..violation import Violation, ViolationError

__all__ = ["GroupKey", "Logs"]

GroupKey = tuple[int, int]
"""(group number, epoch)."""

_DATA, _MEMBERSHIP = 0, 2


def _ignore(key: GroupKey, core: Core) -> None:
    """Nobody wants to know."""


def _always() -> bool:
    """Say that it may."""
    return True


class _Mirror:
    """What one replica has written: its entries from `first` on."""

    __slots__ = ("commit", "entries", "first", "kept_from", "led", "term", "vote")

    def __init__(self) -> None:
        self.first = 1
        self.entries: list[Entry] = []
        self.commit = 0
        self.kept_from = 1
        self.term = 0
        self.vote: str | None = None
        self.led: tuple[int, int] = (0, 0)
        """The term that it leads in, and what was committed here when that began."""

    def write(self, first: int, entries: Sequence[Entry]) -> None:
        """Put entries in, over what was there."""
        del self.entries[first - self.first :]
        self.entries.extend(entries)

    def restart(self, first: int) -> None:
        """Begin anew after a snapshot."""
        self.first = first
        self.entries = []


class _Canon(NamedTuple):
    """What a group has committed, by index, and its configurations in order."""

    entries: dict[int, Entry]
    memberships: list[tuple[int, Membership]]


class Logs:
    """Invariants 10 to 13, over all groups of a world.

    Parameters
    ----------
    on_committed
        Told of every entry that is committed anywhere, once, in order: (group, index, entry).
    on_leader
        Told when somebody leads in a new term.
    on_heir
        Told when that one does not know all entries before its own to be committed: (group, its core).
    on_joint
        Told when a leader writes a joint configuration: (group, its core).
    """

    def __init__(
        self,
        on_committed: Callable[[GroupKey, int, Entry], None],
        on_leader: Callable[[], None],
        on_heir: Callable[[GroupKey, Core], None] = _ignore,
        on_joint: Callable[[GroupKey, Core], None] = _ignore,
    ) -> None:
        self._on_committed = on_committed
        self._on_leader = on_leader
        self._on_heir = on_heir
        self._on_joint = on_joint
        self.may_shrink: Callable[[], bool] = _always
        """Whether the group of a slot may have fewer voters than before: a crash is no reason."""
        self._mirrors: dict[tuple[str, GroupKey], _Mirror] = {}
        self._canons: dict[GroupKey, _Canon] = {}
        self._written: dict[tuple[GroupKey, int, int], tuple[bytes, int]] = {}
        self._leaders: dict[tuple[GroupKey, int], str] = {}
        self._votes: dict[tuple[GroupKey, int, str], dict[str, None]] = {}
        """By group, term and candidate: who wrote a vote for it."""
        self.counts = {
            "leaders": 0,
            "learners": 0,
            "joint changes": 0,
            "snapshots installed": 0,
            "truncations": 0,
            "compactions": 0,
        }

    def committed(self, key: GroupKey) -> int:
        """Return how far a group is committed."""
        canon = self._canons.get(key)
        return 0 if canon is None else max(canon.entries, default=0)

    def entry(self, key: GroupKey, index: int) -> Entry | None:
        """Return a committed entry."""
        canon = self._canons.get(key)
        return None if canon is None else canon.entries.get(index)

    def written(self, write: Any, core: Core) -> None:
        """Take one write of a replica, its core as it is then."""
        key: GroupKey = (write.group, write.epoch)
        mirror = self._mirrors.get((core.id, key))
        if mirror is None:
            mirror = self._mirrors[core.id, key] = _Mirror()
        if write.hard_state is not None:
            self._check_hard_state(mirror, write.hard_state, core, key)
        if write.snapshot is not None:
            self.counts["snapshots installed"] += 1
            mirror.restart(write.snapshot.index + 1)
            mirror.commit = max(mirror.commit, write.snapshot.index)
        if write.entries:
            self._check_entries(mirror, write.first_index, write.entries, core, key)
        self.counts["compactions"] += core.first_index > mirror.kept_from and write.snapshot is None
        mirror.kept_from = core.first_index
        if core.role is Role.LEADER:
            self._check_leader(core, key)
            self._check_rule(mirror, core, key)
        if core.commit > mirror.commit:
            self._advance(mirror, core, key)

    def restarted(self, id: str, key: GroupKey, restored: Restored) -> None:
        """A process goes on with what the disk has of a replica; what it wrote besides was told nobody."""
        former, mirror = self._mirrors.get((id, key)), _Mirror()
        mirror.term, mirror.vote = restored.term, restored.vote
        mirror.first = mirror.kept_from = (restored.offset or 0) + 1
        mirror.entries = list(restored.entries)
        mirror.commit = 0 if restored.snapshot is None else restored.snapshot.index
        self._mirrors[id, key] = mirror
        for (group, term, candidate), voters in self._votes.items():
            is_lost = term > restored.term or (term == restored.term and candidate != restored.vote)
            if group == key and is_lost:
                voters.pop(id, None)
        for index, entry in enumerate(
            [] if former is None else former.entries, former.first if former else 1
        ):
            if not self._has(key, index, entry.term):
                self._written.pop((key, index, entry.term), None)

    def _has(self, key: GroupKey, index: int, term: int) -> bool:
        """Whether any replica has an entry, or had it when the entry was committed."""
        known = self.entry(key, index)
        if known is not None and known.term == term:
            return True
        return any(
            0 <= index - mirror.first < len(mirror.entries)
            and mirror.entries[index - mirror.first].term == term
            for (_, group), mirror in self._mirrors.items()
            if group == key
        )

    # -- terms and leaders

    def _check_hard_state(
        self, mirror: _Mirror, hard_state: tuple[int, str | None], core: Core, key: GroupKey
    ) -> None:
        term, vote = hard_state
        if term < mirror.term:
            _broken(12, core, key, f"the term went from {mirror.term} back to {term}")
        if term == mirror.term and mirror.vote is not None and vote != mirror.vote:
            _broken(12, core, key, f"in term {term} the vote went from {mirror.vote} to {vote}")
        mirror.term, mirror.vote = term, vote
        if vote is not None:
            self._votes.setdefault((key, term, vote), {})[core.id] = None

    def _check_leader(self, core: Core, key: GroupKey) -> None:
        known = self._leaders.get((key, core.term))
        if known is None:
            self._leaders[key, core.term] = core.id
            self.counts["leaders"] += 1
            self._on_leader()
            # Its own empty entry is the last one.
            if core.commit < core.last_index - 1:
                self._on_heir(key, core)
        elif known != core.id:
            _broken(10, core, key, f"in term {core.term} both {known} and {core.id} lead")
        membership = core.membership
        # Its newest configuration may be one that only it holds, and that it has to finish; a start forgets what is
        # committed, so this may then be the configuration of the founding.
        voting = (membership, core.committed_membership)
        if known is None and not any(one is not None and one.has_voter(core.id) for one in voting):
            _broken(17, core, key, f"leads in term {core.term} without a vote in {membership}")
        if known is None:
            self._check_votes(core, key)

    def _check_votes(self, core: Core, key: GroupKey) -> None:
        """Whoever leads has the votes of a majority; of both, where two configurations count (10)."""
        votes, membership = self._votes.get((key, core.term, core.id), {}), core.membership
        for voters in () if membership is None else (membership.voters, membership.outgoing):
            given = [voter for voter in voters if voter in votes]
            if voters and 2 * len(given) <= len(voters):
                _broken(10, core, key, f"leads in term {core.term} with the votes of {given} out of {voters}")

    def _check_rule(self, mirror: _Mirror, core: Core, key: GroupKey) -> None:
        """A leader counts for entries of its own term only: those before them may still be written over (11).

        By the time it writes for the first time it may have committed what the leader before told it of, and no more.
        """
        if mirror.led[0] != core.term:
            mirror.led = (core.term, max(core.commit, mirror.commit))
        at = core.commit - mirror.first
        if (
            core.commit > mirror.led[1]
            and 0 <= at < len(mirror.entries)
            and mirror.entries[at].term < core.term
        ):
            text = f"committed entry {core.commit} of term {mirror.entries[at].term} by count in term {core.term}"
            _broken(11, core, key, text)

    # -- entries

    def _check_entries(
        self, mirror: _Mirror, first: int, entries: Sequence[Entry], core: Core, key: GroupKey
    ) -> None:
        if first < mirror.first + len(mirror.entries):
            self.counts["truncations"] += 1
            if first <= mirror.commit:
                _broken(
                    11, core, key, f"entry {first} is written over, but {mirror.commit} was committed here"
                )
        mirror.write(first, entries)
        if core.role is Role.LEADER and any(
            entry.kind == _MEMBERSHIP and decode(entry.data).outgoing for entry in entries
        ):
            self._on_joint(key, core)
        before = self._term_before(mirror, first)
        for index, entry in enumerate(entries, first):
            known = self._written.setdefault((key, index, entry.term), (entry.data, before))
            if known[0] != entry.data or (before and known[1] and known[1] != before):
                _broken(11, core, key, f"two entries of index {index} and term {entry.term} differ")
            before = entry.term

    def _term_before(self, mirror: _Mirror, first: int) -> int:
        at = first - mirror.first - 1
        return mirror.entries[at].term if 0 <= at < len(mirror.entries) else 0

    def _advance(self, mirror: _Mirror, core: Core, key: GroupKey) -> None:
        canon = self._canons.setdefault(key, _Canon({}, []))
        for index in range(max(mirror.commit + 1, mirror.first), core.commit + 1):
            at = index - mirror.first
            if at >= len(mirror.entries):
                _broken(11, core, key, f"{core.commit} is committed here, but entry {index} is not")
            entry = mirror.entries[at]
            known = canon.entries.get(index)
            if known is None:
                canon.entries[index] = entry
                self._committed(canon, key, index, entry, core)
            elif known.term != entry.term or known.data != entry.data or known.kind != entry.kind:
                _broken(
                    11,
                    core,
                    key,
                    f"committed entry {index} was of term {known.term}, here it is of {entry.term}",
                )
        mirror.commit = core.commit

    def _committed(self, canon: _Canon, key: GroupKey, index: int, entry: Entry, core: Core) -> None:
        if entry.kind == _MEMBERSHIP:
            self._check_membership(canon, key, index, decode(entry.data), core)
        elif entry.kind == _DATA:
            self._on_committed(key, index, entry)

    def _check_membership(
        self, canon: _Canon, key: GroupKey, index: int, after: Membership, core: Core
    ) -> None:
        self.counts["learners"] += bool(after.learners)
        self.counts["joint changes"] += bool(after.outgoing)
        if canon.memberships:
            _, before = canon.memberships[-1]
            if not _is_adjacent(before, after):
                _broken(13, core, key, f"entry {index} goes from {before} to {after} in one step")
            # Of an even number one is on its way: it tolerates no more losses than the odd number below.
            size = len(before.outgoing) - 1 + len(before.outgoing) % 2
            is_smaller = before.outgoing and len(after.voters) < size
            if key[0] and is_smaller and not self.may_shrink():
                _broken(
                    58,
                    core,
                    key,
                    f"entry {index} leaves {after.voters} of {before.outgoing}, and nobody left",
                )
        canon.memberships.append((index, after))


def _is_adjacent(before: Membership, after: Membership) -> bool:
    """Whether every majority of one configuration meets every majority of the other."""
    if before.outgoing and not after.outgoing:
        return after.voters == before.voters
    if after.outgoing and not before.outgoing:
        return after.outgoing == before.voters
    if before.outgoing or after.outgoing:
        return (before.voters, before.outgoing) == (after.voters, after.outgoing)
    gone = [voter for voter in before.voters if voter not in after.voters]
    come = [voter for voter in after.voters if voter not in before.voters]
    return len(gone) + len(come) <= 1


def _broken(number: int, core: Core, key: GroupKey, text: str) -> None:
    raise ViolationError(Violation(number, f"group {key[0]} epoch {key[1]} at {core.id}", text))
