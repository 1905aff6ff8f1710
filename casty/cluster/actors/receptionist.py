"""Service discovery: instances of services are state of the control group, and every topology carries them.

On a node the receptionist takes `Register` and `Deregister` for actors, announces what changed to the control group
until it is confirmed (see `control/service_offers.py`), and takes an instance out when its actor stops. Everywhere it
answers `Find` and keeps subscribers up to date from the topology.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.events import Terminated
from casty.actor.local import LocalSystem
from casty.actor.mailbox import Mailbox
from casty.actor.ref import ActorRef, RemoteActorRef
from casty.actor.services import Deregister, Find, Listing, Register, ServiceKey, Subscribe
from casty.actor.shares import Shares
from casty.checks import shown
from casty.cluster.actors.service_listings import Listings
from casty.cluster.control.machine import NOT_ON_TOP, SERVICE
from casty.cluster.control.service_offers import Announcement, Offers, flaw_of_offer
from casty.cluster.control.topology import Topology
from casty.complaint import Complaint
from casty.config import SECOND_NS
from casty.errors import CastyError, Unavailable
from casty.limits import MAX_SERVICE_BYTES, MAX_SERVICES, MAX_SUBSCRIPTION_BYTES
from casty.ports import Clock
from casty.wire.pack import pack

__all__ = ["PATH", "Receptionist", "ServicesChanged"]

M = TypeVar("M")

PATH = "$receptionist"
"""Where the receptionist of each node and client is reached."""

WRITE_TIMEOUT_S = 30.0

WITHDRAW_NS = SECOND_NS
"""How long a node that stops waits until the cluster knows that its services are gone."""
"""When it is said that the control group does not answer."""

MAILBOX_MESSAGES = 4 * MAX_SERVICES
"""Unread messages of the receptionist. Its own process says what it offers once, so the bound that is set for actors of
users may not take any of it: all instances that a cluster can have may come, and go, in one turn."""

MAX_EARLY = 1000
"""Questions that may wait for the first topology; older ones have timed out long before."""

Request = Register[Any] | Deregister[Any] | Subscribe[Any] | Find[Any] | Terminated


Write = Callable[[bytes, float], Awaitable[list[object]]]


class Announce(NamedTuple):
    """Told to the registrar when there is something to announce."""


class ServicesChanged(NamedTuple):
    """Told to the receptionist when the instances in the topology differ from the ones before."""


class Receptionist:
    """The receptionist of one node or client.

    Parameters
    ----------
    local
        The actors here.
    topology
        Returns the present topology.
    write
        ``await write(entry, timeout_s)`` writes a control entry and returns the reply; None on a client, which
        registers nothing.
    incarnation
        This process's incarnation.

    Bounds: `registered` has a row per living actor and service that it was registered for, `_subscribers` per living
    subscriber, with what it heard last.
    """

    def __init__(
        self,
        local: LocalSystem,
        topology: Callable[[], Topology | None],
        write: Write | None,
        incarnation: str,
    ) -> None:
        self._local = local
        self._topology = topology
        self._incarnation = incarnation
        self._subscribers: dict[str, dict[str, tuple[Subscribe[Any], Listing[Any]]]] = {}
        self._subscribed: dict[str, dict[str, None]] = {}
        """The same by subscriber: the services."""
        self._shares: Shares[tuple[str, str]] = Shares(MAX_SUBSCRIPTION_BYTES)
        self.registered: dict[str, dict[str, ActorRef[Any]]] = {}
        """By service: its living actors here, each by what `key_of` says of its ref."""
        self._services: dict[str, dict[str, None]] = {}
        """The same by actor: its services."""
        self._order = (0, 0)
        self._early: list[Find[Any]] = []
        self._offers = Offers()
        self._listings = Listings(local)
        self._complaint = Complaint(local.runtime.clock, local.log, SECOND_NS, logging.ERROR)
        self._is_leaving = False
        self._registrar: _Registrar | None = None
        if write is not None:
            registrar = self._registrar = _Registrar(write, self._offers, self._identity)
            registrar.ref = local.spawn_at("$registrar", Behaviors.receive(registrar.handle)).ref
        mailbox = self._mailbox()
        self.ref: ActorRef[Any] = local.spawn_at(PATH, Behaviors.receive(self._receive), mailbox=mailbox).ref

    @staticmethod
    def _mailbox() -> Mailbox[Any]:
        return Mailbox(MAILBOX_MESSAGES)

    def on_topology(self, topology: Topology) -> None:
        """The topology may have changed; subscribers are told when their listing did."""
        if topology.order != self._order:
            self._order = topology.order
            self._listings.keep(topology)
            self._compare(topology)
            self.ref.tell(ServicesChanged())

    def _compare(self, topology: Topology) -> None:
        """Announce again what the cluster does not know, or knows no more."""
        if self._registrar is None:
            return
        node_id, incarnation = self._identity()
        me = topology.members.get(node_id)
        if me is not None and me.incarnation == incarnation and me.status != "removed":
            self._offers.follow(me.offered)
            if self._offers.next() is not None:
                self._registrar.announce()

    async def withdraw(self) -> None:
        """Offer nothing any more, and wait until the cluster knows that, `WITHDRAW_NS` at most.

        A cluster without a leader does not answer: then these services are listed until the node is judged.
        """
        self._is_leaving = True
        if self._registrar is not None and len(self._offers):
            self._offers.withdraw()
            self._registrar.announce()
            await self._registrar.until_idle(self._local.runtime.clock)

    def _identity(self) -> tuple[str, str]:
        origin = self._local.origin
        assert origin is not None
        return origin.node_id, self._incarnation

    def listing(self, key: ServiceKey[M]) -> Listing[M]:
        """Return the present instances of a service, without a round trip."""
        return self._listings.of(self._topology(), key)

    def _receive(self, ctx: ActorContext[Any], message: object) -> Behavior[Any] | None:
        why = _flaw(message)
        if why is not None:
            self._complaint.say(f"cannot serve {shown(message, 200)}: {why}")
            return None
        match message:
            case Register(key, ref):
                self._register(ctx, key, ref)
            case Deregister(key, ref):
                self._deregister(key, ref)
            case Subscribe():
                self._subscribe(ctx, message)
            case Find():
                self._find(message)
            case Terminated(ref):
                self._forget(ref)
            case ServicesChanged():
                self._tell_subscribers()
            case _:
                return Behaviors.unhandled()
        return None

    def _register(self, ctx: ActorContext[Any], key: ServiceKey[Any], ref: ActorRef[Any]) -> None:
        if (
            self._registrar is None
            or not isinstance(ref, RemoteActorRef)
            or not self._local.is_own(ref.address)
        ):
            self._complaint.say(
                f"cannot register {shown(ref)} for {key.name}: only a node registers, and only its own actors"
            )
            return
        if self._is_leaving:
            return  # It would be taken back at once.
        uri, actor = ref.address.to_exact_uri(), self._local.key_of(ref)
        flaw = flaw_of_offer(key.name, uri)
        if flaw is not None:
            self._complaint.say(f"service {shown(key.name)} is not registered for {uri:.200}: {flaw}")
            return
        self.registered.setdefault(key.name, {})[actor] = ref
        self._services.setdefault(actor, {})[key.name] = None
        self._offers.offer(key.name, uri)
        self._registrar.announce()
        ctx.watch(ref)

    def _deregister(self, key: ServiceKey[Any], ref: ActorRef[Any]) -> None:
        self._take_back(key.name, self._local.key_of(ref))

    def _take_back(self, key: str, actor: str) -> None:
        refs = self.registered.get(key, {})
        known = refs.pop(actor, None)
        if not refs:
            self.registered.pop(key, None)
        services = self._services.get(actor, {})
        services.pop(key, None)
        if not services:
            self._services.pop(actor, None)
        if known is not None:
            assert isinstance(known, RemoteActorRef)
            assert self._registrar is not None
            self._offers.take_back(key, known.address.to_exact_uri())
            self._registrar.announce()

    def _find(self, request: Find[Any]) -> None:
        """Answer, but not before there is a topology: an empty listing then would be a guess."""
        if self._topology() is None:
            self._early = [*self._early[-MAX_EARLY:], request]
        else:
            self._local.tell(request.reply_to, self.listing(request.key))

    def _subscribe(self, ctx: ActorContext[Any], request: Subscribe[Any]) -> None:
        name, subscriber = request.key.name, self._local.key_of(request.reply_to)
        home, size_bytes = _home(request.reply_to), len(name) + 2 * len(subscriber)
        if not self._is_own(request.reply_to) and not self._shares.add(home, (name, subscriber), size_bytes):
            self._complaint.say(
                f"a subscription to {shown(name)} is not taken: those of the process of {subscriber:.200} exceed "
                f"MAX_SUBSCRIPTION_BYTES = {MAX_SUBSCRIPTION_BYTES} bytes"
            )
            return
        listing = self.listing(request.key)
        self._subscribers.setdefault(name, {})[subscriber] = (request, listing)
        self._subscribed.setdefault(subscriber, {})[name] = None
        self._local.tell(request.reply_to, listing)
        ctx.watch(request.reply_to)

    def _forget(self, ref: ActorRef[Any]) -> None:
        """An actor stopped: it is neither instance nor subscriber any more."""
        if self._is_own(ref):
            for key in list(self._services.get(self._local.key_of(ref), ())):
                self._take_back(key, self._local.key_of(ref))
        subscriber = self._local.key_of(ref)
        for key in self._subscribed.pop(subscriber, {}):
            self._shares.drop(_home(ref), (key, subscriber))
            subscribers = self._subscribers[key]
            del subscribers[subscriber]
            if not subscribers:
                del self._subscribers[key]

    def _is_own(self, ref: ActorRef[Any]) -> bool:
        return isinstance(ref, RemoteActorRef) and self._local.is_own(ref.address)

    def _tell_subscribers(self) -> None:
        early, self._early = self._early, []
        for find in early:
            self._find(find)
        for subscribers in self._subscribers.values():
            listing: Listing[Any] | None = None
            for name, (request, heard) in subscribers.items():
                listing = listing or self.listing(request.key)
                if listing != heard:
                    subscribers[name] = (request, listing)
                    self._local.tell(request.reply_to, listing)


def _home(ref: ActorRef[Any]) -> str:
    """Return the id of the process that an actor lives in, as far as it is known."""
    return (ref.address.node_id or "") if isinstance(ref, RemoteActorRef) else ""


def _flaw(message: object) -> str | None:
    """Say what is wrong with a request; None when it can be served."""
    match message:
        case Register() | Deregister():
            return _flaw_of(message.key, message.ref)
        case Subscribe() | Find():
            return _flaw_of(message.key, message.reply_to)
        case _:
            return None


def _flaw_of(key: object, ref: object) -> str | None:
    if not isinstance(key, ServiceKey):
        return f"expected a ServiceKey, found {shown(key)}"
    if not isinstance(ref, ActorRef):
        return f"expected the ref of an actor, found {shown(ref)}"
    return None


class _Registrar:
    """Announces what this process offers until the control group has it."""

    def __init__(self, write: Write, offers: Offers, identity: Callable[[], tuple[str, str]]) -> None:
        self._write = write
        self._offers = offers
        self._identity = identity
        self._is_told = False
        self._idle: asyncio.Future[None] | None = None
        """Resolved when there is nothing left to announce, or nobody to announce it to."""
        self.ref: ActorRef[Announce] | None = None

    def announce(self) -> None:
        """There is something to announce; one message is enough for all of it."""
        if not self._is_told and self.ref is not None:
            self._is_told = True
            self.ref.tell(Announce())

    async def until_idle(self, clock: Clock) -> None:
        """Wait for the end of what is being announced, `WITHDRAW_NS` at most."""
        self._idle = asyncio.get_running_loop().create_future()
        timer = clock.call_at(clock.now() + WITHDRAW_NS, self._wake)
        try:
            await self._idle
        finally:
            timer.cancel()

    def _wake(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def handle(self, ctx: ActorContext[Announce], message: Announce) -> None:
        """Announce until all is known, or this process is no member: it hears when it is one again."""
        del message
        self._is_told = False
        try:
            await self._announce(ctx)
        finally:
            self._wake()

    async def _announce(self, ctx: ActorContext[Announce]) -> None:
        while True:
            announcement = self._offers.next()
            if announcement is None:
                return
            try:
                reply: Any = await self._write(self._entry(announcement), WRITE_TIMEOUT_S)
            except Unavailable:
                ctx.log.warning("the control group does not answer; a service registration waits")
                continue
            except CastyError as error:
                ctx.log.error("service registrations were refused: %s", error)
                return
            if reply[0] != NOT_ON_TOP:
                self._confirmed(ctx, announcement, *reply[1:])
            elif reply[1] is None:
                return
            else:
                self._offers.anew(reply[1])

    def _entry(self, announcement: Announcement) -> bytes:
        changes = [list(change) for change in announcement.changes]
        return pack([SERVICE, *self._identity(), announcement.previous, announcement.number, changes])

    def _confirmed(
        self, ctx: ActorContext[Announce], done: Announcement, refused: list[list[str]], count: int, size: int
    ) -> None:
        self._offers.confirmed(done.number, [(key, ref) for key, ref in refused])
        if refused:
            ctx.log.warning(
                "service %.100r is not registered for %.200s, nor are %d others: the cluster has %d of at most %d "
                "instances, with %d of at most %d bytes of keys and addresses",
                *refused[0], len(refused) - 1, count, MAX_SERVICES, size, MAX_SERVICE_BYTES,
            )  # fmt: skip
