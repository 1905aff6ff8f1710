"""The local system: every actor of one process by path, and the ports to other processes.

`ActorSystem`, `ClusteredActorSystem` and `ClusterClient` embed one `LocalSystem` each. With an `Origin` its
actors are reachable from elsewhere: references are `RemoteActorRef`, paths begin with a slash, and messages
for other processes go to the `RemoteSender`. Messages that arrive are given to `deliver`.

Besides actors, *endpoints* have paths: a function that takes messages, used for replies to `ask` and for
refs of the library's own (regions, receptionist, event stream).
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from asyncio import get_running_loop
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple, TypeVar

from casty.actor.base import BaseBehavior, check_start
from casty.actor.cell import Cell
from casty.actor.ending import STOP_GRACE_NS, until_stopped
from casty.actor.events import DeadLetter, EventStream, EventStreamMessage, MessagesLost, UnhandledMessage
from casty.actor.full import FullMailboxes
from casty.actor.held_acts import Begun, Said
from casty.actor.holding import HELD, hold
from casty.actor.lease import ACTING, Lease, may_act
from casty.actor.mailbox import Mailbox, check_mailbox
from casty.actor.ref import ActorRef, LocalActorRef, RemoteActorRef, RemoteSender
from casty.actor.replies import Replies
from casty.actor.scheduling import Scheduler, SchedulerMessage
from casty.actor.unread import MESSAGE_BYTES, Unread
from casty.actor.watching import Watching
from casty.address import ActorAddress, NodeAddress, node_id_of
from casty.checks import check_name, shown
from casty.complaint import Complaint
from casty.config import SECOND_NS, Settings
from casty.errors import AskFailed, CastyError, NotStarted, Overloaded
from casty.events import DeadLettered, MessagesUnconfirmed, MessagesWereLost
from casty.ports import Runtime

__all__ = ["LocalSystem", "Origin"]

M = TypeVar("M")
R = TypeVar("R")

EVENT_STREAM = "$events"
SCHEDULER = "$scheduler"
SHOWN = 200
"""Characters of a path or a reason in a line of the log; either may have come over the network."""

FORMER = "that actor has ended; another one has its path"
"""Why a message for a former life is lost."""

Endpoint = Callable[[object], None]


class Origin(NamedTuple):
    """Where this process's actors are reached."""

    host: str
    port: int
    node_id: str
    incarnation: str | None = None
    """Which process of that id this is."""


