"""States of groups on their way out and in: dumped and restored in parts, one part a turn. One per process.

A state may be of any size, and a turn that encodes or decodes a whole one keeps the process from everything else:
heartbeats stop, leaderships fall, and the next leader does the same. So a turn makes or restores one part and lets
others run; one state at a time is dumped; the consensus core asks for parts no further ahead than its window. A dump
is of one index although entries are applied meanwhile, see `slots/dump.py`; a restore builds a new state beside the
old one.

A dump ends when its peer has the state, is given up, or the leadership is over; whatever is left of it goes then.

Where replicas are kept on a disk, a state goes there as well, in the same parts and one at a time: of its own when the
log there has become long, and what comes in from a leader, before that is acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from casty.consensus import Core, Outbound, Snapshot
from casty.consensus.snapshot import Inbound
from casty.durable.book import Book
from casty.ports import Clock

MAX_UNKEPT_PARTS = 4
"""Parts of our own state that may be on their way to the disk."""

__all__ = ["Dump", "Load", "Transferred", "Transfers", "Whole", "WholeLoad"]


class Dump(Protocol):
    """A machine's state at one index, part by part."""

    def next_part(self) -> tuple[bytes, bool]:
        """Return the next part and whether it is the last one."""
        ...

    def close(self) -> None:
        """Hold nothing back any more; harmless when done already."""


class Load(Protocol):
    """A state that is being put together."""

    @property
    def size_bytes(self) -> int:
        """About what is put together so far takes."""
        ...

    def take(self, part: bytes) -> None:
        """Take the next part."""

    def finish(self) -> None:
        """Put the state in the place of the machine's."""


class TransferredReplica(Protocol):
    """What is asked of a replica."""

    def begin_dump(self) -> Dump:
        """Begin to dump the machine's present state."""
        ...

    def begin_load(self) -> Load:
        """Begin to put another state together."""
        ...


class Transferred(Protocol):
    """What is asked of a group."""

    applied_index: int

    @property
    def number(self) -> int:
        """Its number."""
        ...

    @property
    def core(self) -> Core:
        """Its consensus."""
        ...

    @property
    def replica(self) -> TransferredReplica:
        """What is dumped and restored."""
        ...


class Whole(Dump):
    """A small state that is one value: dumped at once and cut."""

    def __init__(self, data: bytes, part_bytes: int) -> None:
        self._data = data
        self._part_bytes = part_bytes
        self._offset = 0

    def next_part(self) -> tuple[bytes, bool]:
        """See `Dump.next_part`."""
        part = self._data[self._offset : self._offset + self._part_bytes]
        self._offset += self._part_bytes
        return part, self._offset >= len(self._data)

    def close(self) -> None:
        """See `Dump.close`."""


class WholeLoad(Load):
    """The same on its way in."""

    def __init__(self, load: Callable[[bytes], None]) -> None:
        self._load = load
        self._data = bytearray()

    @property
    def size_bytes(self) -> int:
        """See `Load.size_bytes`."""
        return len(self._data)

    def take(self, part: bytes) -> None:
        """See `Load.take`."""
        self._data += part

    def finish(self) -> None:
        """See `Load.finish`."""
        self._load(bytes(self._data))


class _Sending(NamedTuple):
    group: Transferred
    peer: str
    outbound: Outbound
    dump: Dump


class _Keeping(NamedTuple):
    """Our own state on its way to the disk."""

    group: Transferred
    snapshot: Snapshot
    dump: Dump


class _Receiving(NamedTuple):
    group: Transferred
    inbound: Inbound
    load: Load


