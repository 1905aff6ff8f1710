"""The replica host: every consensus group of a node, driven together. One per node.

A turn of the event loop steps cores; `settle` then does all their work at once: one storage batch, one
consensus frame per peer, then the applies. One timer serves all groups. A message never creates a group.

Identity: a consensus message carries its group and epoch; node id and incarnation of both ends are those of
the link, fixed by its handshake: a message of a dead process never arrives under its successor's name. Behind
them stands, on both ends, how often the process began the replica anew; see `node/replica_repair.py`.

A failure - any exception while a replica steps, is asked, stores, applies, restores or dumps - ends that replica and
no other. Its core is gone in the same turn: what it staged before is as true as the last words of a crashed process.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import starmap
from typing import Any, NamedTuple, TypeVar

from casty.address import process_of, replica_id, replica_number
from casty.cluster.multiraft.group import Group, Replica, Write
from casty.cluster.multiraft.numbers import slot_of
from casty.cluster.multiraft.snapshot_transfers import Transfers
from casty.consensus import Membership, Ready, Rounds, messages
from casty.consensus.log import DATA
from casty.durable.book import Book
from casty.errors import RemoteProtocolError
from casty.events import ReplicaFailed
from casty.ports import Runtime, Timer
from casty.tuples import new_tuple
from casty.wire import frames
from casty.wire.pack import pack, unpack

__all__ = ["Group", "Host", "Replica", "Send", "Write"]

log = logging.getLogger("casty.node")

GRAIN_NS = 10_000_000

KIND, TERM = 0, 1
"""Where a message of the consensus core has what it is, and of which term."""

TICKED_AT_ONCE = 256
"""Groups whose deadlines are worked off in one turn: all may be due when a node died, and each asks for votes."""

MAX_REPLICA_NUMBER = 2**31

OF_LEADERS = (messages.APPEND, messages.SNAPSHOT, messages.TIMEOUT_NOW)
"""Messages that say nothing of what their sender has stored."""

_NO_NUMBERS = (0, 0)
"""Those of replicas that were not begun anew."""

R = TypeVar("R")

Send = Callable[[str, int, bytes], bool]
"""Stages a frame for a peer key; False when there is no link to exactly that process."""


Hears = Callable[["Group", list[Any]], bool]
"""Says whether a group steps a message of whoever sent the frame."""


class Ended(NamedTuple):
    """A replica that is over: of which group of its number, and the how-manieth of this process."""

    epoch: int
    replica_number: int


def _ignore(*told: object) -> None:
    del told


class Host:
    """All groups of one process.

    Parameters
    ----------
    runtime
        The ports.
    send
        Stages a frame for a peer key.
    max_frame_bytes
        The largest frame a peer takes.
    on_failed
        Told of a group whose replica failed here, when it is gone.
    on_role
        Told of a group that began or ceased to be led, here or elsewhere, and of one that goes.

    Attributes
    ----------
    book
        Where replicas are kept over restarts; None where memory is all there is.

    Bounds: `groups` and `led` have a row per group here at most; `_dirty` and `_out` are empty after each turn;
    `_deadlines` has a row for each time that a group was armed and is not due yet: the next is armed only earlier.
    """

    def __init__(
        self,
        runtime: Runtime,
        send: Send,
        max_frame_bytes: int,
        *,
        on_failed: Callable[[Group, Exception], None] = _ignore,
        on_role: Callable[[Group], None] = _ignore,
    ) -> None:
        self.groups: dict[int, Group] = {}
        self.led: dict[int, Group] = {}
        """The groups led here, so that quiet followers cost nothing at a heartbeat; ask `is_leading` as well."""
        self.rounds = Rounds()
        self._on_failed = on_failed
        self._on_role = on_role
        self._clock = runtime.clock
        self._observe = runtime.observe
        self.storage = runtime.storage  # takes what each turn writes; the book, where there is one
        self.book: Book | None = None
        self._stored_batches = 0
        self._send = send
        self._max_frame_bytes = max_frame_bytes
        self._dirty: list[Group] = []
        self._out: dict[str, list[list[object]]] = {}
        self._deadlines: list[tuple[int, int]] = []
        self._timer: Timer | None = None
        self._timer_ns = 0
        self.is_closed = False  # once true it stays so: the groups are not driven any more
        self._transfers = Transfers(runtime.clock)
        self._ended: dict[int, Ended] = {}
        """By group number: the last replica of it that ended here; at most a row per group."""
        self._is_transfer_set = False

    @property
    def transfer_bytes(self) -> int:
        """What states on their way take that are in no machine, and in no log."""
        return self._transfers.size_bytes

    def keep_in(self, book: Book) -> None:
        """Keep all replicas in a book, before there is any."""
        assert not self.groups
        self.book = self._transfers.book = book
        self.storage = book
        book.on_halted = self._halted

    def add(self, group: Group, first: Membership | None = None, *, is_restored: bool = False) -> None:
        """Take a group on; `first` is the configuration that a new one begins with, None if it begins blank."""
        assert group.number not in self.groups
        self.groups[group.number] = group
        if self.book is not None and not is_restored:
            group.is_kept = False
            self.book.begin(group.number, group.epoch, group.replica_number, first)
        self.mark(group)

    def remove(self, number: int) -> None:
        """Drop a group and everything it knows."""
        group = self.groups.pop(number)
        self._ended[number] = Ended(group.epoch, group.replica_number)
        self._transfers.forget(group)
        self.led.pop(number, None)
        self._on_role(group)

    def give_up(self) -> list[Group]:
        """Take part in nothing any more, and return the groups as they are: whoever waits there hears so."""
        groups, self.groups = list(self.groups.values()), {}
        self.led.clear()
        self.close()
        for group in groups:
            group.replica.close()
        return groups

    def note_ended(self, number: int, epoch: int, replica_number: int) -> None:
        """A replica is over that was never here: its disk has lost it."""
        self._ended[number] = Ended(epoch, replica_number)

    def next_number(self, number: int, epoch: int) -> int:
        """Return the number of the next replica of a group here: no name is used twice (ADR 0010)."""
        ended = self._ended.get(number)
        return ended.replica_number + 1 if ended is not None and ended.epoch == epoch else 0

    def close(self) -> None:
        """Do nothing more."""
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()

    def mark(self, group: Group) -> None:
        """Say that a core may have work; `settle` looks."""
        if not group.is_dirty:
            group.is_dirty = True
            self._dirty.append(group)

    def on_consensus(self, sender: str, body: bytes, is_heard: Hears | None = None) -> None:
        """Take a consensus frame of the process `sender`, for the groups that hear it; None stands for all."""
        now_ns = self._clock.now()
        batch, groups, dirty = unpack(body), self.groups, self._dirty
        renamed: dict[int, Group] = {}
        if not isinstance(batch, list):
            raise RemoteProtocolError("consensus frame: expected a list")
        for item in batch:
            fields = len(item) if isinstance(item, list) else 0
            if fields == 3:
                number, epoch, message = item
            elif fields == 5:
                number, epoch, message, _, _ = item
            else:
                raise RemoteProtocolError("consensus frame: expected [group, epoch, message] items")
            if not isinstance(message, list):
                raise RemoteProtocolError("consensus frame: expected [group, epoch, message] items")
            if type(number) is not int:
                raise RemoteProtocolError("consensus frame: expected the number of a group")
            group = groups.get(number)
            if group is None or group.epoch != epoch:
                continue
            core = group.core
            # Whom a replica follows or its configuration names is heard with everything: `authority.hears` begins with
            # the same, and that costs two calls for every message.
            is_usual = core.leader == sender or sender in core.progress
            if not is_usual and is_heard is not None and not is_heard(group, message):
                continue
            theirs, ours = _NO_NUMBERS if fields == 3 else _numbers(item)
            if not message:
                group.renewed(sender, theirs)
            elif ours == group.replica_number:
                try:
                    core.step(now_ns, replica_id(sender, theirs) if theirs else sender, message)
                except RemoteProtocolError:
                    raise
                except Exception as error:  # fail-stop of one replica, as everywhere here: see `fail`
                    self.fail(group, error)
                if not group.is_dirty:  # as `mark`
                    group.is_dirty = True
                    dirty.append(group)
            elif ours < group.replica_number and group.is_kept:
                renamed[number] = group
        if renamed:
            self._correct(sender, renamed.values())

    def _correct(self, sender: str, groups: Iterable[Group]) -> None:
        """A process sent something to former replicas of these groups here.

        It forgot the present ones, as a leader does when a replica is no member of its group for a while.
        """
        for group in groups:
            self.announce(group, sender)

    def announce(self, group: Group, to: str) -> None:
        """Tell a process that our replica of a group is another one than it was."""
        item: list[object] = [group.number, group.epoch, [], group.replica_number, 0]
        self._out.setdefault(to, []).append(item)

    def settle(self) -> None:
        """Do everything that the cores want: persist, send, apply, until nothing is left."""
        if self.is_closed:
            return
        while self._dirty:
            batch, self._dirty = self._dirty, []
            work = self._take_ready(batch)
            if work:
                self._persist(work)
        self._set_timer()
        if self._out:
            self._send_out()
        if not self._is_transfer_set and self._transfers.is_due:
            self._is_transfer_set = True
            self._clock.call_at(self._clock.now(), self._transfer)

    def _transfer(self) -> None:
        """Restore or make one part of a state, in a turn of its own."""
        self._is_transfer_set = False
        group = None if self.is_closed else self._transfers.next_group()
        if group is None:
            return
        assert isinstance(group, Group)
        try:
            self._transfers.work(group)
        except Exception as error:  # fail-stop: see `fail`
            self.fail(group, error)
        self.mark(group)
        self.settle()

    def _persist(self, work: list[tuple[Group, Ready]]) -> None:
        """Let one batch be stored. What storage refuses at once may be stored by half, for any group of the batch.

        Storage that takes its time has called nobody back when it returns: then what need not wait for it is done now.
        """
        stored_batches = self._stored_batches
        try:
            self.storage.persist(_Writes(work), partial(self._stored, work))
        except Exception as error:  # fail-stop of all that it was to store
            for group, _ in work:
                self.fail(group, error)
            return
        if self._stored_batches == stored_batches:
            self._each(work, self._go_ahead)

    def _halted(self, error: Exception) -> None:
        """Nothing is stored any more: no replica here may vote or acknowledge anything."""
        log.error("no replica of this node takes part any more: %s", error)
        for group in list(self.groups.values()):
            self.fail(group, error, is_told=True)
        self._transfers.halted()

    def _each(self, work: list[tuple[Group, Ready]], act: Callable[[Group, Ready], None]) -> None:
        groups = self.groups
        for group, ready in work:
            if groups.get(group.number) is not group:
                continue
            try:
                act(group, ready)
            except Exception as error:  # fail-stop: see `fail`
                self.fail(group, error)

    def _take_ready(self, batch: list[Group]) -> list[tuple[Group, Ready]]:
        work: list[tuple[Group, Ready]] = []
        groups = self.groups
        for group in batch:
            group.is_dirty = False
            if groups.get(group.number) is not group:
                continue
            core = group.core
            try:
                ready = core.ready()
            except Exception as error:  # fail-stop: see `fail`
                self.fail(group, error)
                continue
            if ready is None and not group.is_kept and core.membership is None:
                ready = Ready([])  # a blank one has nothing to write but that it is there
            if ready is not None:
                work.append((group, ready))
            if core.deadline_ns < group.armed_ns or not group.armed_ns:
                self._arm(group)
        return work

    def _stored(self, work: list[tuple[Group, Ready]]) -> None:
        self._stored_batches += 1
        self._each(work, self._do)

    def _do(self, group: Group, ready: Ready) -> None:
        if ready.messages:
            self._stage(group, ready.messages)
        group.is_kept = True
        if ready.hard_state is not None and group.unkept_terms:
            group.unkept_terms -= 1
        entries = ready.entries
        if entries:
            group.core.stored(ready.first_index + len(entries) - 1, entries[-1].term)
        self._act(group, ready)

    def _stage(self, group: Group, rows: list[tuple[str, list[object]]]) -> None:
        out, number, epoch = self._out, group.number, group.epoch
        for to, message in rows:
            if group.replica_number or "~" in to:
                self._stage_anew(group, to, message)
            elif to in out:
                out[to].append([number, epoch, message])
            else:
                out[to] = [[number, epoch, message]]

    def _go_ahead(self, group: Group, ready: Ready) -> None:
        """Do what need not wait for the disk, while the rest is written; `_do` does that rest.

        Roles, applies and reads rest on what a majority stored, never on what this node did. Of messages those of a
        leader in its term go at once, if that term is on the disk: its followers write while it does, and it counts
        itself when it has written. All others say what this node promised or holds.
        """
        if ready.hard_state is not None:
            group.unkept_terms += 1
        elif group.is_leading and group.is_kept and not group.unkept_terms and ready.messages:
            early: list[tuple[str, list[object]]] = []
            late: list[tuple[str, list[object]]] = []
            for row in ready.messages:
                _, message = row
                is_early = message[KIND] in OF_LEADERS and message[TERM] == group.core.term
                (early if is_early else late).append(row)
            ready.messages = late
            self._stage(group, early)
        self._act(group, ready)
        ready.role_changed = ready.needs_snapshot = False
        ready.committed = ready.reads = ready.reads_refused = ()

    def _act(self, group: Group, ready: Ready) -> None:
        core, replica = group.core, group.replica
        if core.inbound is not None:
            self._transfers.arrived(group)
        elif self._transfers.receiving:
            self._transfers.dropped(group)
        if ready.role_changed:
            self._note_role(group)
            replica.role_changed(group)
        if ready.committed:
            self._apply(group, ready)
        if ready.reads:
            for token, _ in ready.reads:
                replica.serve_read(token)
        if ready.reads_refused:
            for token in ready.reads_refused:
                replica.refuse_read(token)
        if ready.needs_snapshot:
            self._transfers.wanted(group)
        if core.dirty:
            self.mark(group)
        elif core.deadline_ns < group.armed_ns or not group.armed_ns:
            self._arm(group)

    def _stage_anew(self, group: Group, to: str, message: object) -> None:
        """Stage a message between replicas of which at least one was begun anew."""
        numbers = (group.replica_number, replica_number(to))
        self._out.setdefault(process_of(to), []).append([group.number, group.epoch, message, *numbers])

    def ask(self, group: Group, work: Callable[..., R], *arguments: Any) -> R | None:
        """Let a group's replica do something; it ends when it raises, and None is returned: `has` tells.

        `RemoteProtocolError`, what is wrong with the question, is raised.
        """
        try:
            return work(*arguments)
        except RemoteProtocolError:
            raise
        except Exception as error:  # fail-stop: see `fail`
            self.fail(group, error)
            return None

    def has(self, group: Group) -> bool:
        """Whether a group is still here."""
        return self.groups.get(group.number) is group

    def fail(self, group: Group, error: Exception, *, is_told: bool = False) -> None:
        """End a replica whose state nobody can trust any more; everybody else goes on. Harmless when it is gone."""
        if not self.has(group):
            return
        self.remove(group.number)
        if not is_told:
            log.error("%s failed and takes no part any more", _name(group), exc_info=error)
        try:
            group.replica.close()
        except Exception:  # it ends anyhow
            log.exception("%s: whoever waited there is not told", _name(group))
        if self._observe:
            self._observe(ReplicaFailed(group.number, group.epoch, f"{type(error).__name__}: {error}"))
        self._on_failed(group, error)

    def _note_role(self, group: Group) -> None:
        if not group.is_leading:
            self.led.pop(group.number, None)
        elif group.number not in self.led:
            self.led[group.number] = group
        self._on_role(group)

    def _apply(self, group: Group, ready: Ready) -> None:
        index, committed = ready.committed_first, ready.committed
        if index <= group.applied_index:
            # A state that was restored while they were on their way to the disk has them already.
            committed = committed[group.applied_index + 1 - index :]
            index = group.applied_index + 1
        apply = group.replica.apply
        for entry in committed:
            if entry.kind == DATA:
                apply(index, entry)
            index += 1
        if committed:
            group.applied_index = index - 1
            if group.core.is_log_full:
                group.core.compact(group.applied_index)
            if self.book is not None and self.book.is_log_long(group.number):
                self._transfers.wanted_here(group)

    def _send_out(self) -> None:
        out, self._out = self._out, {}
        for to, items in out.items():
            self._send_batch(to, items)

    def _send_batch(self, to: str, items: list[list[object]]) -> None:
        body = pack(items)
        if len(body) + 5 > self._max_frame_bytes and len(items) > 1:
            half = len(items) // 2
            self._send_batch(to, items[:half])
            self._send_batch(to, items[half:])
            return
        self._send(to, frames.CONSENSUS, body)

    def _arm(self, group: Group) -> None:
        deadline_ns = group.core.deadline_ns
        if group.armed_ns == 0 or deadline_ns < group.armed_ns:
            group.armed_ns = deadline_ns
            heapq.heappush(self._deadlines, (deadline_ns, group.number))

    def _set_timer(self) -> None:
        if not self._deadlines or self.is_closed:
            return
        if self._timer is not None and self._deadlines[0][0] > self._timer_ns - GRAIN_NS:
            return  # the timer is on the grid, and no later than what is due first
        # On a grid, so that groups which are due nearly together wake the process once.
        earliest_ns = -(-self._deadlines[0][0] // GRAIN_NS) * GRAIN_NS
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = earliest_ns
        self._timer = self._clock.call_at(earliest_ns, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now_ns = self._clock.now()
        for _ in range(TICKED_AT_ONCE):
            if not self._deadlines or self._deadlines[0][0] > now_ns:
                break
            deadline_ns, number = heapq.heappop(self._deadlines)
            group = self.groups.get(number)
            if group is None or group.armed_ns != deadline_ns:
                continue
            group.armed_ns = 0
            try:
                group.core.tick(now_ns)
            except Exception as error:  # fail-stop: see `fail`
                self.fail(group, error)
                continue
            if group.core.dirty:
                self.mark(group)
            else:
                self._arm(group)
        self.settle()


def _numbers(item: list[Any]) -> list[int]:
    """Return the numbers of the sending and of the receiving replica in an item of five."""
    numbers: list[int] = item[3:]
    if not all(type(number) is int and 0 <= number <= MAX_REPLICA_NUMBER for number in numbers):
        raise RemoteProtocolError("consensus frame: expected the numbers of two replicas")
    return numbers


def _name(group: Group) -> str:
    what = f"slot {slot_of(group.number)}" if group.number else "the control group"
    return f"this node's replica of {what}"


def _write(group: Group, ready: Ready) -> Write:
    return new_tuple(
        Write,
        (group.number, group.epoch, ready.hard_state, ready.first_index, ready.entries, ready.snapshot),
    )


class _Writes:
    """What a batch has for storage, each made when it is looked at: storage in memory never does.

    Nothing of it changes afterwards: what `Host._go_ahead` takes out of a `Ready` is not for storage.
    """

    __slots__ = ("_work",)

    def __init__(self, work: list[tuple[Group, Ready]]) -> None:
        self._work = work

    def __iter__(self) -> Iterator[Write]:
        return starmap(_write, self._work)
