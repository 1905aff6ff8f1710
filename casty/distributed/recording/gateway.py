"""Structures whose changes are put on record: a gateway and its port around another one's.

Theory of operation. The cluster orders and applies a call as it does without a journal; its answer says the number of
the entity's last change. The caller gets the answer when the journal has everything up to that number: commit, journal,
reply. Changes of others that are not on record yet are fetched from the slot and put there first, so whoever answers
has seen to all that the answer rests on, also when the gateway that made a change is gone. Several gateways may do the
same at the same time, as the same change under the same number is success.

An entity of which the slot has no record is restored from the journal before it is used: the slot begins a *life* of
it, the journal is told of that life under the next number, so that no gateway of an earlier life can append any more,
and what the history amounts to is sent to the slot. That too may be done by several at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from casty import runtime
from casty.actor.behavior import Behavior
from casty.distributed.handle import Deadline, failure
from casty.distributed.machines.base import (
    DESTROY,
    MAP,
    OK,
    OTHER_JOURNAL,
    QUEUE,
    UNRECORDED,
    UNSAVED,
    Command,
    Reply,
)
from casty.distributed.machines.queue_shapes import NACK, PUT_BACK, RESERVE, SIZE
from casty.distributed.machines.record import (
    BEGIN,
    FORGET,
    KEPT_KINDS,
    NOTE,
    RECORDED,
    RESTORE,
    STATE,
    TAIL,
    TOKEN_KINDS,
)
from casty.distributed.machines.registry import STRUCTURES
from casty.distributed.machines.wait_queue import release_command
from casty.distributed.port import Grant, Port, RegionRef
from casty.distributed.recording.names import IDENTITY, LIFE, entities_of, journal_id, map_prefix
from casty.distributed.recording.recorder import Journal, Recorder
from casty.distributed.recording.restoring import History, parts_of
from casty.distributed.recording.tokens import Cluster, Tokens
from casty.distributed.recording.waits import Waits, end_of, quietly, seen
from casty.distributed.recording.whole_maps import WayOfMaps, WholeMaps
from casty.errors import CastyError, JournalConflict, JournalError, NotOnRecord, OutcomeUnknown, Unavailable
from casty.journal.base import EventJournal, Snapshot

__all__ = ["JournaledGateway", "JournaledPort"]

log = logging.getLogger("casty.journal")

MAX_RECORDERS = 10_000
"""Entities of which this process remembers how far the journal is; what it forgot it asks for again."""

SNAPSHOT_EVERY = 1_000
"""After so many changes of an entity a snapshot of it is kept, if it is small."""

SNAPSHOT_BYTES = 256 * 1024
"""What counts as small. Of what is larger the history is as long as the state, but for what was removed."""

TAIL_BYTES = 256 * 1024
"""About how much of a tail is asked for at once."""

PAGE = 1_000
"""Events that are loaded at once."""

ASIDE_S = 5.0
"""How long the cluster may take for what is done for several callers, each of which has a deadline of its own."""

LIFE_BYTES = 8

T = TypeVar("T")


class JournaledGateway:
    """A gateway whose structures go through a journal; everything else is the inner one's.

    Parameters
    ----------
    gateway
        A system or a client.
    journal
        Where the changes go.
    """

    def __init__(self, gateway: Any, journal: EventJournal) -> None:
        self._gateway = gateway
        self.recorded_shards: dict[tuple[int, str], int] = gateway.recorded_shards
        self._port = JournaledPort(gateway, journal)

    @property
    def structures(self) -> Port:
        """The port of the structures; raises what the inner gateway's does."""
        _ = self._gateway.structures
        return self._port

    def region_ref(self, key: str, factory: Callable[[str], Behavior[Any]], *, num_shards: int) -> RegionRef:
        """See `EntityGateway.region_ref`."""
        ref: RegionRef = self._gateway.region_ref(key, factory, num_shards=num_shards)
        return ref

    async def entity_ask(self, ref: RegionRef, msg_factory: Any, *, timeout: float) -> Any:
        """See `EntityGateway.entity_ask`."""
        return await self._gateway.entity_ask(ref, msg_factory, timeout=timeout)


