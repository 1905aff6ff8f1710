"""One node of a cluster: links, groups, topology and duties put together. No actors here; see `system.py`.

Life of a node: listen and dial the seeds -> found or join (`bootstrap.py`) -> follow the control group -> host
the slots that it names -> ``ready`` -> stop: hand leaderships over, close the own sessions, go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from casty.address import NodeAddress, node_id_of, peer_key, process_of, replica_id_of
from casty.cluster.authority import PEER
from casty.cluster.control import topology as topologies
from casty.cluster.control.formation import Founding, Identity, Policy
from casty.cluster.control.machine import FOUND, ControlMachine
from casty.cluster.control.replica import CONTROL, ControlReplica, heard_ns
from casty.cluster.control.topology import LeaderTable, Topology
from casty.cluster.multiraft.heartbeats import Heartbeats
from casty.cluster.multiraft.host import Group, Host, Replica
from casty.cluster.multiraft.memory_budget import MemoryBudget, budget_of
from casty.cluster.multiraft.proposals import NOBODY
from casty.cluster.node.address_check import check_reach, settled, warn_if_open
from casty.cluster.node.admission import Admission
from casty.cluster.node.backups import Backups
from casty.cluster.node.bootstrap import Bootstrap
from casty.cluster.node.boundary import Boundary
from casty.cluster.node.change_log import Chronicle
from casty.cluster.node.commands import Commands
from casty.cluster.node.disk import NodeDisk
from casty.cluster.node.founding_document import WallGeneration, document_of, founders_of
from casty.cluster.node.group_health import GroupHealth
from casty.cluster.node.leader_tasks import ControlDuties, FailureDetector, SlotDuties
from casty.cluster.node.leaving import Leaving
from casty.cluster.node.links import Links, key_of
from casty.cluster.node.options import NodeOptions, policy_of
from casty.cluster.node.readiness import Readiness
from casty.cluster.node.relays import ControlCalls, Relays
from casty.cluster.node.removed_replicas import Vacated
from casty.cluster.node.replica_factory import Groups
from casty.cluster.node.replica_repair import Refills
from casty.cluster.node.request_handler import RequestHandler
from casty.cluster.node.salvage import Salvage
from casty.cluster.node.status import StatusReplies, status_document
from casty.cluster.node.succession import Succession
from casty.cluster.node.told_settings import broken_promise, told_settings
from casty.cluster.node.topology_publisher import TopologyPublisher
from casty.cluster.sessions.gateway import Gateway
from casty.cluster.slots.node_memory import NodeMemory
from casty.complaint import Complaint, one_line
from casty.config import SECOND_NS
from casty.discovery import Discovery
from casty.errors import Refused
from casty.events import LinkDown, LinkUp
from casty.ports import Runtime, Timer
from casty.transport.acceptor import Acceptor
from casty.transport.connection import Connection
from casty.transport.link_watch import RestingLinks
from casty.transport.losses import Losses
from casty.transport.output_batch import OutputBatch
from casty.transport.peers import Peers
from casty.wire import frames
from casty.wire.hello import Hello, Welcome
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
        What the user asked for.
    runtime
        The ports.
    """

    boundary: Boundary
    vacated: Vacated
    commands: Commands
    backups: Backups
    salvage: Salvage
    bootstrap: Bootstrap
    chronicle: Chronicle
    statuses: StatusReplies

    def __init__(self, options: NodeOptions, runtime: Runtime) -> None:
        self.options = options
        self.runtime = runtime
        self._wall_generation = WallGeneration(runtime.clock)
        self.settings = options.settings
        self.incarnation = runtime.entropy.token("incarnation", 8).hex()
        self.address = NodeAddress(options.host, options.port)
        self.node_id = options.node_id or str(self.address)
        self.missing: list[str] = ["start"]
        self.is_stopping = False
        self._is_assembled = False
        """Before that it listens, and refuses for now."""
        self.has_founded = False
        self._was_up = False
        self._led_ns = 0
        """When the control group was led last, as far as this node knew."""
        self._timer: Timer | None = None
        self.disk = None if options.data_dir is None else NodeDisk(self, options.data_dir)
        self.discovery = Discovery(runtime, options.contacts, self._seeds_changed, lambda: bool(self.missing))
        self.founding_entry = b""
        """What a founder proposes first; empty for a node that joined."""
        self.on_topology: list[Callable[[Topology], None]] = []
        self.on_link: list[Callable[[Connection, bool], None]] = []
        self.messages_lost: Callable[[], dict[str, int]] = dict
        """Messages of actors that nobody will handle, by what became of them."""

    @property
    def key(self) -> str:
        """This process's peer key."""
        return peer_key(self.node_id, self.incarnation)

    @property
    def replica_id(self) -> str:
        """Under which key this process takes part in groups."""
        return replica_id_of(self.key)

    def _identity(self) -> Identity:
        return Identity(self.node_id, self.incarnation, *self.address, self.options.traits)

    async def start(self) -> None:
        """Listen, then found or join in the background; raises `OSError` when the address cannot be bound."""
        self.options = await settled(self.options, self.runtime, self.discovery)
        self.node_id = self.options.node_id or str(NodeAddress(self.options.host, self.options.port))
        try:
            if self.disk is not None:
                await self.disk.open()
            await self._begin()
        except BaseException:
            if self.disk is not None:
                self.disk.close()
            raise

    async def _begin(self) -> None:
        options, runtime = self.options, self.runtime
        self.output = OutputBatch(runtime)
        self.output.resting = RestingLinks()
        self.acceptor = Acceptor(
            runtime, self._hello, self.settings, self, self.output, options.tls,
            check=self._refuse, welcome_extra=self._welcome,
            is_member=lambda link: self.boundary.role_of(link) >= PEER, secrets=options.secrets,
        )  # fmt: skip
        await self.acceptor.start(options.bind_host or options.host, options.port)
        self.address = NodeAddress(options.host, self.acceptor.address[1])
        self.node_id = options.node_id or str(self.address)
        is_guarded = options.tls is not None or options.secrets is not None
        warn_if_open(self.node_id, self.acceptor.address, is_guarded=is_guarded)
        try:
            listens_on = options.bind_host or options.host
            await check_reach(runtime, self.node_id, self.address, listens_on, options.tls)
        except BaseException:
            await self.acceptor.close()
            raise
        self._assemble()
        if self.disk is not None:
            await self.disk.restore()
        self._is_assembled = True
        if self._wall_generation.born_wall_s < 1:
            log.warning(
                "the wall clock of %s stands before 2025: a cluster that is founded now takes the lowest "
                "generation above all heard of, so fencing tokens may not grow over its loss; set the clock",
                self.node_id,
            )
        self.links.want_seeds(self.discovery.addresses)
        self.discovery.begin()
        if not self.bootstrap.is_done:
            self.bootstrap.begin()
        self._heartbeat()

    def _assemble(self) -> None:
        """Make the parts; the port, and with it the identity, is known only now."""
        runtime, settings = self.runtime, self.settings
        clock, ttl_ns = runtime.clock, int(settings.session_ttl_s * SECOND_NS)
        peers = Peers(
            runtime, self._hello, settings, self, self.output, self.options.tls,
            check=self._differs, secrets=self.options.secrets,
        )  # fmt: skip
        self.links = Links(self.address, peers)
        self.host = Host(runtime, self.links.send, settings.max_frame_bytes)
        self.failure_detector = FailureDetector(clock)
        budget = MemoryBudget(budget_of(settings.memory_budget_bytes, runtime.memory_bytes))
        self.heartbeats = Heartbeats(
            self.host, clock, self.replica_id, self.links.send, self.failure_detector.answered, budget, ttl_ns
        )
        self.leaders = LeaderTable()
        complaint = Complaint(self.runtime.clock, log, SECOND_NS, logging.ERROR)
        self.publisher = TopologyPublisher(
            self.links, self.leaders, self.node_id, self._topology_changed, complaint
        )
        self.relays = Relays(runtime.clock)
        self.control_calls = ControlCalls(clock, self.relays, self.control_leader, self.send_to_node)
        self.control = ControlReplica(self.control_changed, self._role_changed)
        self.requests = RequestHandler(self)
        self.memory = NodeMemory(budget, self.node_id, self.host, self.requests.slots, self._buffered_bytes)
        self.gateway = Gateway(
            runtime, self, settings, self.key.encode(), str(self.address), output=self.output
        )
        self.groups = Groups(
            self.host, runtime, settings, self.replica_id, self.requests.make_slot, self.output
        )
        self.refills = Refills(
            self.host, self.replica_id, self.node_id, self._refill,
            lambda: [replica_id_of(key_of(link)) for link in self.links.named()],
            lambda number: self.disk is not None and self.disk.is_stored(number),
        )  # fmt: skip
        self.host.on_failed = self._replica_failed
        self.groups.is_failed = self.refills.is_failed
        self.succession = Succession(self)
        self._make_duties()
        self.output.hooks.extend((self.requests.settle, self.publisher.flush, self.statuses.flush))
        identity = self._identity()
        self.bootstrap = Bootstrap(
            Founding(identity, self._policy(), self._document, clock.now(), self._wall_generation),
            identity, self.links, clock, self._founded, self._joined,
            lambda text: log.warning("%s", one_line(text)), self.discovery.troubles_of,
        )  # fmt: skip
        admission = Admission(self)
        self.handlers: dict[int, Callable[[Connection, bytes], None]] = {
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
        }
        self.losses = Losses(clock)
        self.handlers.update(self.losses.handlers)
        self.boundary = Boundary(self, self.handlers)

    def _on_heartbeat(self, link: Connection, kind: int, body: bytes) -> None:
        if not self.links.is_superseded(link):
            self.heartbeats.on_frame(replica_id_of(key_of(link)), kind, body)

    def _make_duties(self) -> None:
        clock, machine = self.runtime.clock, self.control.machine
        self.chronicle = Chronicle(self.runtime, self.node_id)
        self.host.on_role = lambda group: self.chronicle.role(group, is_here=self.host.has(group))
        self.slot_duties = SlotDuties(
            self.host, clock, self.failure_detector, self.settings, self.requests.silence_ns, self.control_calls.tell,
        )  # fmt: skip
        self.control_duties = ControlDuties(
            self.host, clock, self.settings, self.links, self.failure_detector, self.propose_control
        )
        self.vacated = Vacated(
            self.host, self.node_id, self.links.send, self._leader_of, self.requests.drop_slot, self.chronicle.note,
        )  # fmt: skip
        self.commands = Commands(machine, self.control_calls.write)
        self.salvage = Salvage(self, self.requests.slots)
        self.backups = Backups(clock, machine, self.host, self.requests.slots)
        self.leaving = Leaving(
            clock, self.node_id, self.incarnation, machine, self.control_calls, self.linked
        )
        self.readiness = Readiness(self.host, self.node_id, None if self.disk is None else self.incarnation)
        self.statuses = StatusReplies(clock, lambda: pack(self.status()))
        self.group_health = GroupHealth(self.replica_id, self.host, self.links)

    def _policy(self) -> Policy:
        return policy_of(self.options, self.discovery.addresses, self.address)

    def _seeds_changed(self) -> None:
        """What the configuration says to ask names other seeds than before."""
        self.links.want_seeds(self.discovery.addresses)
        self.bootstrap.reseed(self._policy())

    def _document(self, founding_id: str, founders: list[Identity], generation: int) -> dict[str, Any]:
        cluster_id = self.runtime.entropy.token("cluster", 8).hex()
        return document_of(self.options, self.node_id, founding_id, cluster_id, founders, generation)

    # -- becoming part of a cluster

    def _founded(self, document: dict[str, Any]) -> None:
        self.has_founded = True
        self.founding_entry = pack([FOUND, document])
        if self.disk is not None:
            self.disk.founded(document, self.founding_entry)
        group = self.groups.create(CONTROL, document["generation"], founders_of(document), self.control)
        if document["founder"] == self.node_id:
            group.core.campaign(self.runtime.clock.now())
        self.output.mark_due()

    def _joined(self, generation: int) -> None:
        if self.disk is not None:
            self.disk.joined(generation)
        self.groups.create(CONTROL, generation, None, self.control)
        self.output.mark_due()

    def _replica_failed(self, group: Group, error: Exception) -> None:
        self.refills.failed(group, error, self.runtime.clock.now())
        if group.number != CONTROL:
            self.requests.drop_slot(group.number - 1)

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
            replica = self.requests.make_slot(number - 1, epoch, self.control.machine)
        self.groups.create(number, epoch, None, replica, replica_number)

    def control_changed(self) -> None:
        """The control group's state changed: follow it, and tell others."""
        machine = self.control.machine
        if self.disk is not None and not self.disk.changed(machine):
            return
        self.bootstrap.settled()
        self.bootstrap.cluster_id = machine.cluster_id or self.bootstrap.cluster_id
        if machine.is_founded:
            self.links.want_members(self.succession.addresses(machine))
            self.succession.follow(machine)
            if self._names_its_leader(machine):
                self.links.forget_told()
            self.groups.follow(machine, self.node_id)
            self.boundary.look_again()
            self.publisher.publish(topologies.of_machine(machine, self.leaders))
            self.chronicle.members(machine)
            self.leaving.follow()

    def _names_its_leader(self, machine: ControlMachine) -> bool:
        group = self.host.groups.get(CONTROL)
        leader = None if group is None else group.core.leader
        row = None if leader is None else machine.members.get(node_id_of(leader))
        return row is not None and leader is not None and row.replica_id == process_of(leader)

    def _topology_changed(self) -> None:
        self.gateway.on_topology()
        topology = self.publisher.topology
        if topology is not None:
            for listener in self.on_topology:
                listener(topology)

    def _role_changed(self, group: Group) -> None:
        if group.is_leading and not self.control.machine.is_founded and self.founding_entry:
            self.propose_control(self.founding_entry)

    def propose_control(self, entry: bytes) -> None:
        """Propose an entry of the control group, if this node leads it."""
        group = self.host.groups.get(CONTROL)
        if group is not None:
            self.control.propose(group.core, entry, NOBODY, 0)
            self.host.mark(group)

    def _leader_of(self, slot: int) -> str | None:
        """Return under which key the member that leads a slot takes part, if this node knows another one that does."""
        leader = self.leaders.leader_of(slot)
        row = None if leader in (None, self.node_id) else self.control.machine.members.get(leader or "")
        return None if row is None else row.replica_id

    def _ask_until_up(self, now_ns: int) -> None:
        """Ask to join while this process is not known to be up, or may have been removed while it was cut off."""
        me = self.control.machine.members.get(self.node_id)
        self._was_up = self._was_up or (me is not None and me.key == self.key and me.was_up)
        self._led_ns = max(self._led_ns, heard_ns(self.host.groups.get(CONTROL), now_ns))
        is_lost = now_ns - self._led_ns > int(self.settings.down_after_s * SECOND_NS)
        if not (is_lost or not self._was_up) or self.is_stopping or self.leaving.has_begun:
            return
        if self.bootstrap.ask_again(now_ns) and self.disk is not None:
            self.disk.join_own(self._identity())

    # -- what others ask

    def status(self) -> dict[str, object]:
        """Return the status document of this node."""
        sessions, structures = self.requests.usage()
        return status_document(
            self.host, self.control.machine, self.leaders, self.is_linked,
            [*self.missing, *self.group_health.texts, *self.refills.texts], self.requests.closed(),
            self.group_health.rows(self.runtime.clock.now()), None if self.disk is None else self.disk.document(),
            self.refills.reason,
            sessions, structures, self.memory.document(), self.messages_lost(),
        )  # fmt: skip

    def _buffered_bytes(self) -> int:
        return self.acceptor.buffered_bytes + self.links.buffered_bytes

    # -- links (the `ConnectionHandler` of acceptor and peers)

    def _hello(self) -> Hello:
        known = self._is_assembled
        return Hello.of_node(
            cluster=self.options.name, node_id=self.node_id, incarnation=self.incarnation,
            address=self.address, settings=self.settings,
            generation=max(self.control.machine.generation, self.bootstrap.heard_generation) if known else 0,
            cluster_id=self.bootstrap.cluster_id if known else "",
        )  # fmt: skip

    def _welcome(self) -> dict[str, object]:
        machine = self.control.machine
        former = [list(row) for row in machine.former]
        known = {"generation": machine.generation, "cluster_id": machine.cluster_id, "former": former}
        return {**known, **told_settings(self.settings)}

    def _differs(self, welcome: Welcome, dialled: tuple[str, int]) -> str | None:
        """Say what keeps a node from being linked with: another promise than ours, or that it is somebody else."""
        if (text := self.succession.flaw(welcome.extra)) is not None:
            return text
        if (text := broken_promise(self.settings, self.node_id, welcome)) is not None:
            return text
        return self.boundary.flaw_of_answer(welcome.hello, dialled)

    def _refuse(self, hello: Hello, host: str) -> str | None:
        if not self._is_assembled:
            return f"node {self.node_id} is starting; dial it again"
        if self.succession.meets(hello):
            return None  # it is told by the welcome
        if self.is_stopping and hello.role != "node":
            return f"node {self.node_id} is stopping; use another contact point"
        return self.boundary.refusal(hello, host)

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
        for listener in self.on_link:
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
                self.gateway.on_link_down(remote.node_id)
        for listener in self.on_link:
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
        group = self.host.groups.get(CONTROL)
        leader = None if group is None else group.core.leader
        return None if leader is None else node_id_of(leader)

    # -- time

    def _heartbeat(self) -> None:
        """Every heartbeat: tell the followers, and do the leader's duties."""
        clock = self.runtime.clock
        # First of all: an error in what follows must not be the last thing that this node does.
        self._timer = clock.call_at(clock.now() + int(self.settings.heartbeat_s * SECOND_NS), self._heartbeat)
        self.output.begin()
        try:
            self.heartbeats.heartbeat()
            self._ask_until_up(clock.now())
            self.failure_detector.follow(self.control.machine)
            group = self.host.groups.get(CONTROL)
            if group is not None:
                self.control_duties.tick(group, self.control.machine)
            self.slot_duties.tick(self.control.machine)
            self.refills.tick(clock.now(), self.control.machine)
            self.vacated.tick(clock.now(), self.control.machine)
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
        self.is_stopping = self.slot_duties.is_stopping = True
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
        self.bootstrap.close()
        self.discovery.close()
        self.links.close()
        if self.disk is not None:
            self.disk.close()