class Transfers:
    """The states on their way.

    Parameters
    ----------
    clock
        The host's.

    Attributes
    ----------
    receiving
        States that are being put together, by group; one goes with its inbound snapshot.
    book
        Where replicas are kept; None where memory is all there is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[int, Transferred] = {}
        """Groups with a peer that needs a state, by number, in the order in which they get their turn."""
        self._sending: _Sending | None = None
        self._long: dict[int, Transferred] = {}
        """Groups whose log on the disk is long, by number, in the order in which they get their turn."""
        self._keeping: _Keeping | None = None
        self._unkept_parts = 0
        self.book: Book | None = None
        self.receiving: dict[int, _Receiving] = {}
        self._loadable: dict[int, Transferred] = {}
        """Groups with parts to restore, by number, in the order in which they get their turn."""

    def wanted(self, group: Transferred) -> None:
        """A peer of the group needs its state."""
        self._waiting.setdefault(group.number, group)

    def wanted_here(self, group: Transferred) -> None:
        """The group's log on the disk is long: its state is to take the log's place."""
        if self._keeping is None or self._keeping.group is not group:
            self._long.setdefault(group.number, group)

    def arrived(self, group: Transferred) -> None:
        """Parts of a state wait to be restored."""
        self._loadable.setdefault(group.number, group)

    def dropped(self, group: Transferred) -> None:
        """The group takes no state in any more, or none yet: what was put together for it goes."""
        self.receiving.pop(group.number, None)

    def forget(self, group: Transferred) -> None:
        """The group is gone from here."""
        self._waiting.pop(group.number, None)
        self._loadable.pop(group.number, None)
        self.receiving.pop(group.number, None)
        if self._sending is not None and self._sending.group is group:
            self._end_sending()
        self._end_keeping(group)

    @property
    def size_bytes(self) -> int:
        """What is restored and not in its place yet, what waits to be restored, and what a peer does not have yet."""
        restored = sum(row.load.size_bytes for row in self.receiving.values())
        inbound = [group.core.inbound for group in self._loadable.values()]
        parts = [part for one in inbound if one is not None for part in one.parts]
        if self._sending is not None:
            parts += self._sending.outbound.parts
        return restored + sum(len(part.data) for part in parts)

    @property
    def is_due(self) -> bool:
        """Whether a turn of ours would do something."""
        sending, keeping = self._sending, self._keeping
        if self._loadable:
            return True
        if keeping is not None:
            return self._unkept_parts < MAX_UNKEPT_PARTS
        if sending is None:
            return bool(self._waiting or self._long)
        return self._is_over(sending) or sending.group.core.wants_part(sending.outbound)

    def next_group(self) -> Transferred | None:
        """Return whose turn it is; `work` for it. States that come in go first: somebody holds parts for them."""
        if self._loadable:
            return next(iter(self._loadable.values()))
        if self._sending is not None and self._is_over(self._sending):
            self._end_sending()
        if self._sending is not None:
            return self._sending.group
        if self._keeping is not None:
            return self._keeping.group
        return next(iter(self._waiting.values()), None) or next(iter(self._long.values()), None)

    def work(self, group: Transferred) -> None:
        """Restore or make one part."""
        if self._loadable.pop(group.number, None) is not None:
            self._restore(group)
        elif self._keeping is not None:
            self._keep(self._keeping)
        elif self._sending is None:
            self._begin(group)
        elif group.core.wants_part(self._sending.outbound):
            data, is_last = self._sending.dump.next_part()
            group.core.provide_part(self._clock.now(), self._sending.outbound, data, is_last)
            if is_last:
                self._sending.dump.close()

    def _begin(self, group: Transferred) -> None:
        if self._waiting.pop(group.number, None) is None:
            self._begin_keeping(group)
            return
        peer = group.core.begin_snapshot(self._clock.now(), group.applied_index)
        outbound = None if peer is None else group.core.outbound(peer)
        if peer is not None and outbound is not None:
            self._sending = _Sending(group, peer, outbound, group.replica.begin_dump())

    def _begin_keeping(self, group: Transferred) -> None:
        self._long.pop(group.number, None)
        core, index = group.core, group.applied_index
        since, membership = core.history.item_at(index)
        # A state that is on its way in takes the log's place as well.
        if core.inbound is None and membership is not None and index >= core.log.offset:
            snapshot = Snapshot(index, core.log.term_at(index), membership, since)
            self._keeping = _Keeping(group, snapshot, group.replica.begin_dump())

    def _keep(self, keeping: _Keeping) -> None:
        group, snapshot, log = keeping.group, keeping.snapshot, keeping.group.core.log
        assert self.book is not None, "only where there is a book a state is kept"
        data, is_last = keeping.dump.next_part()
        self.book.keep_part(group.number, keeping, data)
        if is_last:
            # What the log still has here stays there as well, for peers a little behind.
            kept = min((log.offset, log.offset_term), (snapshot.index, snapshot.term))
            self.book.finish_own(group.number, keeping, snapshot, *kept)
            self._end_keeping(group)
        self._unkept_parts += 1
        self.book.flush(self._part_kept)

    def halted(self) -> None:
        """Nothing is kept any more, and nobody is told of what was on its way."""
        self._unkept_parts = 0

    def _part_kept(self) -> None:
        self._unkept_parts -= 1

    def _end_keeping(self, group: Transferred) -> None:
        self._long.pop(group.number, None)
        if self._keeping is not None and self._keeping.group is group:
            self._keeping.dump.close()
            self._keeping = None

    @staticmethod
    def _is_over(sending: _Sending) -> bool:
        return sending.group.core.outbound(sending.peer) is not sending.outbound

    def _end_sending(self) -> None:
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.dump.close()

    def _restore(self, group: Transferred) -> None:
        inbound = group.core.inbound
        receiving = self.receiving.get(group.number)
        if receiving is not None and receiving.inbound is not inbound:
            # Another snapshot, or none any more: what was put together of the former one goes.
            receiving = None
            del self.receiving[group.number]
        if inbound is None or not inbound.parts:
            return
        if receiving is None:
            receiving = _Receiving(group, inbound, group.replica.begin_load())
            self.receiving[group.number] = receiving
        receiving.load.take(inbound.parts[0].data)
        if self.book is not None:
            self._end_keeping(group)
            state = (inbound.term, inbound.snapshot.index, inbound.began_ns)
            self.book.keep_part(group.number, state, inbound.parts[0].data)
        is_last = inbound.parts[0].is_last
        if group.core.part_restored(inbound):
            receiving.load.finish()
            group.applied_index = inbound.snapshot.index
        if is_last:
            del self.receiving[group.number]
        if inbound.parts:
            self.arrived(group)
