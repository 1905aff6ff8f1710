"""The log of one entity in its slot, as one activation uses it: the way between an actor and `machines.events`.

Every opening has a writer of its own, so whatever an earlier one sent and nobody heard of is refused from then on.
Events are proposed here, where the slot is led as long as the activation lives; they need no session, as they count
once by their numbers. Whatever this node refuses or does not know goes the long way, through the node's gateway, which
has deadlines, and knows another leader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from casty.actor.event_store import PersistRefused, check_batch
from casty.cluster.multiraft.proposals import BUSY, NOT_LEADER, UNKNOWN, ReplySink
from casty.cluster.slots.schema import APPENDED
from casty.distributed.handle import failure
from casty.distributed.machines.base import (
    EVENTS,
    NOT_NEXT,
    NOT_WRITER,
    OK,
    OVERLOADED,
    TOO_LARGE,
    Command,
    Reply,
)
from casty.distributed.machines.events import (
    APPEND,
    LOAD,
    OPEN,
    SNAPSHOT,
    WRITER_BYTES,
    Home,
    log_label,
    log_name,
)
from casty.distributed.port import Port
from casty.errors import (
    CastyError,
    EncodingError,
    JournalConflict,
    JournalError,
    MessageTooLarge,
    OutcomeUnknown,
    Overloaded,
    Unavailable,
)
from casty.ports import Runtime

__all__ = ["SNAPSHOT_EVENTS", "Appender", "SlotLog"]

ATTEMPT_S = 5.0
"""How long the slot may take for one attempt: it is led here, so it answers soon or another node leads it."""

PAUSE_S = 0.1
"""Before an attempt that follows a refusal."""

PAGE_BYTES = 256 * 1024
"""About how much is loaded at once."""

SNAPSHOT_EVENTS = 500
SNAPSHOT_BYTES = 512 * 1024
"""From so many events, or bytes of them, on the slot should have a snapshot in their place."""


class Appender:
    """The short way of events into the slots that this node leads.

    Parameters
    ----------
    propose
        Proposes an APPENDED entry of a slot, and answers it to a sink; False where this node does not lead it.

    Bounds: `_waiting` has a row per activation that persists.
    """

    __slots__ = ("_last", "_propose", "_waiting")

    def __init__(self, propose: Callable[[int, list[Any], ReplySink, int], bool]) -> None:
        self._propose = propose
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._last = 0

    def add(self, call_id: int, reply: Reply) -> None:
        """See `ReplySink.add`."""
        future = self._waiting.get(call_id)
        if future is not None and not future.done():
            future.set_result(reply)

    async def append(self, slot: int, entry: list[Any]) -> Reply | None:
        """Return the answer to an entry; None where the slot is led elsewhere.

        There is no deadline: a leader that hears nothing of its followers ceases to be one, and what it proposed is
        answered ``[UNKNOWN]``.
        """
        self._last += 1
        call_id = self._last
        future = self._waiting[call_id] = asyncio.get_running_loop().create_future()
        try:
            return await future if self._propose(slot, entry, self, call_id) else None
        finally:
            del self._waiting[call_id]


class SlotLog:
    """An `EventStore` in the slot of the entity.

    Parameters
    ----------
    port
        The node's own way to its slots, with the encoding of values.
    runtime
        The ports.
    appender
        The short way.
    home
        Whose log it is.
    """

    def __init__(self, port: Port, runtime: Runtime, appender: Appender, home: Home) -> None:
        self._port = port
        self._runtime = runtime
        self._appender = appender
        self._name = log_name(home)
        self._label = f"the events of {log_label(self._name)}"
        self._writer = b""
        self._page: tuple[int, list[bytes]] = (0, [])
        """What was loaded and not asked for yet: the number before, and the events."""
        self._events = 0
        self._bytes = 0
        """Of the tail: what no snapshot has."""
        self._due = SNAPSHOT_EVENTS
        """From how many events on a snapshot is wanted; more after one that was refused."""

    async def open(self) -> tuple[int, object]:
        """See `EventStore.open`."""
        self._writer = self._runtime.entropy.token("event-writer", WRITER_BYTES)
        try:
            await self._write([OPEN, self._writer], is_patient=True)
        except PersistRefused as refusal:
            raise refusal.error from None
        self._events = self._bytes = 0
        _, _, base, snapshot, events = await self._load(0)
        self._page = (base, events)
        self._due = SNAPSHOT_EVENTS
        return (
            (0, None)
            if snapshot is None
            else (base, self._decoded(snapshot, f"the snapshot of event {base}"))
        )

    async def events_after(self, number: int) -> Sequence[object]:
        """See `EventStore.events_after`."""
        before, events = self._page
        if before != number:
            events = (await self._load(number))[4]
        self._page = (-1, [])
        self._grown(events)
        return [self._decoded(event, f"event {number + at}") for at, event in enumerate(events, 1)]

    async def persist(self, expected: int, events: Sequence[object]) -> None:
        """See `EventStore.persist`."""
        check_batch(events)
        encoded = [self._encoded(event) for event in events]
        slot = self._port.slot_of(EVENTS, self._name)
        entry = [APPENDED, self._name, self._writer, expected, encoded]
        reply = None if slot is None else await self._appender.append(slot, entry)
        if reply is None or reply[0] in (NOT_LEADER, BUSY, UNKNOWN):
            is_in_doubt = reply is not None and reply[0] == UNKNOWN
            await self._write([APPEND, self._writer, expected, encoded], is_in_doubt=is_in_doubt)
        elif reply[0] == TOO_LARGE:
            raise PersistRefused(MessageTooLarge(str(reply[1])))
        elif reply[0] != OK:
            raise PersistRefused(self._refusal(reply))
        self._grown(encoded)

    async def save_snapshot(self, number: int, state: object) -> None:
        """See `EventStore.save_snapshot`."""
        self._due = self._events + SNAPSHOT_EVENTS
        await self._write([SNAPSHOT, self._writer, number, self._encoded(state)])
        self._events, self._bytes, self._due = 0, 0, SNAPSHOT_EVENTS

    @property
    def wants_snapshot(self) -> bool:
        """See `EventStore.wants_snapshot`."""
        is_heavy = self._bytes >= SNAPSHOT_BYTES and self._due == SNAPSHOT_EVENTS
        return is_heavy or self._events >= self._due

    def copy(self, state: object) -> object:
        """See `EventStore.copy`."""
        try:
            return self._port.decode(self._port.encode(state))
        except EncodingError:
            return state

    def _grown(self, events: Sequence[bytes]) -> None:
        self._events += len(events)
        self._bytes += sum(map(len, events))

    def _encoded(self, value: object) -> bytes:
        try:
            return self._port.encode(value)
        except EncodingError as error:
            raise PersistRefused(EncodingError(str(error))) from error

    def _decoded(self, data: bytes, what: str) -> object:
        try:
            return self._port.decode(data)
        except EncodingError as error:
            raise JournalError(f"{what} of {self._label} cannot be decoded here: {error}") from error

    async def _write(self, command: Command, *, is_patient: bool = False, is_in_doubt: bool = False) -> None:
        """Have a command applied, once; repeats it while nobody knows whether it was.

        Where this node does not lead the slot any more the lease of the activation ends, and with it this. One that is
        `is_patient` waits for a slot that does not serve yet; one that `is_in_doubt` may have been applied already.
        """
        is_in_doubt |= is_patient
        while True:
            try:
                reply = await self._port.command(EVENTS, self._name, command, timeout_s=ATTEMPT_S)
            except OutcomeUnknown:
                is_in_doubt = True
                continue
            except (Unavailable, Overloaded, MessageTooLarge) as error:
                refusal: CastyError = error
            else:
                if reply[0] == OK:
                    return
                refusal = self._refusal(reply)
                if reply[0] == OVERLOADED and not is_patient:
                    # The log itself says so, behind whatever is in doubt: that is not in it. Should it come later, it
                    # comes under the name of a writer that is none any more, as whoever is refused reads anew.
                    raise PersistRefused(refusal)
            if not is_in_doubt or (is_patient and not isinstance(refusal, Unavailable)):
                raise PersistRefused(refusal)
            await self._runtime.clock.sleep(PAUSE_S)

    async def _load(self, after: int) -> Reply:
        query = [LOAD, self._writer, after, PAGE_BYTES]
        while True:
            try:
                reply: Any = await self._port.read(EVENTS, self._name, query, timeout_s=ATTEMPT_S)
            except Unavailable:
                continue
            if reply[0] == OK:
                return list(reply)
            raise self._refusal(reply)

    def _refusal(self, reply: Reply) -> CastyError:
        if reply[0] not in (NOT_WRITER, NOT_NEXT):
            return failure(reply, self._label)
        found = "another writer" if reply[0] == NOT_WRITER else f"event {reply[1]} as the last"
        raise JournalConflict(
            f"{self._label}: expected this activation to be the only writer, found {found}: the entity was activated "
            "elsewhere, and this activation ends",
            reply[1],
        )
