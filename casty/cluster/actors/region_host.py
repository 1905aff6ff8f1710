"""Volatile entities of one node: activated on demand, only in slots led here, only under the leader's lease.

At most one activation of an entity lives in the cluster: the leader's lease ends before anyone else can
lead the slot with a lease of his own, and every activation is stopped a margin before it. The lease is
looked at for each message before its handler runs, for each step of a handler or hook, for whatever it says, and by a
timer while handlers wait. A process that was suspended inside a handler may run on to that handler's next await or
tell; nothing else of it runs. How a slot is handed over is in `draining.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.cell import READ_OUT, Cell
from casty.actor.event_store import EventStore
from casty.actor.local import LocalSystem
from casty.actor.sharding import shard_of
from casty.checks import shown
from casty.cluster.actors.activations import (
    Activation,
    ActivationLease,
    EntityActivated,
    EntityStopped,
    HostedRegion,
)
from casty.cluster.actors.draining import DRAIN_NS, HandOver
from casty.cluster.actors.hosted_regions import code_of, name_of
from casty.cluster.actors.passivation import NO_LIMITS, Passivation, Recent, RegionLimits
from casty.cluster.actors.region_router import entity_path, regions_full
from casty.cluster.actors.remote import Remote
from casty.cluster.actors.senders import Heard
from casty.config import SECOND_NS
from casty.distributed.machines.events import Home
from casty.errors import CastyError, EncodingError, Mismatch, Overloaded, UnknownRegion
from casty.limits import MAX_REGIONS
from casty.ports import Timer

if TYPE_CHECKING:
    from casty.actor.context import ActorContext
    from casty.cluster.actors.entity_message import EntityMessage
    from casty.cluster.actors.region_router import RegionRouter, RegionRoutes
    from casty.cluster.control.topology import Topology

__all__ = ["RegionHost"]

M = TypeVar("M")

GRACE_NS = SECOND_NS
"""How long a message waits for its region to be hosted here: programs start regions on all nodes at once."""

NAMED = 5
"""How many entities the line about those that are cancelled names."""

_UNREAD = object()

MAX_SOURCES = 4096
"""Processes whose last number an activation remembers."""


class RegionHost:
    """The entities of one node; the router's `Acceptor`.

    Parameters
    ----------
    local, remote, routes
        The actors here, their decoder, and the topology.
    lease_until_ns
        Returns until when this node leads a slot alone, on its own clock, or an earlier instant that is later than the
        one that is given; 0 when it does not.
    margin_ns
        How long before the end of a lease activations are stopped.
    max_entities
        Activations that may live here at the same time.
    logs
        Makes the log of an entity.

    Attributes
    ----------
    served_since_ns
        Returns since when the program behind this node may have spawned its regions; now, if it may not have.

    Bounds: `_regions` and `_refused` have a row per region that was spawned here, together at most `MAX_REGIONS`;
    `slots` has a row per living entity, at most `max_entities`, and `_served` one at most; `hand_overs` one per slot.
    """

    def __init__(
        self,
        local: LocalSystem,
        remote: Remote,
        routes: RegionRoutes,
        *,
        lease_until_ns: Callable[[int, int], int],
        margin_ns: int,
        max_entities: int,
        logs: Callable[[Home], EventStore],
    ) -> None:
        self.served_since_ns: Callable[[], int] = _always
        self._local = local
        self._remote = remote
        self._routes = routes
        self._lease_until_ns = lease_until_ns
        self._margin_ns = margin_ns
        self._max_entities = max_entities
        self._logs = logs
        self._clock = local.runtime.clock
        self._observe = local.runtime.observe
        self._regions: dict[str, HostedRegion] = {}
        self._refused: dict[str, CastyError] = {}
        self.slots: dict[int, dict[str, Activation]] = {}
        """By slot and path: the living entities."""
        self._served: dict[tuple[str, str], Activation] = {}
        """By region and id, the living entities of regions without limits and roles: whatever is sent to these is taken
        by `accept_at_once`."""
        self.hand_overs: dict[int, HandOver] = {}
        """The slots of which entities stop, as another node is to lead them."""
        self._count = 0
        self._timer: Timer | None = None
        self._due_ns = 0
        self.router: RegionRouter | None = None
        self._passivation = Passivation(self._clock, self._limited)

    def register(
        self,
        shard_type: str,
        factory: Callable[[str], Behavior[Any]],
        num_shards: int,
        limits: RegionLimits = NO_LIMITS,
        role: str | None = None,
    ) -> bool:
        """Host a region from now on; False when it is hosted already.

        Raises
        ------
        Mismatch
            It has another shard count or role, here or in the cluster, or another behaviour here.
        Overloaded
            There are `MAX_REGIONS` others.
        """
        known = self._regions.get(shard_type)
        topology = self._routes.topology()
        recorded = None if topology is None else topology.regions.get(shard_type)
        recorded = recorded if known is None else known.num_shards
        if recorded is not None and recorded != num_shards:
            raise Mismatch(f"region {shard_type!r}: num_shards is {recorded}, given {num_shards}")
        self._check_role(shard_type, known, role)
        if known is not None:
            if code_of(known.factory) != code_of(factory):
                raise Mismatch(
                    f"region {shard_type!r}: its entities are made by {name_of(known.factory)} here, given "
                    f"{name_of(factory)}; give the region of one of them another name"
                )
            return False
        self._check_room(shard_type)
        recent = None if limits == NO_LIMITS else Recent(limits)
        self._regions[shard_type] = HostedRegion(factory, num_shards, recent, role)
        self._refused.pop(shard_type, None)
        return True

    def _limited(self) -> list[Recent]:
        return [region.recent for region in self._regions.values() if region.recent is not None]

    def _check_role(self, shard_type: str, known: HostedRegion | None, role: str | None) -> None:
        topology = self._routes.topology()
        if known is not None:
            recorded = known.role
        elif topology is not None and shard_type in topology.regions:
            recorded = topology.region_roles.get(shard_type)
        else:
            return
        if recorded != role:
            raise Mismatch(f"region {shard_type!r}: role is {recorded!r}, given {role!r}")

    def _check_room(self, shard_type: str) -> None:
        topology = self._routes.topology()
        names = dict.fromkeys(
            (*self._regions, *self._refused, *(() if topology is None else topology.regions))
        )
        if shard_type not in names and len(names) >= MAX_REGIONS:
            raise regions_full(shard_type, len(names))

    def names(self) -> dict[str, str]:
        """Return the names of the factories of the regions that are hosted here."""
        return {shard_type: name_of(region.factory) for shard_type, region in self._regions.items()}

    def shards_of(self, shard_type: str) -> int | None:
        """How many shards a region has that is hosted here; None for any other name."""
        region = self._regions.get(shard_type)
        return None if region is None else region.num_shards

    def refused(self, shard_type: str, error: CastyError) -> None:
        """The cluster recorded another shard count first: this node's region serves nobody."""
        self._regions.pop(shard_type, None)
        self._refused[shard_type] = error

    # -- messages

    def accept(self, item: EntityMessage) -> bool:
        """Take a message for a slot that this node seems to lead; False: not now, `item.why` says why."""
        assert self.router is not None, "the router is set before the first message"
        region = self._regions.get(item.shard_type)
        if region is None or region.num_shards != item.num_shards:
            error = self._mismatch(item, region)
            if error is not None:
                self.router.drop(item, error)
                return True
        if region is None:
            item.why = f"region {item.shard_type!r} is not hosted on the node that leads the slot"
            return False
        if region.role is not None and not self._is_placed(item.shard_type, region):
            item.why = f"region {item.shard_type!r} is not recorded with its role yet"
            return False
        slot = item.slot
        path = entity_path(item.shard_type, item.entity_id)
        is_stopping = self._local.is_stopping
        if not self.is_leased(slot) or (is_stopping and not self._is_of_a_reader(item)):
            item.why = "the node that leads the slot has no lease"
            return False
        is_inside = item.from_slot == slot or is_stopping
        hand_over = self._hand_over_of(slot) if self.hand_overs else None
        if hand_over is not None and hand_over.is_closing and not is_inside:
            item.why = "the slot is handed over to another node"
            return False
        activation = self.slots.get(slot, {}).get(path)
        if activation is not None and not activation.takes(is_inside=is_inside):
            item.why = "the entity is stopping"
            return False
        if activation is None and region.recent is not None:
            has_room = region.recent.makes_room(path)
            if has_room is None:
                limit = region.recent.limits.max_activations
                text = f"max_activations: {limit} entities of region {item.shard_type!r} live here"
                self.router.drop(item, Overloaded(f"{text}, and none of them has events to come back from"))
                return True
            if not has_room:
                item.why = "max_activations of its region live here; another entity is being unloaded"
                return False
        self._deliver(item, region, slot, path)
        if activation is None and (is_stopping or (hand_over is not None and hand_over.is_closing)):
            self._drain(slot)
        return True

    def accept_at_once(self, item: EntityMessage, topology: Topology) -> bool:
        """Take a message for an entity that is served here, where nothing stands in the way; False: see `accept`.

        As that one does, in a fraction of the time: nearly all messages are for such.
        """
        shard_type = item.shard_type
        activation = self._served.get((shard_type, item.entity_id))
        if (
            activation is None
            or activation.is_draining
            or activation.cell.is_stopping
            or activation.region.num_shards != item.num_shards
            or self._regions.get(shard_type) is not activation.region
            or shard_type in topology.region_roles
            or self.hand_overs
            or self._local.is_stopping
            or not self.is_leased(activation.lease.slot)
        ):
            return False
        message = self._read(item)
        if message is not _UNREAD:
            self._give(item, message, activation)
        return True

    def wake(self, shard_type: str, entity_id: str) -> None:
        """Activate an entity without a message, if its slot is led here and it may live; harmless where it lives."""
        region, topology = self._regions.get(shard_type), self._routes.topology()
        if region is None or topology is None or self._local.is_stopping or self._count >= self._max_entities:
            return
        if not region.is_placed(shard_type, topology):
            return
        slot = topology.slot_of_shard(shard_type, shard_of(entity_id, region.num_shards))
        is_here = entity_path(shard_type, entity_id) in self.slots.get(slot, {})
        if not is_here and self.is_leased(slot) and self._hand_over_of(slot) is None:
            heard = Heard(self._remote.senders, MAX_SOURCES)
            self._activate((shard_type, entity_id), region, slot, heard)

    def _is_placed(self, shard_type: str, region: HostedRegion) -> bool:
        topology = self._routes.topology()
        assert topology is not None, "the router knows the leader from a topology"
        return region.is_placed(shard_type, topology)

    def _is_of_a_reader(self, item: EntityMessage) -> bool:
        """Whether an entity of this node says it that reads what it was sent, as the node stops."""
        return item.from_slot is not None and self._local.is_reading_out

    def _mismatch(self, item: EntityMessage, region: HostedRegion | None) -> CastyError | None:
        topology = self._routes.topology()
        recorded = None if topology is None else topology.regions.get(item.shard_type)
        recorded = recorded if region is None else region.num_shards
        if recorded is not None and recorded != item.num_shards:
            return UnknownRegion(
                f"region {item.shard_type!r} has num_shards = {recorded}, the caller says {item.num_shards}"
            )
        if region is None and self._clock.now() - max(item.since_ns, self.served_since_ns()) > GRACE_NS:
            why = self._refused.get(item.shard_type, "spawn it on every node")
            return UnknownRegion(f"region {item.shard_type!r} is not hosted where its slot is led; {why}")
        return None

    def _deliver(self, item: EntityMessage, region: HostedRegion, slot: int, path: str) -> None:
        assert self.router is not None
        message = self._read(item)
        if message is _UNREAD:
            return
        activation = self.slots.get(slot, {}).get(path)
        if activation is None:
            if self._count >= self._max_entities:
                self.router.drop(item, Overloaded(f"max_entities: {self._max_entities} live here"))
                return
            heard = Heard(self._remote.senders, MAX_SOURCES)
            activation = self._activate((item.shard_type, item.entity_id), region, slot, heard)
        self._give(item, message, activation)

    def _read(self, item: EntityMessage) -> object:
        """Return what was sent; `_UNREAD` where there is no room for it, or nobody can read it: it was given up."""
        assert self.router is not None
        refusal = self._local.mail_refusal(item.size_bytes)
        if refusal is not None:
            self.router.drop(item, refusal)
            return _UNREAD
        try:
            return self._remote.decode(item.payload)
        except EncodingError as error:
            text = f"{item.shard_type}/{item.entity_id}: {error}"
            self._local.undecodable.say(f"a message that cannot be decoded was dropped: {text}")
            self.router.drop(item, EncodingError(text), level=0)
            return _UNREAD

    def _give(self, item: EntityMessage, message: object, activation: Activation) -> None:
        cell = activation.cell
        if activation.heard.is_overtaken(item.source, item.number):
            self._local.dead_letter(message, cell.ref, "a later message of the same sender came first")
            return
        if item.sender is not None:
            self._local.replies.came(message, item.sender)
        recent = activation.region.recent
        if recent is not None:
            recent.used(cell.path, activation, self._clock.now())
        if cell.is_stopping:
            cell.tell(message, item.size_bytes)
        else:  # as that one does
            cell.mailbox.add(message, item.size_bytes)

    def _activate(self, entity: tuple[str, str], region: HostedRegion, slot: int, heard: Heard) -> Activation:
        path = entity_path(*entity)
        behavior = Behaviors.setup(_Start(region.factory, entity[1]))
        lease = ActivationLease(self._clock, self._lease_until_ns, slot)
        cell = self._local.spawn_at(path, behavior, lease=lease)
        cell.guard = partial(self._may_handle, cell, slot)
        activation = Activation(entity, region, cell, heard, lease)
        cell.read_out = activation.drain
        cell.finished = partial(self._finished, slot)
        cell.inherit = partial(self._live_again, slot, activation)
        shard = shard_of(entity[1], region.num_shards)
        cell.log_of = lambda log_id: self._logs(Home(entity[0], shard, entity[1], log_id))
        if region.recent is not None:
            region.recent.used(path, activation, self._clock.now())
            self._passivation.began(region.recent.limits)
        self.slots.setdefault(slot, {})[path] = activation
        if region.recent is None and region.role is None:
            self._served[entity] = activation
        self._count += 1
        if self._observe:
            self._observe(EntityActivated(slot, path))
        self._arm(slot)
        return activation

    def _live_again(
        self, slot: int, former: Activation, cell: Cell, mail: Sequence[tuple[object, int]]
    ) -> None:
        """An entity that ended itself had mail: its next life reads that, before anything that comes later."""
        region = self._regions.get(former.entity[0])
        is_late = self._local.is_stopping and not self._local.is_reading_out
        if region is None or is_late or not self.is_leased(slot):
            former.heard.close()
            for message, _ in mail:
                cell.unread(message)
        else:
            activation = self._activate(former.entity, region, slot, former.heard)
            for message, size in mail:
                activation.cell.tell(message, size)
            hand_over = self._hand_over_of(slot)
            if (
                former.is_draining
                or self._local.is_stopping
                or (hand_over is not None and hand_over.is_closing)
            ):
                activation.drain()
        if self.router is not None:
            self.router.retry()

    # -- leases

    def is_leased(self, slot: int) -> bool:
        """Whether this node may run entities of a slot now, with the margin that stopping them takes."""
        until_ns = self._clock.now() + self._margin_ns
        return until_ns < self._lease_until_ns(slot, until_ns)

    def _may_handle(self, cell: Cell, slot: int, message: object) -> bool:
        if message is READ_OUT:
            if cell.mailbox.empty():
                cell.stop()
            else:  # another entity of the slot said something meanwhile, and may wait for the answer
                cell.mailbox.put_beyond(READ_OUT)
            return False
        if self.is_leased(slot):
            return True
        self._local.dead_letter(message, cell.ref, "this node's lease on the slot ended")
        self._stop_slot(slot)
        return False

    def _due_ns_of(self, slot: int) -> int:
        """When to look at a lease again: at its end or sooner, as a lone voter's endless lease may shrink."""
        most_ns = self._clock.now() + 2 * self._margin_ns
        return min(self._lease_until_ns(slot, most_ns), most_ns) - self._margin_ns

    def _arm(self, slot: int) -> None:
        due_ns = self._due_ns_of(slot)
        if self._timer is not None:
            if self._due_ns <= due_ns:
                return
            self._timer.cancel()
        self._due_ns = due_ns
        self._timer = self._clock.call_at(due_ns, self._check)

    def _check(self) -> None:
        """Stop what has no lease; look again when the first of the other leases would end."""
        self._timer = None
        earliest_ns = 0
        for slot in list(self.slots):
            due_ns = self._due_ns_of(slot)
            if due_ns <= self._clock.now():
                self._stop_slot(slot)
                due_ns = self._clock.now() + self._margin_ns  # in case user code held on to its cancellation
            if earliest_ns == 0 or due_ns < earliest_ns:
                earliest_ns = due_ns
        if earliest_ns:
            self._due_ns = earliest_ns
            self._timer = self._clock.call_at(earliest_ns, self._check)

    def _stop_slot(self, slot: int) -> None:
        for activation in list(self.slots.get(slot, {}).values()):
            activation.cell.stop(is_forced=True)

    def _finished(self, slot: int, cell: Cell) -> None:
        activations = self.slots.get(slot, {})
        activation = activations.pop(cell.path, None)
        if activation is not None:
            if self._served.get(activation.entity) is activation:
                del self._served[activation.entity]
            region = self._regions.get(activation.entity[0])
            if region is not None and region.recent is not None:
                region.recent.ended(cell.path)
            if not cell.has_heirs:
                activation.heard.close()
            self._count -= 1
            if self._observe:
                self._observe(EntityStopped(slot, cell.path))
        if not activations:
            self.slots.pop(slot, None)
        if self.router is not None and not cell.has_heirs:
            self.router.retry()

    # -- what the node calls

    def hand_over(self, slot: int) -> bool:
        """Let the entities of a slot read their mail and stop; called again until True: none is left."""
        now_ns = self._clock.now()
        hand_over = self._hand_over_of(slot)
        if hand_over is None:
            busy = [one for one in self.slots.get(slot, {}).values() if one.cell.is_busy]
            hand_over = self.hand_overs[slot] = HandOver(now_ns, busy)
            for activation in busy:
                activation.drain()
        hand_over.asked(now_ns)
        if not hand_over.is_closing and not self._awaited(slot, hand_over):
            hand_over.close(now_ns)
            self._drain(slot)
        if hand_over.is_due(now_ns):
            self._force(slot, self._awaited(slot, hand_over), is_last=hand_over.forces > 1)
        return hand_over.is_closing and slot not in self.slots

    def _drain(self, slot: int) -> None:
        for activation in self.slots.get(slot, {}).values():
            activation.drain()

    def _awaited(self, slot: int, hand_over: HandOver) -> list[Activation]:
        """Return those that should have come to their end: not who is unloaded meanwhile, while others are served."""
        living = self.slots.get(slot, {}).values()
        return [one for one in living if one.is_draining and (hand_over.is_closing or one in hand_over.first)]

    def _force(self, slot: int, left: Sequence[Activation], *, is_last: bool) -> None:
        """End those that are left; at last they may not even clean up any more."""
        if left and not is_last:
            paths = ", ".join(shown(activation.cell.path, 80) for activation in left[:NAMED])
            self._local.log.warning(
                "slot %s is handed over: %s entities did not end within %s s and are cancelled: %s%s",
                slot, len(left), DRAIN_NS // SECOND_NS, paths, ", ..." if len(left) > NAMED else "",
            )  # fmt: skip
        for activation in left:
            if is_last:
                activation.lease.revoke()
            activation.cell.stop(is_forced=True)

    def _hand_over_of(self, slot: int) -> HandOver | None:
        hand_over = self.hand_overs.get(slot)
        if hand_over is None or hand_over.is_on(self._clock.now()):
            return hand_over
        del self.hand_overs[slot]
        return None

    def role_changed(self, slot: int, is_leading: bool) -> None:
        """The node began or ceased to lead a slot."""
        self.hand_overs.pop(slot, None)
        if not is_leading:
            self._stop_slot(slot)
        if self.router is not None:
            self.router.retry()

    @property
    def entities(self) -> int:
        """How many entities live here."""
        return self._count

    def close(self) -> None:
        """Arm no timer any more; the actors are stopped by their system."""
        self._passivation.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Start:
    """Runs the user's factory inside the entity's own cell, where what it raises is that entity's failure."""

    __slots__ = ("_entity_id", "_factory")

    def __init__(self, factory: Callable[[str], Behavior[M]], entity_id: str) -> None:
        self._factory = factory
        self._entity_id = entity_id

    async def __call__(self, ctx: ActorContext[Any]) -> Behavior[Any]:
        """Return the entity's behaviour."""
        del ctx
        return self._factory(self._entity_id)


def _always() -> int:
    return 0
