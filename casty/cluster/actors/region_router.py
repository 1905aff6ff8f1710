"""The way of a message to a sharded entity, on nodes and clients: entity -> shard -> slot -> its leader.

A message that cannot leave yet (no topology, no leader, no link, no lease) waits here, behind earlier ones
for the same shard, bounded in number, until its question has ended or `WAIT_NS` has passed. A node that
gets a message for a slot led elsewhere passes it on. A router numbers its messages; the entity's node takes
only rising numbers from a router, so a message that was overtaken on another path is a dead letter and order is
kept.

Every message is encoded when it is sent, also one that stays in this process: whether a class can travel
must not depend on where an entity happens to live.

Names are the same in another cluster of the same name, so a message says for which cluster and generation it is, as its
sender saw it when it left there; a node of another one refuses it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from casty.actor.lease import acting_slot
from casty.actor.local import LocalSystem
from casty.actor.ref import ActorRef
from casty.actor.sharding import ShardEnvelope, shard_of
from casty.address import ActorAddress, node_id_of
from casty.checks import check_count, check_name, shown
from casty.cluster.actors.entity_message import EntityMessage, read_row
from casty.cluster.actors.remote import ActorRoutes, Remote, plain_sender
from casty.cluster.authority import PEER, Speaker, heard_as, may_name
from casty.cluster.control.topology import Topology
from casty.config import SECOND_NS
from casty.errors import CastyError, MessageTooLarge, Mismatch, Overloaded, RemoteProtocolError, Unavailable
from casty.events import Redirected
from casty.limits import MAX_REGION_NAME_BYTES, MAX_REGIONS
from casty.ports import Timer
from casty.wire import frames
from casty.wire.pack import pack, unpack

__all__ = ["Acceptor", "RegionRouter", "RegionRoutes", "check_region", "regions_full"]

WAIT_NS = 10 * SECOND_NS
"""How long a message without a question waits: a failover takes 2 s, so only a lost quorum outlasts it."""

RETRY_NS = SECOND_NS // 20
"""How often waiting messages try again; news of leaders and leases are tried at once."""

RETRIED_AT_ONCE = 256
"""Shards with waiting messages that are looked at in one turn; each costs some ten microseconds."""

ASK_OTHERS_NS = SECOND_NS
"""After so long without a link to the leader another node is asked to pass the message on."""

MAX_RELAYS = 2
"""How often a message is passed on: to the leader it was not sent to, and once more if that moved."""


class RegionRoutes(ActorRoutes, Protocol):
    """What a node or client offers to its router."""

    def linked(self) -> Sequence[str]:
        """Return the node ids that can be reached now."""
        ...


class Acceptor(Protocol):
    """The entities of a node: `region_host.RegionHost`."""

    def accept(self, item: EntityMessage) -> bool:
        """Take a message for a slot that this node seems to lead; False: not now, `item.why` says why."""
        ...

    def accept_at_once(self, item: EntityMessage, topology: Topology) -> bool:
        """Take a message for an entity that lives here, where nothing stands in the way; False: see `accept`."""
        ...


class RegionRouter:
    """Routes of one node or client.

    Parameters
    ----------
    local, remote, routes
        The actors here, their encoder, and the ways out.
    me
        This process's node id; None for a client.
    source
        This process's peer key.
    max_waiting
        Messages that may wait here at the same time.
    acceptor
        The entities of this node; None for a client.

    Bounds: `_refs` has a row per region that was named here, at most `MAX_REGIONS`; `waiting_by_shard` has one per
    shard with waiting messages, which are at most `max_waiting`.
    """

    def __init__(
        self,
        local: LocalSystem,
        remote: Remote,
        routes: RegionRoutes,
        *,
        me: str | None,
        source: str,
        max_waiting: int,
        acceptor: Acceptor | None = None,
    ) -> None:
        self._local = local
        self._remote = remote
        self._routes = routes
        self._me = me
        self.source = source
        """This process, as entities tell senders apart."""
        self._max_waiting = max_waiting
        self._acceptor = acceptor
        self._clock = local.runtime.clock
        self._observe = local.runtime.observe
        self.number = 0
        """That of the message to an entity that was sent last; none is used twice."""
        self._refs: dict[str, tuple[int, ActorRef[ShardEnvelope[Any]]]] = {}
        self.waiting_by_shard: dict[tuple[str, int], deque[EntityMessage]] = {}
        """By region and shard: what waits for a leader, in order."""
        self._count = 0
        self._by_source: dict[str, int] = {}
        """Process -> how many of its messages wait; a row goes with the last of them."""
        self._timer: Timer | None = None
        self._to_retry: list[tuple[str, int]] = []
        """Shards that this round of retries has not come to."""
        self._is_news = False
        self._is_retrying = False
        self._is_closed = False
        self._speaker: Speaker | None = None
        self._speaker_id = self._heard_as = ""
        """Whose link a message came over last, its id, and under which key its own are counted."""
        self.refusal: Callable[[], CastyError | None] = _nothing
        """Why no message will ever leave, if that is known: all contact points refused this client."""

    # -- refs

    def ref(self, shard_type: str, num_shards: int) -> ActorRef[ShardEnvelope[Any]]:
        """Return the ref of a region, always the same; raises `Mismatch` for another shard count.

        A count that was wrong may be put right by what the cluster recorded: then the ref is as good as new. Where
        `MAX_REGIONS` others have refs, `Overloaded` is raised.
        """
        check_region(shard_type, num_shards)
        known = self._refs.get(shard_type)
        if known is not None and known[0] == num_shards:
            return known[1]
        if known is not None:
            topology = self._routes.topology()
            if topology is None or topology.regions.get(shard_type) != num_shards:
                raise Mismatch(f"region {shard_type!r}: num_shards is {known[0]} here, given {num_shards}")
        if known is None and len(self._refs) >= MAX_REGIONS:
            raise regions_full(shard_type, len(self._refs))
        path = region_path(shard_type)
        self._local.remove_endpoint(path)
        ref = self._local.add_endpoint(path, _Proxy(self, shard_type, num_shards).receive)
        self._refs[shard_type] = (num_shards, ref if known is None else known[1])
        return self._refs[shard_type][1]

    # -- in

    def tell(self, shard_type: str, num_shards: int, entity_id: str, message: object) -> None:
        """Send a message of this process to an entity."""
        payload = self._remote.encode(message)
        self._check_size(entity_id, payload)
        self.number += 1
        number, sender = self.number, self._local.replies.asking
        is_clear = not (self.waiting_by_shard or self._is_closed)
        if is_clear and self._sends(shard_type, num_shards, entity_id, number, sender, payload):
            return
        item = EntityMessage(
            shard_type, num_shards, entity_id, self.source, number, 0, sender, self._clock.now(), payload,
            acting_slot(),
        )  # fmt: skip
        self.route(item)

    def _sends(
        self,
        shard_type: str,
        num_shards: int,
        entity_id: str,
        number: int,
        sender: ActorAddress | None,
        payload: bytes,
    ) -> bool:
        """Send a message of this process to another one that leads its slot; False where it is not that easy.

        As `route` does, in half the time: nearly all messages of a client leave so.
        """
        topology = self._routes.topology()
        if topology is None:
            return False
        slot = topology.slot_of_shard(shard_type, shard_of(entity_id, num_shards))
        leader = topology.leaders.leader_of(slot)
        if leader is None or leader == self._me:
            return False
        plain, home = plain_sender(sender), topology.home
        row = [shard_type, num_shards, entity_id, self.source, number, 0, plain, payload, home]
        if not self._routes.send(leader, frames.ENTITY, pack(row)):
            return False
        question = self._local.replies.sending
        if question is not None:
            question.phase = ("entity ", entity_id, ", ", "sent to ", leader)
        return True

    def _check_size(self, entity_id: str, payload: bytes) -> None:
        """A name travels with each message: both together are what the cluster takes, so that no frame is too long."""
        name_bytes = len(entity_id) if entity_id.isascii() else len(entity_id.encode())
        size_bytes = len(payload) + name_bytes
        if self._remote.is_too_large(size_bytes):
            raise self._remote.too_large(f"message and id of the entity {shown(entity_id, 80)}", size_bytes)

    def on_entity(self, body: bytes, speaker: Speaker | None = None) -> None:
        """Take an ``ENTITY`` frame of another process; what a client sends in another's name is not believed."""
        self.on_row(unpack(body), speaker)

    def on_row(self, row: Any, speaker: Speaker | None) -> None:
        """Take what is in such a frame, or was in a bundle."""
        item = read_row(row, self._local.name, self._clock.now())
        source, address = item.source, item.sender
        if speaker is not None:
            if speaker is not self._speaker:
                self._speaker, self._speaker_id = speaker, node_id_of(speaker.key)
                self._heard_as = heard_as(speaker, speaker.key)
            if speaker.role < PEER and address is not None and address.node_id != self._speaker_id:
                item.sender = None
            if speaker.key == source:
                item.source = self._heard_as
            elif may_name(speaker, source, passes_on=True):
                item.source = heard_as(speaker, source)
            else:
                flaw = f"{shown(speaker.key, 100)} does not speak for this sender"
                self.drop(item, RemoteProtocolError(flaw))
                return
        if not self._takes(item):
            self.route(item)

    def _takes(self, item: EntityMessage) -> bool:
        """Whether an entity of this process took a message at once; not where others wait, who may be before it."""
        topology, acceptor = self._routes.topology(), self._acceptor
        if topology is None or acceptor is None or self.waiting_by_shard or self._is_closed:
            return False
        return item.home == topology.home and acceptor.accept_at_once(item, topology)

    def route(self, item: EntityMessage) -> None:
        """Send a message on, or let it wait behind the earlier ones of its shard."""
        if self._is_closed:
            self.drop(item, Unavailable(f"{item.entity_id}: this process has stopped"), logging.INFO)
            return
        item.shard = shard_of(item.entity_id, item.num_shards)
        key = (item.shard_type, item.shard)
        if key not in self.waiting_by_shard and self._try(item):
            return
        if self._count >= self._max_waiting:
            self.drop(item, Overloaded(f"max_mailbox: {self._max_waiting} messages wait for leaders"))
            return
        theirs = self._by_source.get(item.source, 0)
        if item.source != self.source and theirs >= max(1, self._max_waiting // 2):
            self.drop(
                item,
                Overloaded(f"max_mailbox: {theirs} messages of this process wait for leaders, half of it"),
            )
            return
        refusal = self._local.mail_refusal(item.size_bytes)
        if refusal is not None:
            self.drop(item, refusal)
            return
        self._by_source[item.source] = theirs + 1
        self._count += 1
        self._local.unread.size_bytes += item.size_bytes
        self.waiting_by_shard.setdefault(key, deque()).append(item)
        self._arm()

    # -- out

    def _stray(self, item: EntityMessage) -> Unavailable | None:
        """Return the error of a message for another cluster of the same name."""
        topology = self._routes.topology()
        if item.home is None or topology is None or item.home == (home := topology.home):
            return None
        return Unavailable(
            f"{item.entity_id}: expected a message for the cluster {home}, found one for "
            f"{shown(item.home, 80)}: another cluster of the same name, or another generation; is a contact point of "
            "the sender a node of another cluster?"
        )

    def _leader_of(self, item: EntityMessage) -> str | None:
        topology = self._routes.topology()
        if topology is None:
            return None
        item.slot = topology.slot_of_shard(item.shard_type, item.shard)
        return topology.leader_of(item.slot)

    def _try(self, item: EntityMessage) -> bool:
        """Let the message go if it can; True when it needs no more care here."""
        if item.home is not None and (stray := self._stray(item)) is not None:
            self.drop(item, stray)
            return True
        leader = self._leader_of(item)
        if leader is None and (error := self.refusal()) is not None:
            self.drop(item, error)
            return True
        is_gone = self._try_leader(item, leader)
        if item.sender is not None and self._local.is_own(item.sender):
            self._note(item, item.sender, leader, is_gone=is_gone)
        return is_gone

    def _note(self, item: EntityMessage, asker: ActorAddress, leader: str | None, *, is_gone: bool) -> None:
        """Say in the question's own error how far it came; the text is put together where there is an error."""
        reply = self._local.replies.at(asker.path)
        if reply is not None:
            phase = ("sent to ", leader or "") if is_gone else ("waiting: ", item.why)
            reply.phase = ("entity ", item.entity_id, ", ", *phase)

    def _try_leader(self, item: EntityMessage, leader: str | None) -> bool:
        if leader is None:
            item.why = "no topology yet" if self._routes.topology() is None else "its slot has no leader"
            return False
        if leader == self._me and self._acceptor is not None:
            return self._acceptor.accept(item)
        if item.relay_paths >= MAX_RELAYS:
            item.why = "it was passed on too often"
            return False
        return self._pass_on(item, leader)

    def _pass_on(self, item: EntityMessage, leader: str) -> bool:
        is_passing = item.source != self.source
        topology = self._routes.topology()
        assert topology is not None, "a leader is known from a topology"
        body = item.body(item.relay_paths + is_passing, topology.home)
        if is_passing and self._observe:
            self._observe(Redirected(item.slot))
        if self._routes.send(leader, frames.ENTITY, body):
            return True
        item.why = f"no link to {leader}, which leads its slot"
        if is_passing or self._clock.now() - item.since_ns < ASK_OTHERS_NS:
            return False
        others = [node_id for node_id in self._routes.linked() if node_id not in (leader, self._me)]
        return any(self._routes.send(node_id, frames.ENTITY, body) for node_id in others[:1])

    def drop(self, item: EntityMessage, error: CastyError, level: int = logging.WARNING) -> None:
        """Give a message up: a dead letter, and the end of its question."""
        path = entity_path(item.shard_type, item.entity_id)
        self._local.dead_letter(item.payload, self._local.own_ref(path), str(error), level=level)
        self._remote.refuse(item.sender, error)

    # -- waiting

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return self._count

    def retry(self) -> None:
        """Let everything go that can by now: leaders, links or leases are news. What is much goes on in later turns."""
        if self._is_retrying:
            return
        if self._to_retry:
            self._is_news = True  # those that were looked at already want to know
            return
        self._to_retry = list(self.waiting_by_shard)
        self._to_retry.reverse()
        self._retry_some()

    def _retry_some(self) -> None:
        """Look at so many shards, and go on in the next turn."""
        self._is_retrying = True
        try:
            for _ in range(min(len(self._to_retry), RETRIED_AT_ONCE)):
                key = self._to_retry.pop()
                if key not in self.waiting_by_shard:
                    continue
                self._retry_shard(self.waiting_by_shard[key])
                if not self.waiting_by_shard[key]:
                    del self.waiting_by_shard[key]
        finally:
            self._is_retrying = False
        if not self._to_retry and self._is_news:
            self._is_news = False
            self._to_retry = list(self.waiting_by_shard)
            self._to_retry.reverse()
        if self._to_retry:
            self._clock.call_at(self._clock.now(), self._retry_some)

    def _retry_shard(self, items: deque[EntityMessage]) -> None:
        now_ns = self._clock.now()
        while items:
            item = items[0]
            if self._has_ended(item):
                self.drop(item, Unavailable("the question ended before it could be sent"), logging.INFO)
            elif now_ns - item.since_ns > WAIT_NS:
                self.drop(item, Unavailable(f"{item.entity_id}: waited {WAIT_NS / SECOND_NS} s; {item.why}"))
            elif not self._try_again(item):
                return
            items.popleft()
            self._left(item)
            self._local.unread.size_bytes -= item.size_bytes

    def _left(self, item: EntityMessage) -> None:
        self._count -= 1
        left = self._by_source.pop(item.source) - 1
        if left:
            self._by_source[item.source] = left

    def _try_again(self, item: EntityMessage) -> bool:
        try:
            # The cluster's limit may have come after it was sent.
            self._check_size(item.entity_id, item.payload)
            return self._try(item)
        except MessageTooLarge as error:  # it never gets shorter, and others wait behind it
            self.drop(item, error)
            return True

    def _has_ended(self, item: EntityMessage) -> bool:
        sender = item.sender
        return (
            sender is not None and self._local.is_own(sender) and self._local.replies.at(sender.path) is None
        )

    def _arm(self) -> None:
        if self._timer is None:
            # Many wait as few do: for news. The timer is for what is none, and takes no more for more of them.
            pause_ns = RETRY_NS * (1 + len(self.waiting_by_shard) // RETRIED_AT_ONCE)
            self._timer = self._clock.call_at(self._clock.now() + pause_ns, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.retry()
        if self.waiting_by_shard:
            self._arm()

    def close(self) -> None:
        """Give up everything that waits, and what is still sent, at once."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for items in self.waiting_by_shard.values():
            for item in items:
                error = Unavailable(f"{item.entity_id}: this process stops; {item.why}")
                self.drop(item, error, logging.INFO)
                self._local.unread.size_bytes -= item.size_bytes
        self.waiting_by_shard.clear()
        self._by_source.clear()
        self._to_retry.clear()
        self._count = 0


def region_path(shard_type: str) -> str:
    """Return the path of a region's ref; names are opaque.

    >>> region_path("shop/cart")
    '$region/shop%2Fcart'
    """
    return f"$region/{_escaped(shard_type)}"


def entity_path(shard_type: str, entity_id: str) -> str:
    """Return the path of an entity: no other entity has it, and no child of one; ids are opaque.

    >>> entity_path("cart", "a/b"), entity_path("cart", "a%2Fb")
    ('$region/cart/a%2Fb', '$region/cart/a%252Fb')
    """
    if "%" in entity_id or "/" in entity_id:
        entity_id = _escaped(entity_id)
    if "%" in shard_type or "/" in shard_type:
        shard_type = _escaped(shard_type)
    return f"$region/{shard_type}/{entity_id}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("/", "%2F")


def check_region(shard_type: str, num_shards: int) -> None:
    """Raise `TypeError` or `ValueError` unless a region can be called so and cut into so many shards."""
    check_name(shard_type, "shard type")
    size = len(shard_type.encode())
    if size > MAX_REGION_NAME_BYTES:
        raise ValueError(f"shard type: expected at most {MAX_REGION_NAME_BYTES} bytes, found {size}")
    check_count("num_shards", num_shards, 1)


def regions_full(shard_type: str, found: int) -> Overloaded:
    """Return the error of a name that is one too many."""
    return Overloaded(
        f"region {shard_type!r}: expected at most MAX_REGIONS = {MAX_REGIONS} names of regions in a cluster, "
        f"found {found} others; names stay recorded: put what differs into the ids of entities"
    )


def _nothing() -> None:
    return None


class _Proxy:
    """The receiving end of a region's ref."""

    __slots__ = ("_num_shards", "_router", "_shard_type")

    def __init__(self, router: RegionRouter, shard_type: str, num_shards: int) -> None:
        self._router = router
        self._shard_type = shard_type
        self._num_shards = num_shards

    def receive(self, message: object) -> None:
        """Take an envelope; `TypeError` for anything else."""
        if not isinstance(message, ShardEnvelope):
            found = type(message).__name__
            raise TypeError(f"region {self._shard_type!r}: expected a ShardEnvelope, found {found}")
        self._router.tell(self._shard_type, self._num_shards, message.entity_id, message.message)
