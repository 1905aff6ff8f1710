"""One node of a cluster: links, groups, topology and duties put together. No actors here; see `system.py`.

`Node` is where all parts of a process are made, each with what it needs of the others: it is complete when its
constructor returns, and nothing is put into it later. What only an event loop can do comes before (`start.py`) and
after (`Node.start`).

Life of a node: listen (`entrance.py`) -> take back what the disk has -> dial the seeds, found or join (`joining.py`) ->
follow the control group -> host the slots that it names -> ``ready`` -> stop: hand leaderships over, close the own
sessions, go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from casty.address import peer_key, replica_id_of
from casty.cluster.control import topology as topologies
from casty.cluster.control.replica import CONTROL, ControlReplica
from casty.cluster.control.topology import LeaderTable, Topology
from casty.cluster.multiraft.heartbeats import Heartbeats
from casty.cluster.multiraft.host import Group, Host, Replica
from casty.cluster.multiraft.memory_budget import MemoryBudget, budget_of
from casty.cluster.multiraft.numbers import group_of, slot_of
from casty.cluster.node.actor_hooks import NO_ACTORS, ActorHooks
from casty.cluster.node.admission import Admission
from casty.cluster.node.backups import Backups
from casty.cluster.node.boundary import Boundary
from casty.cluster.node.change_log import Chronicle
from casty.cluster.node.commands import Commands
from casty.cluster.node.control_group import ControlGroup
from casty.cluster.node.disk import NodeDisk
from casty.cluster.node.entrance import Entrance
from casty.cluster.node.founding_document import WallGeneration
from casty.cluster.node.group_health import GroupHealth
from casty.cluster.node.joining import Joining
from casty.cluster.node.leader_tasks import ControlDuties, FailureDetector, SlotDuties
from casty.cluster.node.leaving import Leaving
from casty.cluster.node.links import Links, key_of
from casty.cluster.node.options import NodeOptions
from casty.cluster.node.readiness import Readiness
from casty.cluster.node.relays import ControlCalls, Relays
from casty.cluster.node.removed_replicas import Vacated
from casty.cluster.node.replica_factory import Groups
from casty.cluster.node.replica_repair import Refills
from casty.cluster.node.request_handler import RequestHandler
from casty.cluster.node.salvage import Salvage
from casty.cluster.node.status import StatusReplies, status_document
from casty.cluster.node.succession import Succession
from casty.cluster.node.told_settings import broken_promise
from casty.cluster.node.topology_publisher import TopologyPublisher
from casty.cluster.sessions.gateway import Gateway
from casty.cluster.slots.node_memory import NodeMemory
from casty.complaint import Complaint
from casty.config import SECOND_NS
from casty.discovery import Discovery
from casty.durable.book import Book
from casty.errors import Refused
from casty.events import LinkDown, LinkUp
from casty.ports import Runtime, Timer
from casty.transport.connection import Connection
from casty.transport.losses import Losses
from casty.transport.peers import Peers
from casty.wire import frames
from casty.wire.hello import Welcome
from casty.wire.pack import pack

__all__ = ["Node"]

log = logging.getLogger("casty.node")

HAND_OVER_NS = 1_750_000_000
"""What stopping may take: two seconds with all that comes before and after."""
STEP_S = 0.05


class Node:
    """A process's membership in a cluster.

    Parameters
    ----------
    options
        What the user asked for, with the host that others dial.
    runtime
        The ports.
    entrance
        Where it listens already.
    discovery
        Whom the configuration says to ask.
    wall_generation
        The lowest generation by the wall clock, since the start.
    book
        The open data directory; None where memory is all there is.
    on_asked_to_leave
        Called whenever the cluster has this process leaving.
    on_ended
        Called once when the process serves nobody any more, and is to close.
    """

    def __init__(
        self,
        options: NodeOptions,
        runtime: Runtime,
        *,
        entrance: Entrance,
        discovery: Discovery,
        wall_generation: WallGeneration,
        book: Book | None,
        on_asked_to_leave: Callable[[], object],
        on_ended: Callable[[], object],
    ) -> None:
        self.options = options
        """Never changed: whoever wants to know what the user asked for looks here."""
        self.runtime = runtime
        self.settings = options.settings
        """This process's own; what the cluster agreed on is in the control state, and goes before it."""
        self.incarnation = entrance.incarnation
        """Which process under this node id it is: no other one ever had it, and it never changes."""
        self.address = entrance.address
        """Where others reach this process, with the real port."""
        self.node_id = entrance.node_id
        """What users call this node: the same through restarts, and never that of two members at a time."""
        self.missing: list[str] = ["start"]
        """What is still to come before it is ready, in words. Once it is empty it stays so, unless the process ends for
        its cluster: then it says why."""
        self.is_stopping = False
        """Once true it stays so: no new client is let in, and nobody asks to join."""
        self.actors: ActorHooks = NO_ACTORS
        """How the actors of this process take part; set once, by `attach`."""
        self.output = entrance.output
        """Everything that is sent in a turn goes out at its end, behind what the turn has stored."""
        self._timer: Timer | None = None
        """The next heartbeat; None before the first one only."""
        self._entrance = entrance
        self.acceptor = entrance.acceptor
        """The links that others dialled; what this node sends goes over those that it dialled itself."""
        self._make_links()
        self._make_groups(book)
        self._make_clients_side()
        self._make_duties(on_asked_to_leave, on_ended)
        self.joining = Joining(
            options, runtime, entrance, self.links, discovery, self.control_group, self.disk, wall_generation
        )
        """How it gets into its cluster, and back into it."""
        self.bootstrap = self.joining.bootstrap
        """Knows of which cluster this process is: that is said once, and never another one."""
        self.handlers = self._frame_handlers()
        """What takes a frame of each kind; the same kinds on every node from `attach` on."""
        self.boundary = Boundary(self, self.handlers, lambda hello: self.actors.flaw_of_client(hello))
        """The judge at the links: no frame reaches a handler past it."""
        # In this order: what requests change is published, and what is published is told.
        self.output.hooks.extend((self.requests.settle, self.publisher.flush, self.statuses.flush))

    # -- the parts, in the order in which one needs the other

    def _make_links(self) -> None:
        runtime, settings, options = self.runtime, self.settings, self.options
        peers = Peers(
            runtime, self._entrance.hello, settings, self, self.output, options.tls,
            check=self._differs, secrets=options.secrets,
        )  # fmt: skip
        self.links = Links(self.address, peers)
        """Whom this node is linked with; at most one link to a process counts."""
        self.losses = Losses(runtime.clock)
        """Counts the messages that links took with them: each once, here or at the other end."""
        self.leaders = LeaderTable()
        """Who leads each slot as far as is known: hints, which may be wrong, and never go back to an older term."""
        complaint = Complaint(runtime.clock, log, SECOND_NS, logging.ERROR)
        self.publisher = TopologyPublisher(
            self.links, self.leaders, self.node_id, self._topology_changed, complaint
        )
        """The topology as this node tells it; its version never falls."""
        self.chronicle = Chronicle(runtime, self.node_id)
        """What changed around this node, for its log."""

    def _make_groups(self, book: Book | None) -> None:
        runtime, settings = self.runtime, self.settings
        self.host = Host(
            runtime, self.links.send, settings.max_frame_bytes,
            on_failed=self._replica_failed,
            on_role=lambda group: self.chronicle.role(group, is_here=self.host.has(group)),
        )  # fmt: skip
        """The groups of this process: one replica of a group at a time."""
        self.disk: NodeDisk | None = None if book is None else NodeDisk(self, book)
        """Where replicas are kept over restarts; None where memory is all there is."""
        if book is not None:
            self.host.keep_in(book)
        self.requests: RequestHandler = RequestHandler(self, None if self.disk is None else self.disk.agreed)
        """Serves the slots: has a replica for exactly the groups of slots in `host`."""
        self.groups = Groups(
            self.host, runtime, settings, self.replica_id, self.requests.make_slot, self.output,
            is_failed=lambda number: self.refills.is_failed(number),
        )  # fmt: skip
        """Creates what the control state names, and nothing that a message names."""
        self.refills: Refills = Refills(
            self.host, self.replica_id, self.node_id, self._refill,
            lambda: [replica_id_of(key_of(link)) for link in self.links.named()],
            lambda number: self.disk is not None and self.disk.is_stored(number),
        )  # fmt: skip
        """The replicas that failed here. Each comes back under another name, or as what the disk has of it."""
        self.control_group: ControlGroup = ControlGroup(
            self.host, self.groups, runtime.clock, self.output, self.node_id, self.disk, self.control_changed
        )
        self.control: ControlReplica = self.control_group.replica
        """What this node knows of the cluster: committed, and maybe behind. One machine object for life: those who
        follow it keep a reference."""

    def _make_clients_side(self) -> None:
        runtime, settings = self.runtime, self.settings
        clock, ttl_ns = runtime.clock, int(settings.session_ttl_s * SECOND_NS)
        self.failure_detector = FailureDetector(clock)
        """When each member answered last; only what it answered to this very process counts."""
        budget = MemoryBudget(budget_of(settings.memory_budget_bytes, runtime.memory_bytes))
        self.heartbeats = Heartbeats(
            self.host, clock, self.replica_id, self.links.send, self.failure_detector.answered, budget, ttl_ns
        )
        """What leaders here tell their followers, one frame per process for all groups."""
        self.relays = Relays(clock)
        """Calls that this node passes on for others: each is answered once, by an answer or by the end of its link."""
        self.control_calls = ControlCalls(clock, self.relays, self.control_leader, self.send_to_node)
        """This node's own calls to the control group."""
        self.memory = NodeMemory(budget, self.node_id, self.host, self.requests.slots, self._buffered_bytes)
        """Counts what everything here uses; where it is full, what grows is refused and what shrinks is not."""
        self.gateway = Gateway(
            runtime, self, settings, self.key.encode(), str(self.address), output=self.output
        )
        """This process's own sessions; it is served like anybody else's gateway."""

    def _make_duties(self, on_asked_to_leave: Callable[[], object], on_ended: Callable[[], object]) -> None:
        clock, machine = self.runtime.clock, self.control.machine
        self.succession = Succession(self, on_ended)
        """Whether another generation took the place of this one: found once, and for good."""
        self.slot_duties = SlotDuties(
            self.host, clock, self.failure_detector, self.settings, self.requests.silence_ns, self.control_calls.tell,
            may_transfer=lambda slot: self.actors.may_transfer(slot),
        )  # fmt: skip
        """What leaders of slots here do besides answering; everything may be done twice, or late."""
        self.control_duties = ControlDuties(
            self.host, clock, self.settings, self.links, self.failure_detector, self.control_group.propose
        )
        """What the leader of the control group does besides; idle on all other nodes."""
        self.vacated = Vacated(
            self.host, self.node_id, self.links.send, self._leader_of, self._slot_moved, self.chronicle.note,
        )  # fmt: skip
        """Replicas that no configuration names any more: dropped only once a leader of the group has said so."""
        self.commands = Commands(machine, self.control_calls.write)
        """What operators ask for."""
        self.salvage = Salvage(self, self.requests.slots, on_ended)
        """What is handed over when a majority is lost for good: after that this process never serves again."""
        self.backups = Backups(clock, machine, self.host, self.requests.slots)
        """Copies of slots for operators, read by whoever leads them."""
        self.leaving = Leaving(
            clock, self.node_id, self.incarnation, machine, self.control_calls, self.linked, on_asked_to_leave
        )
        """How it leaves for good; once begun that is never taken back."""
        self.readiness = Readiness(self.host, self.node_id, None if self.disk is None else self.incarnation)
        """Says what is missing."""
        self.statuses: StatusReplies = StatusReplies(clock, lambda: pack(self.status()))
        """Answers who asks for this node's status: many that ask in one turn, one document."""
        self.group_health = GroupHealth(self.replica_id, self.host, self.links)
        """Which groups here have had no leader for some time, and why."""

    def _frame_handlers(self) -> dict[int, Callable[[Connection, bytes], None]]:
        admission = Admission(self)
        return {
            frames.FOUNDING: admission.on_founding,
            frames.JOIN: admission.on_join,
            frames.CONSENSUS: lambda link, body: self.host.on_consensus(replica_id_of(key_of(link)), body),
            frames.HEARTBEAT: lambda link, body: self._on_heartbeat(link, frames.HEARTBEAT, body),
            frames.HEARTBEAT_ACK: lambda link, body: self._on_heartbeat(link, frames.HEARTBEAT_ACK, body),
            frames.ROWS: lambda link, body: self._on_heartbeat(link, frames.ROWS, body),
            frames.ROWS_ACK: lambda link, body: self._on_heartbeat(link, frames.ROWS_ACK, body),
            frames.REMOVED: lambda link, body: self.vacated.on_question(replica_id_of(key_of(link)), body),
            frames.REMOVED_ACK: lambda link, body: self.vacated.on_answer(body),
            frames.HINTS: lambda link, body: self.publisher.on_hints(body, link.remote.node_id),
            frames.REQUEST: self.requests.on_request,
            frames.REPLY: self.requests.on_reply,
            frames.KEEPALIVE: self.requests.on_keepalive,
            frames.KEEPALIVE_ACK: lambda link, body: self.gateway.on_keepalive_ack(body),
            frames.SUBSCRIBE: lambda link, body: self.publisher.subscribe(link),
            frames.STATUS: lambda link, body: self.statuses.ask(link),
            frames.COMMAND: self.commands.on_command,
            frames.SALVAGE: lambda link, body: self.salvage.on_question(link, body),
            frames.BACKUP: lambda link, body: self.backups.on_question(link, body),
            **self.losses.handlers,
        }

    def _on_heartbeat(self, link: Connection, kind: int, body: bytes) -> None:
        if not self.links.is_superseded(link):
            self.heartbeats.on_frame(replica_id_of(key_of(link)), kind, body)

    @property
    def key(self) -> str:
        """This process's peer key."""
        return peer_key(self.node_id, self.incarnation)

    @property
    def replica_id(self) -> str:
        """Under which key this process takes part in groups."""
        return replica_id_of(self.key)

    # -- its start

    async def start(self) -> None:
        """Take back what the disk has, then found or join in the background; whatever it raises, the node is closed.

        Raises
        ------
        DiskError
            The data directory is of another node, or cannot be read.
        """
        try:
            if self.disk is not None:
                await self.disk.restore()
            self._entrance.serve(self)
            self.joining.begin(lambda: bool(self.missing))
            self._heartbeat()
        except BaseException:
            await self.abort()
            raise

    def attach(self, actors: ActorHooks) -> None:
        """Let the actors of this process take part from now on: they need a node that has started."""
        assert self.actors is NO_ACTORS, "a process has one system of actors"
        self.actors = actors
        self.handlers.update(actors.handlers)
        self.losses.tell(actors.on_lost, actors.on_unconfirmed, self.runtime.observe, actors.is_there)

    def give_up(self, reason: str) -> None:
        """This process is over for its cluster: it is never ready again, for the reason given."""
        self.missing = [reason]

    # -- what its groups tell it

    def _replica_failed(self, group: Group, error: Exception) -> None:
        self.refills.failed(group, error, self.runtime.clock.now())
        if group.number != CONTROL:
            self.requests.drop_slot(slot_of(group.number))

    def _slot_moved(self, slot: int) -> None:
        self.refills.moved(group_of(slot))
        self.requests.drop_slot(slot)

    def _refill(self, number: int, epoch: int, replica_number: int) -> None:
        """Put a replica where one failed: the one that the disk has, or a blank one."""
        if self.disk is not None and (
            self.disk.wants(number, replica_number) or self.disk.begins_again(number, epoch)
        ):
            return
        if number == CONTROL:
            self.control.begin_anew()
            replica: Replica = self.control
        else:
            replica = self.requests.make_slot(slot_of(number), epoch, self.control.machine)
        self.groups.create(number, epoch, None, replica, replica_number)

    def control_changed(self) -> None:
        """The control group's state changed: follow it, and tell others."""
        machine = self.control.machine
        if self.disk is not None and not self.disk.changed(machine):
            return
        self.bootstrap.on_control_state(machine.cluster_id)
        if machine.is_founded:
            self.links.want_members(self.succession.addresses(machine))
            self.succession.follow(machine)
            if self.control_group.names_its_leader(machine):
                self.links.clear_told()
            self.groups.follow(machine, self.node_id)
            self.boundary.look_again()
            self.publisher.publish(topologies.of_machine(machine, self.leaders))
            self.chronicle.members(machine)
            self.leaving.follow()

    def _topology_changed(self) -> None:
        self.gateway.on_topology()
        topology = self.publisher.topology
        if topology is not None:
            for listener in self.actors.on_topology:
                listener(topology)

    def _leader_of(self, slot: int) -> str | None:
        """Return under which key the member that leads a slot takes part, if this node knows another one that does."""
        leader = self.leaders.leader_of(slot)
        row = None if leader in (None, self.node_id) else self.control.machine.members.get(leader or "")
        return None if row is None else row.replica_id

    # -- what others ask

    def status(self) -> dict[str, object]:
        """Return the status document of this node."""
        sessions, structures = self.requests.usage()
        return status_document(
            self.host, self.control.machine, self.leaders, self.is_linked,
            [*self.missing, *self.group_health.texts, *self.refills.texts], self.requests.closed(),
            self.group_health.rows(self.runtime.clock.now()), None if self.disk is None else self.disk.document(),
            self.refills.reason,
            sessions, structures, self.memory.document(), self.actors.messages_lost(),
        )  # fmt: skip

    def _buffered_bytes(self) -> int:
        return self.acceptor.buffered_bytes + self.links.buffered_bytes

    # -- links (the `ConnectionHandler` of acceptor and peers)

    def _differs(self, welcome: Welcome, dialled: tuple[str, int]) -> str | None:
        """Say what keeps a node from being linked with: another promise than ours, or that it is somebody else."""
        if (text := self.succession.flaw(welcome.extra)) is not None:
            return text
        if (text := broken_promise(self.settings, self.node_id, welcome)) is not None:
            return text
        return self.boundary.flaw_of_answer(welcome.hello, dialled)

    def on_open(self, connection: Connection) -> None:
        """A handshake succeeded."""
        remote = connection.remote
        self.bootstrap.hear(remote.generation)
        self.losses.opened(connection)
        if remote.role == "node":
            self.links.opened(connection)
            self.boundary.look_again()
            self.bootstrap.met(connection)
            if connection.is_dialled:
                self.publisher.introduce(connection)
                self.gateway.on_link_up(remote.node_id)
        for listener in self.actors.on_link:
            listener(connection, True)
        if self.runtime.observe:
            self.runtime.observe(LinkUp(key_of(connection)))

    def on_closed(self, connection: Connection, reason: str) -> None:
        """A connection that was open ended."""
        remote = connection.remote
        self.losses.closed(connection)
        self.publisher.forget(connection)
        self.boundary.forget(connection)
        self.requests.forget(connection)
        if remote.role == "node":
            self.links.closed(connection)
            if connection.is_dialled:
                self.memory.budget.forget(replica_id_of(key_of(connection)))
                self.relays.link_lost(remote.node_id)
                self.gateway.on_link_down(remote.node_id, has_failed=connection.has_failed)
        for listener in self.actors.on_link:
            listener(connection, False)
        if self.runtime.observe:
            self.runtime.observe(LinkDown(key_of(connection), reason))

    def on_frame(self, connection: Connection, kind: int, body: bytes) -> None:
        """Dispatch one frame; raises `RemoteProtocolError` for a kind that the role may not send."""
        self.boundary.on_frame(connection, kind, body)

    # -- routes (what the gateway needs)

    def topology(self) -> Topology | None:
        """Return the present topology."""
        return self.publisher.topology

    def linked(self) -> list[str]:
        """Return the nodes that can be asked now, this one first: replies of strangers count for nothing."""
        return [
            self.node_id,
            *(link.remote.node_id for link in self.links.named() if not self.boundary.is_foreign(link)),
        ]

    def is_linked(self, node_id: str) -> bool:
        """Whether a node can be asked now; this one always."""
        return node_id == self.node_id or self.links.is_named_node(node_id)

    def answers(self) -> str:
        """A node is linked with itself."""
        return ""

    def refusal(self) -> Refused | None:
        """A node is never refused by its own cluster as a whole."""
        return None

    def send_to_node(self, node_id: str, kind: int, body: bytes) -> bool:
        """Stage a frame for a node id; for this node it is handled at once."""
        if node_id == self.node_id:
            return self.requests.loop_back(kind, body)
        return self.links.send_to_node(node_id, kind, body)

    send = send_to_node

    def hint(self, slot: int, leader: str | None, term: int) -> None:
        """Take what a redirect said about a slot's leader."""
        topology = self.publisher.topology
        if topology is not None:
            self.leaders.learn(slot, topology.epoch_of(slot), term, leader)
            self.output.mark_due()

    def control_leader(self) -> str | None:
        """Return the node id that leads the control group, as far as this node knows."""
        return self.control_group.leader()

    # -- time

    def _heartbeat(self) -> None:
        """Every heartbeat: tell the followers, and do the leader's duties."""
        clock = self.runtime.clock
        # First of all: an error in what follows must not be the last thing that this node does.
        self._timer = clock.call_at(clock.now() + int(self.settings.heartbeat_s * SECOND_NS), self._heartbeat)
        self.output.begin()
        try:
            self.heartbeats.heartbeat()
            is_going = self.is_stopping or self.leaving.has_begun
            self.joining.tick(clock.now(), self.control.machine, is_going=is_going)
            self.failure_detector.follow(self.control.machine)
            group = self.control_group.group
            if group is not None:
                self.control_duties.tick(group, self.control.machine)
            self.slot_duties.tick(self.control.machine)
            self.refills.tick(clock.now(), self.control.machine)
            if self.vacated.tick(clock.now(), self.control.machine):
                self.groups.follow(self.control.machine, self.node_id)
            self.requests.tick(clock.now())
            self.memory.tick(clock.now())
        finally:
            self.output.end()
        self.group_health.look(clock.now())
        self.chronicle.look(clock.now(), len(self.control.machine.slots))
        if group is not None and self.missing:
            self.missing = self.readiness.missing(self.control.machine, clock.now())

    async def ready(self) -> None:
        """Return when this node serves and holds its predecessor's places."""
        while self.missing:
            self.succession.check()
            await self.runtime.clock.sleep(STEP_S)

    async def stop(self) -> None:
        """Hand leaderships over (at most 2 s), close the own sessions, close every link."""
        clock = self.runtime.clock
        until_ns = clock.now() + HAND_OVER_NS
        self.is_stopping = True
        self.slot_duties.stop()
        await self.gateway.close()
        while self._has_to_hand_over() and clock.now() < until_ns:
            self.output.mark_due()
            await clock.sleep(STEP_S)
        self.requests.settle()
        await self.abort()

    def _has_to_hand_over(self) -> bool:
        return (
            not self.leaving.is_over
            and bool(self.links.nodes)
            and CONTROL in self.host.groups
            and self.slot_duties.hand_all_over()
        )

    async def abort(self) -> None:
        """Close everything at once, handing nothing over."""
        try:
            await self.acceptor.close()
        finally:
            self.end()

    def end(self) -> None:
        """Do nothing more, and end every link; harmless when that was done."""
        if self._timer is not None:
            self._timer.cancel()
        self.gateway.abort()
        self.groups.close()
        self.commands.close()
        self.backups.close()
        self.salvage.close()
        self.host.close()
        self.joining.close()
        self.links.close()
        if self.disk is not None:
            self.disk.close()