class LocalSystem:
    """The actors of one process.

    Parameters
    ----------
    name
        The system's name, part of every address.
    runtime
        The ports.
    settings
        Bounds.
    origin, remote
        Given together when actors are reachable from other processes.

    Bounds: `cells` has a row per living actor; `endpoints` one per open question, per region that was named here, at
    most `MAX_REGIONS`, and for the library's own few.
    """

    def __init__(
        self,
        name: str,
        runtime: Runtime,
        *,
        settings: Settings | None = None,
        origin: Origin | None = None,
        remote: RemoteSender | None = None,
        unread: Unread | None = None,
        mail_refusal: Callable[[int], CastyError | None] | None = None,
    ) -> None:
        self.name = name
        self.runtime = runtime
        self.origin = origin
        self.remote = remote
        self.max_mailbox = (settings or Settings()).max_mailbox
        self.unread = unread or Unread()
        """What has not been read here: mailboxes, and messages that wait for the leaders of their entities."""
        self.mail_refusal: Callable[[int], CastyError | None] = mail_refusal or _taken
        """Why a message of so many bytes that came from elsewhere, or is for an entity, cannot be kept here now; a node
        has a reason, whose memory has a budget. What actors of one process tell each other is counted and never asked.
        """
        self.log = logging.getLogger("casty.actor")
        self.events = EventStream(self.max_mailbox)
        self.context = contextvars.copy_context()
        self.is_quiet_at_the_end = False
        """Whether dead letters since the system began to stop are only counted."""
        self.dead_letters = 0
        """Messages that nobody will handle, those that broken links took included."""
        self.lost_messages = 0
        """Of these, what links to this process took."""
        self.unconfirmed_messages = 0
        """Messages to processes that ended before they confirmed them."""
        self.cells: dict[str, Cell] = {}
        self._number = 0
        self.endpoints: dict[str, Endpoint] = {}
        self.is_stopping = False
        self._ending: list[Cell] = []
        """The actors without a parent, once it stops; entities that others wake up to answer them come behind."""
        self._read_out_ns = 0
        self.has_stopped = False
        """All actors are gone, and nobody will answer anything."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self.full_mailboxes = FullMailboxes(self)
        self.undecodable = Complaint(runtime.clock, self.log, SECOND_NS)
        self.failures = Complaint(runtime.clock, self.log, SECOND_NS)
        """What raised and ended nothing: actors that are restarted, observers, targets of scheduled messages."""
        self.refused_watches = Complaint(runtime.clock, self.log, SECOND_NS)
        self._letters = {
            level: Complaint(runtime.clock, self.log, SECOND_NS, level)
            for level in (logging.WARNING, logging.INFO)
        }
        self._lost_lines = Complaint(runtime.clock, self.log, SECOND_NS)
        self.replies = Replies(self)
        self.watching = Watching(self)
        self.system: object = None
        """What actors see as their system, an `ActorSystem`: whoever embeds this says so."""
        self.event_stream: ActorRef[EventStreamMessage] = self.add_endpoint(EVENT_STREAM, self.events.receive)
        self._scheduler = Scheduler(self)
        self.scheduler: ActorRef[SchedulerMessage] = self.add_endpoint(SCHEDULER, self._schedule)

    @property
    def address(self) -> NodeAddress | None:
        """Where this process is reached; None for a plain system."""
        return None if self.origin is None else NodeAddress(self.origin.host, self.origin.port)

    # -- references

    def own_ref(self, path: str, number: int | None = None) -> ActorRef[Any]:
        """Make a reference to something of this process, by its path without a leading slash.

        With a number it is of that life of an actor, else of whoever has the path.
        """
        origin = self.origin
        if origin is None:
            return LocalActorRef(path, self.post, number)
        incarnation = None if number is None else origin.incarnation
        return RemoteActorRef(
            ActorAddress(
                self.name, f"/{path}", origin.host, origin.port, origin.node_id, incarnation, number
            ),
            self._post_own,
        )

    def make_ref(self, address: ActorAddress) -> ActorRef[Any]:
        """Make a reference from an address that came in a message."""
        if self.is_own(address):
            path = address.path.lstrip("/")
            cell = self.cells.get(path)
            if not self._is_of_this_process(address):
                return RemoteActorRef(address, self._post_former)
            if cell is not None and address.number in (None, cell.number):
                return cell.ref
            return self.own_ref(path, address.number)
        return RemoteActorRef(address, self._post_away)

    def is_own(self, address: ActorAddress) -> bool:
        """Whether an address lies in this process."""
        origin = self.origin
        if origin is None or address.host is None:  # as `is_local`: each message asks
            return address.host is None
        if address.node_id is not None:
            return address.node_id == origin.node_id
        return (address.host, address.port) == (origin.host, origin.port)

    def _is_of_this_process(self, address: ActorAddress) -> bool:
        """Whether an address of this process's id and place is not of a former process there."""
        origin = self.origin
        return address.incarnation is None or origin is None or address.incarnation == origin.incarnation

    def key_of(self, ref: ActorRef[Any]) -> str:
        """Return a text that is the same for equal references."""
        if isinstance(ref, RemoteActorRef) and not self.is_own(ref.address):
            address = ref.address
            return f"{address.to_uri()}#{address.node_id}#{address.incarnation}#{address.number}"
        return f"{_number_of(ref) or ''}:{ref.id.lstrip('/')}"

    def post(self, path: str, message: object, number: int | None = None) -> None:
        """Give a message of this process's own to whatever has the path, or to that life; see `deliver`."""
        try:
            is_here = get_running_loop() is self._loop
        except RuntimeError:
            is_here = False
        if not is_here:
            self.check_loop()
        held = HELD.get()
        if held is not None and held.keeps(
            Said(self, partial(self.post, path, message, number), path, message)
        ):
            return  # it is looked at again when it leaves
        lease = ACTING.get()
        if lease is not None and not lease.lasts():
            self._unsaid(message, self.own_ref(path))
            return
        cell = self.cells.get(path)
        if cell is not None and not cell.is_stopping and (number is None or number == cell.number):
            # As `deliver` and `Cell.tell`: of one piece, for most messages come this way.
            cell.mailbox.add(message)
        elif cell is None and (endpoint := self.endpoints.get(path)) is not None:
            endpoint(message)
        else:
            self.deliver(path, message, number=number)

    def _post_own(self, address: ActorAddress, message: object) -> None:
        self.post(address.path[1:], message, address.number)

    def _post_former(self, address: ActorAddress, message: object) -> None:
        self.check_loop()
        self.dead_letter(message, self.make_ref(address), FORMER, level=logging.INFO)

    def _unsaid(self, message: object, ref: ActorRef[Any]) -> None:
        self.dead_letter(message, ref, "the lease of the entity that says it ended", level=logging.INFO)

    def check_loop(self, call: str = "tell") -> None:
        """Refuse what another thread or loop asks: it would wake up nobody here."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is not self._loop:
            if self._loop is not None:
                raise NotStarted(
                    f"{call}: expected the event loop in which system {self.name!r} runs, found "
                    f"{'another one' if loop is not None else 'a thread without one'}; use "
                    f"it there, as with loop.call_soon_threadsafe({'ref.tell, message' if call == 'tell' else call})"
                )
            self._loop = loop

    def _post_away(self, address: ActorAddress, message: object) -> None:
        try:
            is_here = get_running_loop() is self._loop
        except RuntimeError:
            is_here = False
        if not is_here:
            self.check_loop()
        held = HELD.get()
        if held is not None and held.keeps(
            Said(self, partial(self._post_away, address, message), address, message)
        ):
            return
        lease = ACTING.get()
        if lease is not None and not lease.lasts():
            self._unsaid(message, self.make_ref(address))
        elif self.remote is None:
            self.dead_letter(message, self.make_ref(address), "this system has no way to other processes")
        else:
            self.remote.send(address, message, self.replies.asking)

    # -- messages

    def deliver(
        self, path: str, message: object, size_bytes: int = MESSAGE_BYTES, number: int | None = None
    ) -> bool:
        """Give a message to whatever has the path; False when it became a dead letter.

        `size_bytes` is what it counts for while it is unread; `number` is that of the life that it is for.

        Raises
        ------
        asyncio.QueueFull
            The mailbox is full and its strategy is ``reject``.
        """
        cell = self.cells.get(path)
        if cell is not None:
            if number is not None and number != cell.number:
                self.dead_letter(message, self.own_ref(path, number), FORMER, level=logging.INFO)
                return False
            if cell.is_stopping:
                return cell.tell(message, size_bytes)
            cell.mailbox.add(message, size_bytes)
            return True
        endpoint = self.endpoints.get(path)
        if endpoint is not None:
            endpoint(message)
            return True
        self.dead_letter(message, self.own_ref(path, number), "no such actor", level=logging.INFO)
        return False

    def receive(
        self,
        path: str,
        message: object,
        sender: ActorAddress | None = None,
        size_bytes: int = MESSAGE_BYTES,
        number: int | None = None,
    ) -> bool:
        """Give a message that came over the network to its target; never raises. False for a dead letter."""
        path = path.lstrip("/")
        cell = self.cells.get(path)
        # What a user's actor will keep until it reads it is mail.
        if cell is not None and (path[0] != "$" or path.startswith("$region/")):
            refusal = self.mail_refusal(size_bytes)
            if refusal is not None:
                if sender is not None and self.remote is not None:
                    self.remote.refuse(sender, refusal)
                self.dead_letter(message, self.own_ref(path), str(refusal))
                return False
        if sender is not None:
            self.replies.came(message, sender)  # also for an actor that is gone: who asked it is told so
        try:
            if cell is not None and not cell.is_stopping and (number is None or number == cell.number):
                cell.mailbox.add(message, size_bytes)  # as `deliver`
                return True
            if sender is not None and path in self.endpoints:
                return self.replies.passed_on(message, sender, partial(self.deliver, path, message))
            return self.deliver(path, message, size_bytes, number)
        except asyncio.QueueFull:
            self.dead_letter(message, self.own_ref(path), "the mailbox is full", kind=Overloaded)
        except Exception as error:  # what is no actor takes messages of some kinds only
            self.dead_letter(message, self.own_ref(path), f"it was refused: {shown(error, 200)}")
        return False

    def dead_letter(
        self,
        message: object,
        ref: ActorRef[Any],
        reason: str,
        *,
        level: int = logging.WARNING,
        kind: type[CastyError] = AskFailed,
    ) -> None:
        """Count, publish and log a message that nobody will handle; at level 0 its loss is logged by the caller.

        Where the receiver is gone, as any actor will be some time, the level is INFO. If it was a question, `kind` is
        the error of whoever asked it.
        """
        self.dead_letters += 1
        is_quiet = self.is_stopping and self.is_quiet_at_the_end
        if level and not is_quiet:
            self._letters[level].say(f"dead letter for {ref.id[:SHOWN]}: {reason[:SHOWN]}")
        self.replies.lost(message, ref, reason, kind)
        if self.runtime.observe:
            self.runtime.observe(DeadLettered(ref.id, reason))
        if not is_quiet:
            self.publish(DeadLetter(message, ref))

    def lost(self, source: str, count: int) -> None:
        """Count, publish and log messages to this process that a link took; `source` is the sender's peer key."""
        self.dead_letters += count
        self.lost_messages += count
        self._lost_lines.say(f"{count} messages of {shown(source, SHOWN)} were lost with a link")
        if self.runtime.observe:
            self.runtime.observe(MessagesWereLost(source, count))
        self.publish(MessagesLost(node_id_of(source), count))

    def unconfirmed(self, target: str, count: int) -> None:
        """Count and log messages to a process, by its peer key, that ended and had not confirmed that it took them."""
        self.unconfirmed_messages += count
        self._lost_lines.say(
            f"{count} messages to {shown(target, SHOWN)} are lost, or were handled shortly before that process ended"
        )
        if self.runtime.observe:
            self.runtime.observe(MessagesUnconfirmed(target, count))

    def counts(self) -> dict[str, int]:
        """Return how many messages nobody will handle, or perhaps nobody."""
        return {
            "dead_letters": self.dead_letters,
            "lost": self.lost_messages,
            "unconfirmed": self.unconfirmed_messages,
        }

    def tell(self, ref: ActorRef[Any], message: object) -> None:
        """Tell whoever is behind a ref that came in a message; what that raises makes it a dead letter.

        The library says it, also where a timer or a turn that an entity's step began goes on after that one's lease.
        """
        acting, held = ACTING.set(None), HELD.set(None)
        try:
            ref.tell(message)
        except Exception as error:  # as above: who takes it may be no actor
            self.dead_letter(message, ref, f"its tell failed: {shown(error, 200)}")
        finally:
            ACTING.reset(acting)
            HELD.reset(held)

    def publish(self, event: object) -> None:
        """Put an event on the event stream."""
        self.events.publish(event)

    def add_endpoint(self, path: str, endpoint: Endpoint) -> ActorRef[Any]:
        """Give a function a path of its own; `ValueError` when the path is taken."""
        if path in self.endpoints or path in self.cells:
            raise ValueError(f"path {path!r:.200}: expected a free one")
        self.endpoints[path] = endpoint
        return self.own_ref(path)

    def remove_endpoint(self, path: str) -> None:
        """Free an endpoint's path; harmless when it is free."""
        self.endpoints.pop(path, None)

    # -- actors

    def next_number(self) -> int:
        """Return the number of the next life of an actor."""
        self._number += 1
        return self._number

    def spawn(
        self,
        behavior: BaseBehavior[M],
        name: str,
        *,
        parent: Cell | None = None,
        mailbox: Mailbox[M] | None = None,
    ) -> ActorRef[M]:
        """Start an actor; `ValueError` for a taken or illegal name, `RuntimeError` while stopping."""
        check_start(behavior)
        check_name(name)
        check_mailbox(mailbox)
        if "/" in name or name.startswith("$"):
            raise ValueError(
                f"name: expected a text without slash that does not begin with $, found {name!r:.200}"
            )
        path = name if parent is None else f"{parent.path}/{name}"
        if not may_act():
            raise RuntimeError(f"actor {path!r:.200}: expected an entity whose lease lasts, but it ended")
        return self.spawn_at(path, behavior, parent=parent, mailbox=mailbox, begin=_begin_if_committed).ref

    def spawn_at(
        self,
        path: str,
        behavior: BaseBehavior[M],
        *,
        parent: Cell | None = None,
        mailbox: Mailbox[M] | None = None,
        lease: Lease | None = None,
        begin: Callable[[Cell], None] = Cell.start,
    ) -> Cell:
        """Start an actor at any path: for the library's own, which may contain what user names may not.

        `lease` says how long it may act; a child has its parent's. Who asks may be a timer that another entity's step
        began: whether that one may act is looked at in `spawn` only. `begin` starts it, or sees to that.
        """
        self.check_loop("spawn")
        is_late = self.is_stopping and (lease is None or not self.is_reading_out)
        # A parent that goes on while the system stops reads what it was sent; its children end with it.
        if is_late if parent is None else parent.is_stopping:
            raise RuntimeError(
                f"actor {path!r:.200}: expected a running system and parent, but they are stopping"
            )
        if path in self.cells or path in self.endpoints:
            raise ValueError(f"actor {path!r:.200} is alive already; choose another name or stop it first")
        lease = lease if parent is None else parent.lease
        cell = Cell(self, path, parent, behavior, Mailbox[M]() if mailbox is None else mailbox, lease)
        self.cells[path] = cell
        if parent is not None:
            parent.children[path] = cell
        elif self.is_stopping:
            self._ending.append(cell)
        begin(cell)
        return cell

    def remove(self, cell: Cell) -> None:
        """Free the name of a stopped actor."""
        del self.cells[cell.path]
        if cell.parent is not None:
            del cell.parent.children[cell.path]

    def lookup(self, path: str) -> ActorRef[Any] | None:
        """Return the reference of a living actor, with or without leading slash; None when there is none."""
        cell = self.cells.get(path.strip("/"))
        return None if cell is None else cell.ref

    def is_gone(self, ref: ActorRef[Any]) -> bool:
        """Whether a reference is one of this process, and nobody takes its messages."""
        if isinstance(ref, RemoteActorRef) and not self.is_own(ref.address):
            return False
        return self.living(ref) is None and ref.id.lstrip("/") not in self.endpoints

    def _schedule(self, message: object) -> None:
        if not self._scheduler.receive(message):
            self.publish(UnhandledMessage(message, self.scheduler))

    def living(self, ref: ActorRef[Any]) -> Cell | None:
        """Return the living actor of this process that a reference leads to; None when there is none."""
        if isinstance(ref, RemoteActorRef) and not self.is_own(ref.address):
            return None
        if isinstance(ref, RemoteActorRef) and not self._is_of_this_process(ref.address):
            return None
        cell, number = self.cells.get(ref.id.lstrip("/")), _number_of(ref)
        return cell if cell is None or number in (None, cell.number) else None

    def ask(
        self, ref: ActorRef[M], factory: Callable[[ActorRef[R]], M], *, timeout: float | None
    ) -> Coroutine[Any, Any, R]:
        """Return what sends a message that carries a reply reference and waits for it; see `ActorSystem.ask`."""
        return self.replies.ask(ref, factory, timeout)

    async def shutdown(self, *, is_forced: bool = False) -> None:
        """Stop every actor: after the message in hand, by force at once or when that takes over a second.

        An entity reads first what it was sent: its next life elsewhere has none of it. All of them have the same
        second. What does not yield to its cancellation twice is left to itself, with a line in the log. Coroutine
        handlers of events get a second too. From another thread or loop it is refused: `NotStarted`.
        """
        self.check_loop("shutdown")
        now_ns = self.runtime.clock.now()
        self._read_out_ns = 0 if is_forced else self._read_out_ns or now_ns + STOP_GRACE_NS
        self.is_stopping = True
        self._scheduler.schedules.cancel_all()
        roots = self._ending = [cell for cell in self.cells.values() if cell.parent is None]
        for cell in list(roots):
            if is_forced or cell.read_out is None:
                cell.stop(is_forced=is_forced)
            else:
                cell.read_out()
        await until_stopped(self.runtime.clock, roots, self.log)
        self.has_stopped = True
        self.replies.end_all()
        await self.events.drain(self.runtime.clock, STOP_GRACE_NS)

    @property
    def is_reading_out(self) -> bool:
        """Whether it stops in order and entities may still read what they were sent before."""
        return self.is_stopping and self.runtime.clock.now() < self._read_out_ns

    # -- watching

    def watch(self, watcher: Cell, ref: ActorRef[Any]) -> None:
        """Tell `watcher` once when the actor behind `ref` is gone."""
        self.watching.watch(watcher, ref)

    def unwatch(self, watcher: Cell, ref: ActorRef[Any]) -> None:
        """Forget a watch."""
        self.watching.unwatch(watcher, ref)


def _begin_if_committed(cell: Cell) -> None:
    hold(Begun(cell))


def _number_of(ref: ActorRef[Any]) -> int | None:
    """Return which life of an actor of this process a reference is of; None for whoever has the path."""
    if isinstance(ref, RemoteActorRef):
        return ref.address.number
    return ref.number if isinstance(ref, LocalActorRef) else None


def _taken(size_bytes: int) -> None:
    del size_bytes
