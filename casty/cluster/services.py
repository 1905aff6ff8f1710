"""Service discovery: instances of services are state of the control group, and every topology carries them.

On a node the receptionist takes `Register` and `Deregister` for actors, writes them to the control group
one after the other until each is confirmed, and takes an instance out when its actor stops. Everywhere it
answers `Find` and keeps subscribers up to date from the topology.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.events import Terminated
from casty.actor.local import LocalSystem
from casty.actor.ref import ActorRef, RemoteActorRef
from casty.actor.services import Deregister, Find, Listing, Register, ServiceInstance, ServiceKey, Subscribe
from casty.address import ActorAddress, NodeAddress
from casty.cluster.control import SERVICE, check_entry
from casty.cluster.topology import Topology
from casty.errors import CastyError, MessageTooLarge, Unavailable
from casty.wire.pack import pack

__all__ = ["PATH", "Receptionist", "ServicesChanged", "listing_of"]

M = TypeVar("M")

PATH = "$receptionist"
"""Where the receptionist of each node and client is reached."""

WRITE_TIMEOUT_S = 5.0

MAX_ENTRY_BYTES = 65_536
"""A key and a path: every topology of every client carries them."""

MAX_EARLY = 1000
"""Questions that may wait for the first topology; older ones have timed out long before."""

Request = Register[Any] | Deregister[Any] | Subscribe[Any] | Find[Any] | Terminated


class ServicesChanged(NamedTuple):
    """Told to the receptionist when the instances in the topology differ from the ones before."""


def listing_of(local: LocalSystem, topology: Topology | None, key: ServiceKey[M]) -> Listing[M]:
    """Return the instances of a service in a topology; none before the first one."""
    rows = () if topology is None else topology.services.get(key.name, ())
    found: list[ServiceInstance[M]] = []
    for uri, node_id in rows:
        member = None if topology is None else topology.members.get(node_id)
        if member is None or member.status in ("down", "removed"):
            continue
        address = ActorAddress.from_uri(uri)
        assert address.host is not None, "a registered address names its node"
        assert address.port is not None, "a registered address names its node"
        ref: ActorRef[M] = local.make_ref(
            ActorAddress(address.system, address.path, address.host, address.port, node_id)
        )
        found.append(ServiceInstance(ref, NodeAddress(address.host, address.port)))
    return Listing(key, tuple(found))


class Receptionist:
    """The receptionist of one node or client.

    Parameters
    ----------
    local
        The actors here.
    topology
        Returns the present topology.
    write
        ``await write(entry, timeout_s)`` writes a control entry; None on a client, which registers nothing.
    incarnation
        This process's incarnation.
    """

    def __init__(
        self,
        local: LocalSystem,
        topology: Callable[[], Topology | None],
        write: Callable[[bytes, float], Awaitable[None]] | None,
        incarnation: str,
    ) -> None:
        self._local = local
        self._topology = topology
        self._incarnation = incarnation
        self._subscribers: dict[str, dict[str, Subscribe[Any]]] = {}
        self._sent: dict[str, Listing[Any]] = {}
        self._registered: dict[str, dict[str, ActorRef[Any]]] = {}
        self._order = (0, 0)
        self._early: list[Find[Any]] = []
        self._registrar: ActorRef[bytes] | None = None
        if write is not None:
            self._registrar = local.spawn_at("$registrar", Behaviors.receive(_Registrar(write).handle)).ref
        self.ref: ActorRef[Any] = local.spawn_at(PATH, Behaviors.receive(self._receive)).ref

    def on_topology(self, topology: Topology) -> None:
        """The topology may have changed; subscribers are told when their listing did."""
        if topology.order != self._order:
            self._order = topology.order
            self.ref.tell(ServicesChanged())

    def listing(self, key: ServiceKey[M]) -> Listing[M]:
        """Return the present instances of a service, without a round trip."""
        return listing_of(self._local, self._topology(), key)

    def _receive(self, ctx: ActorContext[Any], message: object) -> Behavior[Any] | None:
        why = _flaw(message)
        if why is not None:
            ctx.log.error("cannot serve %.200r: %s", message, why)
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
            ctx.log.error(
                "cannot register %r for %s: only a node registers, and only its own actors", ref, key.name
            )
            return
        self._registered.setdefault(key.name, {})[ref.id] = ref
        self._write(key.name, ref, is_on=True)
        ctx.watch(ref)

    def _deregister(self, key: ServiceKey[Any], ref: ActorRef[Any]) -> None:
        known = self._registered.get(key.name, {}).pop(ref.id, None)
        if known is not None:
            self._write(key.name, known, is_on=False)

    def _write(self, key: str, ref: ActorRef[Any], *, is_on: bool) -> None:
        assert isinstance(ref, RemoteActorRef)
        assert self._registrar is not None
        origin = self._local.origin
        assert origin is not None
        entry = [SERVICE, key, ref.address.to_uri(), origin.node_id, self._incarnation, is_on]
        self._registrar.tell(pack(entry))

    def _find(self, request: Find[Any]) -> None:
        """Answer, but not before there is a topology: an empty listing then would be a guess."""
        if self._topology() is None:
            self._early = [*self._early[-MAX_EARLY:], request]
        else:
            self._local.tell(request.reply_to, self.listing(request.key))

    def _subscribe(self, ctx: ActorContext[Any], request: Subscribe[Any]) -> None:
        listing = self.listing(request.key)
        self._sent[request.key.name] = listing
        self._subscribers.setdefault(request.key.name, {})[self._local.key_of(request.reply_to)] = request
        self._local.tell(request.reply_to, listing)
        ctx.watch(request.reply_to)

    def _forget(self, ref: ActorRef[Any]) -> None:
        """An actor stopped: it is neither instance nor subscriber any more."""
        for key, refs in self._registered.items():
            known = refs.pop(ref.id, None) if self._is_own(ref) else None
            if known is not None:
                self._write(key, known, is_on=False)
        for subscribers in self._subscribers.values():
            subscribers.pop(self._local.key_of(ref), None)

    def _is_own(self, ref: ActorRef[Any]) -> bool:
        return isinstance(ref, RemoteActorRef) and self._local.is_own(ref.address)

    def _tell_subscribers(self) -> None:
        early, self._early = self._early, []
        for find in early:
            self._find(find)
        for name, subscribers in self._subscribers.items():
            requests = list(subscribers.values())
            if not requests:
                continue
            listing = self.listing(requests[0].key)
            if listing != self._sent[name]:
                self._sent[name] = listing
                for request in requests:
                    self._local.tell(request.reply_to, listing)


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
        return f"expected a ServiceKey, found {key!r:.100}"
    if not isinstance(ref, ActorRef):
        return f"expected the ref of an actor, found {ref!r:.100}"
    return None


class _Registrar:
    """Writes entries one after the other; each is repeated until the control group confirms it."""

    def __init__(self, write: Callable[[bytes, float], Awaitable[None]]) -> None:
        self._write = write

    async def handle(self, ctx: ActorContext[bytes], entry: bytes) -> None:
        """Write one entry; one that can never be written keeps nobody waiting behind it."""
        while True:
            try:
                _check_size(entry)
                check_entry(entry)
                await self._write(entry, WRITE_TIMEOUT_S)
                return
            except Unavailable:
                ctx.log.warning("the control group does not answer; a service registration waits")
            except CastyError as error:
                ctx.log.error("a service registration was refused: %s", error)
                return


def _check_size(entry: bytes) -> None:
    if len(entry) > MAX_ENTRY_BYTES:
        raise MessageTooLarge(
            f"expected a key and a path of together less than {MAX_ENTRY_BYTES} bytes, found {len(entry)}"
        )