class JournaledPort:
    """A `Port` over the port of a gateway and a journal; see the head of this module."""

    def __init__(self, gateway: Any, journal: EventJournal) -> None:
        self._gateway = gateway
        self._latest: Port | None = None
        """The gateway's port when it was asked for last; None until then."""
        self._journal = Journal(journal)
        self._waits = Waits(self.when_left)
        self._identity: bytes | None = None
        self._tokens = Tokens(self._journal)
        self._whole = WholeMaps(WayOfMaps(lambda: self._inner, self.read, self._cluster, self._listed))
        self._recorders: OrderedDict[tuple[int, bytes], Recorder] = OrderedDict()
        """The latest of each entity, at most `MAX_RECORDERS` and those that somebody waits for."""
        self._restoring: dict[tuple[int, bytes], asyncio.Task[None]] = {}
        """Restorations under way here, each for everyone who waits for it."""
        self._aside: dict[asyncio.Task[None], None] = {}
        """What nobody waits for: held here until it is done."""

    @property
    def _inner(self) -> Port:
        port: Port = self._gateway.structures
        self._latest = port
        return port

    @property
    def host_label(self) -> str | None:
        """See `Port.host_label`."""
        return self._inner.host_label

    @property
    def cluster(self) -> tuple[int, str] | None:
        """See `Port.cluster`."""
        return self._inner.cluster

    def when_left(self, callback: Callable[[], None]) -> Callable[[], None]:
        """See `Port.when_left`."""
        return (self._latest or self._inner).when_left(callback)

    def encode(self, value: object) -> bytes:
        """See `Port.encode`."""
        return self._inner.encode(value)

    def decode(self, data: bytes) -> object:
        """See `Port.decode`; what a gateway brought that is closed by now is decoded as well."""
        return (self._latest or self._inner).decode(data)

    def canonical(self, value: object) -> bytes:
        """See `Port.canonical`."""
        return self._inner.canonical(value)

    # -- the port's methods

    async def command(self, kind: int, entity: bytes, command: Command, *, timeout_s: float | None) -> Reply:
        """Apply a command once, and answer when the journal has it; see `Port.command`."""
        if kind not in KEPT_KINDS:
            return await self._inner.command(kind, entity, command, timeout_s=timeout_s)
        deadline = Deadline(timeout_s)
        identity = await self._identify(deadline)
        while True:
            known = self._recorders.get((kind, entity))
            wrapped = [RECORDED, identity, 0 if known is None else known.recorded, list(command)]
            reply = await self._inner.command(kind, entity, wrapped, timeout_s=deadline.left_s())
            if reply[0] == OK:
                return await self._recorded(kind, entity, command, reply, deadline)
            if command[0] == DESTROY and await self._is_nowhere(kind, entity, reply, deadline):
                return [OK, False]
            if not await self._again(kind, entity, reply, deadline):
                return reply

    async def read(self, kind: int, entity: bytes, query: Command, *, timeout_s: float | None) -> Reply:
        """Answer a query from what is on record; see `Port.read`."""
        if kind not in KEPT_KINDS:
            return await self._inner.read(kind, entity, query, timeout_s=timeout_s)
        deadline = Deadline(timeout_s)
        identity = await self._identify(deadline)
        while True:
            wrapped = [RECORDED, identity, list(query)]
            reply = await self._inner.read(kind, entity, wrapped, timeout_s=deadline.left_s())
            if reply[0] == OK:
                recorder = self._recorder(kind, entity, reply)
                await recorder.until(reply[-3], None, deadline)
                answer: Reply = reply[:-3]
                if kind == MAP and answer == STRUCTURES[MAP].query(None, query):
                    # It ended by itself, or nobody said that its end is on record.
                    self._do_aside(self._note(kind, entity, reply[-3]))
                return answer
            if await self._is_nowhere(kind, entity, reply, deadline):
                return STRUCTURES[kind].query(None, query)
            if not await self._again(kind, entity, reply, deadline):
                return reply

    async def wait(
        self, kind: int, entity: bytes, command: Command, *, timeout_s: float | None
    ) -> tuple[Reply, Grant | None]:
        """Apply a command that may wait or grant; its token is above all that users of the journal know."""
        if kind == QUEUE:
            return await self._wait_for_queue(kind, entity, command, Deadline(timeout_s))
        if kind not in TOKEN_KINDS:
            return await self._inner.wait(kind, entity, command, timeout_s=timeout_s)
        deadline = Deadline(timeout_s)
        identity = await self._identify(deadline)
        cluster = await self._cluster(deadline)
        floor = self._tokens.known_floor(cluster)
        if floor is None:
            floor = await self._aside_within(self._tokens.floor(cluster), deadline)
        wrapped = [RECORDED, identity, floor, list(command)]
        reply, grant = await self._inner.wait(kind, entity, wrapped, timeout_s=deadline.left_s())
        if grant is not None and not self._tokens.covers(grant.token, self._inner.cluster):
            await self._cover(kind, entity, grant, deadline)
        return reply, grant

    async def release(
        self, kind: int, entity: bytes, grant: Grant, command: Command, *, timeout_s: float | None
    ) -> Reply:
        """Apply the command that ends a hold; holds are not put on record, but what becomes of a queue's item is."""
        if kind != QUEUE:
            return await self._inner.release(kind, entity, grant, command, timeout_s=timeout_s)
        deadline = Deadline(timeout_s)
        wrapped = [RECORDED, await self._identify(deadline), 0, list(command)]
        reply = await self._inner.release(kind, entity, grant, wrapped, timeout_s=deadline.left_s())
        if reply[0] == UNRECORDED:
            return [OK, False]  # the slot lost its memory, and all reservations with it
        is_told = reply[0] == OK and len(reply) > 2
        return await self._recorded(kind, entity, command, reply, deadline) if is_told else reply

    async def _wait_for_queue(
        self, kind: int, entity: bytes, command: Command, deadline: Deadline
    ) -> tuple[Reply, Grant | None]:
        """Put in, take or reserve an item: whoever is served hears of it when the journal has what that rests on.

        Whose entry it was that served the request nobody says; to see where the record is now is enough, as long as it
        is that of the same cluster: in a later one the answer may have been lost, and restored may be what it undid.
        """
        identity = await self._identify(deadline)
        while True:
            cluster = await self._cluster(deadline)
            known = self._recorders.get((kind, entity))
            wrapped = [RECORDED, identity, 0 if known is None else known.recorded, list(command)]
            reply, grant = await self._inner.wait(kind, entity, wrapped, timeout_s=deadline.left_s())
            if reply[0] == OK:
                try:
                    await self.read(kind, entity, [SIZE], timeout_s=deadline.left_s())
                    self._check_still(cluster)
                except CastyError as error:
                    self._undo(kind, entity, reply, grant)
                    text = f"{journal_id(kind, entity)}: what the cluster applied is not confirmed to be on record"
                    raise (JournalError if command[0] == RESERVE else NotOnRecord)(
                        f"{text}: {error}"
                    ) from error
                except BaseException:
                    self._undo(kind, entity, reply, grant)
                    raise
                return reply, grant
            if not await self._again(kind, entity, reply, deadline):
                return reply, grant

    def _check_still(self, cluster: Cluster) -> None:
        """Raise `JournalError` where another cluster is used by now than a call was answered by."""
        if self._inner.cluster != cluster:
            raise JournalError("the cluster that answered is lost, and another one took its place meanwhile")

    def _undo(self, kind: int, entity: bytes, reply: Reply, grant: Grant | None) -> None:
        """Nobody hears of an item that was taken or reserved: give it back."""
        if grant is not None:
            self._do_aside(self.release(kind, entity, grant, [NACK, grant.seq], timeout_s=ASIDE_S))
        elif kind == QUEUE and isinstance(reply[1], bytes):
            self._do_aside(self.command(kind, entity, [PUT_BACK, *reply[1:6]], timeout_s=ASIDE_S))

    async def scan(self, kind: int, prefix: bytes, *, timeout_s: float | None) -> list[bytes]:
        """Return the entities in the cluster and on record that begin with `prefix`; see `Port.scan`."""
        return await self._whole.scan(kind, prefix, timeout_s)

    def pages(
        self, kind: int, prefix: bytes, *, with_values: bool, timeout_s: float | None
    ) -> AsyncIterator[list[tuple[bytes, bytes | None]]]:
        """Go through the entities in the cluster and on record that begin with `prefix`; see `Port.pages`."""
        return self._whole.pages(kind, prefix, with_values, timeout_s)

    async def read_at(
        self, slot: int | None, kind: int, prefix: bytes, query: Command, *, timeout_s: float | None
    ) -> Reply:
        """Answer a query about entities of a slot, from what is on record; see `Port.read_at`."""
        return await self._whole.read_at(slot, kind, prefix, query, timeout_s)

    async def slot_count(self, *, timeout_s: float | None) -> int:
        """See `Port.slot_count`."""
        return await self._inner.slot_count(timeout_s=timeout_s)

    def slot_of(self, kind: int, entity: bytes) -> int | None:
        """See `Port.slot_of`."""
        return self._inner.slot_of(kind, entity)

    async def _is_nowhere(self, kind: int, entity: bytes, reply: Reply, deadline: Deadline) -> bool:
        """Whether it was not in the cluster, by that answer, and then not on record: no life begins to say so."""
        if reply[0] != UNRECORDED or not reply[1]:
            return False
        history = await self._aside_within(self._history(kind, entity), deadline)
        return history.state is None

    async def _listed(self, name: str, deadline: Deadline) -> list[bytes]:
        """Return all keys of a map that the journal has anything of."""
        return await self._aside_within(self._read_names(name), deadline)

    async def _read_names(self, name: str) -> list[bytes]:
        prefix, found = map_prefix(name), list[bytes]()
        page = await self._journal.entity_ids(prefix, "")
        while page:
            found += entities_of(name, page)
            page = await self._journal.entity_ids(prefix, page[-1])
        return found

    # -- recording

    async def tail(self, kind: int, entity: bytes, life: bytes, after: int) -> Reply:
        """See `recorder.Source`."""
        return await self._inner.read(kind, entity, [TAIL, life, after, TAIL_BYTES], timeout_s=ASIDE_S)

    def _recorder(self, kind: int, entity: bytes, reply: Reply) -> Recorder:
        """Return the recorder of the entity in the life that an answer tells of."""
        mark, life = reply[-2:]
        recorder = self._recorders.get((kind, entity))
        if recorder is None or recorder.life != life:
            recorder = Recorder(
                self, self._journal, self._waits, kind, entity, journal_id(kind, entity), life
            )
            self._recorders[(kind, entity)] = recorder
            if len(self._recorders) > MAX_RECORDERS:
                self._drop_idle()
        recorder.heard(mark)
        return recorder

    def _drop_idle(self) -> None:
        key, oldest = next(iter(self._recorders.items()))
        if oldest.is_idle:
            del self._recorders[key]
        else:
            self._recorders.move_to_end(key)

    async def _recorded(
        self, kind: int, entity: bytes, command: Command, reply: Reply, deadline: Deadline
    ) -> Reply:
        """Give an answer out once the journal has what it rests on."""
        number, answer = reply[-3], reply[:-3]
        recorder = self._recorder(kind, entity, reply)
        change = STRUCTURES[kind].change_of(command, answer)
        has_changed = change is not None
        try:
            await recorder.until(number, change, deadline)
        except JournalError as error:
            self._undo(kind, entity, answer, None)
            raise NotOnRecord(
                f"the cluster applied the call, and it is not confirmed to be on record: {error}; it happened once or "
                "not at all"
            ) from error
        except BaseException:
            self._undo(kind, entity, answer, None)
            raise
        if command[0] == DESTROY:
            self._do_aside(self._note(kind, entity, number))
        elif has_changed and number % SNAPSHOT_EVERY == 0:
            self._do_aside(self._keep_snapshot(kind, entity))
        return answer

    async def _note(self, kind: int, entity: bytes, number: int) -> None:
        """Tell the slot that a destroyed entity is on record as such: it needs to remember nothing of it."""
        await self._inner.command(
            kind, entity, [NOTE, await self._identify(Deadline(ASIDE_S)), number], timeout_s=ASIDE_S
        )

    async def _keep_snapshot(self, kind: int, entity: bytes) -> None:
        """Keep what the entity amounts to, so that a restoration need not read all of its history."""
        identity = await self._identify(Deadline(ASIDE_S))
        reply = await self._inner.read(kind, entity, [STATE, identity, SNAPSHOT_BYTES], timeout_s=ASIDE_S)
        if reply[0] != OK or reply[1] is None:
            return
        await self._recorder(kind, entity, reply).until(reply[-3], None, Deadline(ASIDE_S))
        await self._journal.save_snapshot(journal_id(kind, entity), Snapshot(reply[-3], reply[1]))

    # -- what is done for several callers, or for none

    def _do_aside(self, work: Awaitable[object]) -> None:
        """Do something that nobody waits for; when it fails, the next use of the entity does it again."""
        task = asyncio.ensure_future(quietly(work))
        self._aside[task] = None
        task.add_done_callback(self._aside.pop)

    async def _aside_within(self, work: Coroutine[Any, Any, T], deadline: Deadline) -> T:
        """Return what a piece of work comes to; it ends with the caller's deadline or cancellation."""
        task = asyncio.ensure_future(work)
        try:
            await self._waits.within(end_of(task), deadline, _late)
        finally:
            if not task.done():
                task.cancel()
        return task.result()

    async def _again(self, kind: int, entity: bytes, reply: Reply, deadline: Deadline) -> bool:
        """After an answer that is no success: whether to ask again, when what it asks for is done."""
        if reply[0] == OTHER_JOURNAL:
            raise JournalError(
                f"{journal_id(kind, entity)}: expected the journal {reply[1].hex()}, in which it is on record, found "
                f"the journal {(self._identity or b'').hex()}; use that one, or destroy it there first"
            )
        if reply[0] == UNSAVED:
            await self._recorder(kind, entity, reply).until(reply[-3], None, deadline)
            return True
        if reply[0] != UNRECORDED:
            return False
        key = (kind, entity)
        task = self._restoring.get(key)
        if task is None:
            task = self._restoring[key] = asyncio.ensure_future(self._restore(kind, entity))
            task.add_done_callback(lambda _: self._restoring.pop(key))
            task.add_done_callback(seen)
        await self._waits.within(end_of(task), deadline, _late)
        try:
            task.result()
        except _NotRestored:
            log.debug("%s: %s; it is begun again", journal_id(kind, entity), task.exception())
        return True

    async def _identify(self, deadline: Deadline) -> bytes:
        """Return the identity of the journal, which is its own first event."""
        identity = self._identity
        if identity is None:
            identity = self._identity = await self._aside_within(self._read_identity(), deadline)
        return identity

    async def _read_identity(self) -> bytes:
        while True:
            rows = await self._journal.load(IDENTITY, 1, 1)
            if rows:
                identity: Any = rows[0].event
                if not isinstance(identity, bytes):
                    raise JournalError(
                        f"journal: expected its identity in {IDENTITY!r}, found something else"
                    )
                return identity
            fresh = runtime.current().entropy.token("journal", LIFE_BYTES)
            try:
                await self._journal.persist(IDENTITY, [fresh], 0)
            except JournalConflict:
                continue  # somebody else was faster: what it wrote is there now

    async def _cluster(self, deadline: Deadline) -> Cluster:
        """Return which cluster is used; a gateway that has not heard of it yet asks it something first."""
        inner = self._inner
        while inner.cluster is None:
            await inner.read(KEPT_KINDS[0], b"casty", [1], timeout_s=deadline.left_s())
        return inner.cluster

    async def _cover(self, kind: int, entity: bytes, grant: Grant, deadline: Deadline) -> None:
        """Put a token on record that none of the known floors covers: the cluster is another one than a moment ago."""
        cluster = await self._cluster(deadline)
        try:
            await self._aside_within(self._tokens.cover(grant.token, cluster), deadline)
        except BaseException:
            # Nobody hears of this hold, so nobody would give it back.
            self._do_aside(self._give_back(kind, entity, grant))
            raise

    async def _give_back(self, kind: int, entity: bytes, grant: Grant) -> None:
        await self._inner.release(
            kind, entity, grant, release_command(kind, grant.token, grant.seq), timeout_s=ASIDE_S
        )

    # -- restoring

    async def _history(self, kind: int, entity: bytes) -> History:
        """Return what the journal has of an entity."""
        entity_id = journal_id(kind, entity)
        history = History(kind, entity_id)
        snapshot = await self._journal.load_snapshot(entity_id)
        if snapshot is not None:
            history.begin(snapshot.sequence_nr, snapshot.state)
        page = await self._journal.load(entity_id, history.number + 1, PAGE)
        while page:
            for row in page:
                history.take(row.sequence_nr, row.event)
            page = await self._journal.load(entity_id, history.number + 1, PAGE) if len(page) == PAGE else []
        return history

    async def _restore(self, kind: int, entity: bytes) -> None:
        """Restore an entity from the journal, together with whoever else does.

        The history is read before the slot says that the life is not live yet: so nothing in it was done in that life.
        """
        identity = await self._identify(Deadline(ASIDE_S))
        is_live = False
        while not is_live:
            history = await self._history(kind, entity)
            fresh = runtime.current().entropy.token("life", LIFE_BYTES)
            life, is_live, had_state, step = await self._ask(kind, entity, [BEGIN, identity, fresh])
            if is_live:
                return
            told = await self._told(kind, entity, life, history)
            if told is None:
                continue
            if had_state and told.state is not None:
                await self._ask(kind, entity, [FORGET, identity, life])
                raise JournalError(
                    f"{journal_id(kind, entity)}: expected it in the cluster or on record, found it in both: it was "
                    "used without the journal since the cluster started; nothing was changed: destroy it without the "
                    "journal to have what is on record"
                )
            commands = [] if had_state else told.commands()
            while not is_live:
                part, is_last = parts_of(commands, step)
                command = [RESTORE, identity, life, step, part, told.number if is_last else 0]
                found, is_live, _, step = await self._ask(kind, entity, command)
                if found != life:
                    break  # the slot lost its memory meanwhile, and another life began

    async def _told(self, kind: int, entity: bytes, life: bytes, history: History) -> History | None:
        """Tell the journal of a life after a history; None where the journal has something else there by now.

        Then a gateway of an earlier life was faster, or one that restores as well: the life may be live meanwhile.
        """
        if history.life != life:
            try:
                await self._journal.persist(journal_id(kind, entity), [[LIFE, life]], history.number)
            except JournalConflict:
                return None
            history.number += 1
        return history

    async def _ask(self, kind: int, entity: bytes, command: Command) -> list[Any]:
        """Apply a step of a restoration, and return how far it is: ``[life, is_live, had_state, step]``."""
        try:
            reply = await self._inner.command(kind, entity, command, timeout_s=ASIDE_S)
        except (OutcomeUnknown, Unavailable) as error:
            raise _NotRestored(f"{journal_id(kind, entity)}: it was not restored: {error}") from error
        if reply[0] == OTHER_JOURNAL:
            await self._again(kind, entity, reply, Deadline(ASIDE_S))
        if reply[0] == UNRECORDED:
            return [b"", False, False, 0]
        if reply[0] != OK:
            raise failure(reply, f"{journal_id(kind, entity)}, which is not restored yet")
        progress: list[Any] = reply[1]
        return progress


class _NotRestored(Unavailable):
    """A step of a restoration came to nothing, or may have: each may be done again, while a caller has the time."""


def _late() -> Exception:
    return JournalError("the journal did not answer in time; nothing was changed")
