"""All step checks of one world: they look into the nodes while it runs, and stop it at the step that breaks a rule.

Nothing here changes what happens: the storage port below does what the memory's does, and states are only read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from casty.address import node_id_of
from casty.cluster.node.course import voting
from casty.cluster.slots.machine import SlotMachine
from casty.cluster.slots.schema import EXPIRE
from casty.consensus import Core, Entry, Role
from casty.events import ReplicaFailed, TopologyChanged
from casty.system import ClusteredActorSystem
from casty.wire.pack import unpack

from ...kernel.events import Paused, Resumed
from ...plans.fault_kinds import PLANNED
from ..violation import Violation, ViolationError
from .disks import Disks
from .identities import Identities
from .introspection import GroupView, HostView, gateway_of, host_of, machine_of
from .memory import Budgets
from .portrait import Portrait, differing, portrait_of
from .raft_logs import GroupKey, Logs
from .refusals import lifetimes_of, limits_of
from .slots import Slots
from .told import SessionKey, Told, key_of
from .versions import Versions

if TYPE_CHECKING:
    from casty.config import Settings

    from ...kernel.trace import TraceEvent
    from ...world.disk import SimDisk
    from ...world.process import Process
    from ...world.world import World

__all__ = ["Expiry", "StepChecks", "WatchedStorage"]

LOOK_EVERY_S = 0.05
_SLOWLY = 4
"""Every so many looks at leases there is one at what lasts longer."""
_SETTLED_NS = 1_000_000_000
_LATE_NS = 8_000_000_000
"""No fault of a plan holds a message for so long, but a pause of who takes it."""
_COMPARE_EVERY = 16


_EXPIRES = bytes([EXPIRE])
"""The second byte of such an entry; the first one is the head of its list."""


class Expiry(NamedTuple):
    """A session that a leader gives up: its node, and the session."""

    leader: str
    slot: int
    epoch: int
    session: int


class WatchedStorage:
    """The memory's storage port, with somebody looking on."""

    def __init__(self, checks: StepChecks, process: Process) -> None:
        self._checks = checks
        self._process = process

    def persist(self, writes: Iterable[Any], done: Callable[[], None]) -> None:
        """Let the checks see the writes, then call `done`: memory is as durable at once as it will ever be."""
        self._checks.before_write(self._process, writes)
        done()
        self._checks.after_write(self._process, writes)


class StepChecks:
    """See the head of this module.

    Parameters
    ----------
    world
        The world to look into.
    settings
        The cluster's: the shadow machines have the same limits.
    groups
        How many there are; None: one for each slot and the control group's.
    """

    def __init__(self, world: World, settings: Settings, groups: int | None = None) -> None:
        self._world = world
        self._election_max_ns = round(settings.election_max_s * 1e9)
        self.systems: dict[str, object] = {}
        self._lives: dict[str, int] = {}
        self._hosts: dict[str, HostView] = {}
        """The replicas of each node, by its name, from when it has them until another incarnation runs."""
        self._guests: dict[str, None] = {}
        """Who runs what never has replicas, as clients do."""
        self.first: Violation | None = None
        self.logs = Logs(self._committed, self._led, self._inherits, self._changes)
        self.groups = settings.slots + 1 if groups is None else groups
        self.shared_groups = range(settings.slots + 1)
        """The numbers of the groups that every cluster has; those of a role there are once a node has it."""
        self._limits = limits_of(settings)
        self._lifetimes = lifetimes_of(settings)
        self.slots = self._fresh_slots()
        self.on_commit: Callable[[], None] = _nothing
        self.on_leader: Callable[[], None] = _nothing
        self.on_expiring: Callable[[], None] = _nothing
        self.wrote_last: dict[int, str] = {}
        """Group number -> the node whose follower wrote entries last."""
        self.on_joint: Callable[[], None] = _nothing
        self.changer: tuple[int, str] | None = None
        """The latest leader that wrote a joint configuration: group and id."""
        self.comers: list[str] = []
        """The nodes that vote in that one, and did not before."""
        self.on_heir: Callable[[], None] = _nothing
        self.heir: tuple[int, str] | None = None
        """The latest new leader that has entries of others and does not know them to be committed: group and id."""
        self.expiring: Expiry | None = None
        """The latest end of a session for its silence that a leader put into its log."""
        self.departed: Collection[str] = ()
        """The nodes that left for good, each once it was told that nothing needs it."""
        self._given_up: dict[SessionKey, None] = {}
        """All sessions whose end for their silence came into the log of a leader."""
        self._told = Told(self._lives_on)
        self._identities = Identities()
        self._versions_made = Versions()
        self.budgets = Budgets()
        self._generation = 0
        self._generations: dict[int, str] = {}
        self._versions: dict[str, tuple[str, int, int]] = {}
        self._compared: dict[tuple[GroupKey, int], Portrait] = {}
        self._portrayed: dict[GroupKey, tuple[int, Portrait]] = {}
        """What our own machine of a group was like, and after which entry."""
        self._resumed_ns: dict[str, int] = {}
        self._pauses: dict[str, tuple[int, int | None]] = {}
        """When a process was paused last, and when it was resumed from that; None while it was not."""
        self._configured: dict[tuple[str, int], tuple[int, int]] = {}
        """(node, group) -> index of the configuration in force there, and when it was seen first."""
        self._leased: dict[tuple[str, int], tuple[int, int]] = {}
        """(node, group) -> (term, since when every look found it with a lease of that term)."""
        self._looks = 0
        self._gone: dict[int, str] = {}
        """Generations that lost their memory: whoever was slow may still hear of one."""
        self._past: dict[str, int] = {}
        """What was counted of clusters that lost their memory."""
        self._is_over = False
        self.disks = Disks(self.logs, self.live)
        world.on_disk = self._disk_opened
        world.trace.subscribe(self._heard, TopologyChanged, ReplicaFailed, Paused, Resumed)
        world.after(LOOK_EVERY_S, self._look)

    def _fresh_slots(self) -> Slots:
        return Slots(
            lambda: self._generation, self._expired, self._limits, lambda: self._world.now_ns, self._lifetimes
        )

    def memory_is_lost(self) -> None:
        """All nodes ended at once with all their memory: what is there next is another cluster, which owes nothing.

        What its clients know of the former one they may still act on, until they hear that it is gone.
        """
        self._past = self.counts
        self.slots.memory_is_lost()
        commands, on_applied, map_changes = self.slots.commands, self.slots.on_applied, self.slots.map_changes
        self.logs = Logs(self._committed, self._led, self._inherits, self._changes)
        self.slots = self._fresh_slots()
        self.slots.commands, self.slots.on_applied, self.slots.map_changes = commands, on_applied, map_changes
        self._told = Told(self._lives_on)
        self._identities = Identities()
        self._versions_made = Versions()
        self._generation = 0
        self._gone |= self._generations
        for table in (
            self._hosts, self.wrote_last, self._given_up, self._generations, self._versions, self._compared,
            self._portrayed, self._leased,
        ):  # fmt: skip
            table.clear()

    def token_generations(self) -> list[int]:
        """Return of which generations the tokens are that this cluster gave out."""
        raised = [machine.generation for machine in self.slots_now()]
        return list(dict.fromkeys([self._generation, *raised]))

    def slots_now(self) -> list[SlotMachine]:
        """Return our own machine of each slot."""
        return [shadow.machine for shadow in self.slots.shadows.values()]

    def storage(self, process: Process) -> WatchedStorage:
        """Return the storage port of a process."""
        return WatchedStorage(self, process)

    def running(self, name: str, system: object) -> None:
        """A process runs this system or client from now on."""
        self.systems[name] = system
        self._lives[name] = self._world.processes[name].incarnation.ordinal
        self._hosts.pop(name, None)
        self._guests.pop(name, None)
        if not isinstance(system, ClusteredActorSystem):
            self._guests[name] = None

    def _runs(self, name: str) -> bool:
        """Whether the system known of a process is what it runs: not one that is just about to start."""
        process = self._world.processes[name]
        return process.is_up and process.incarnation.ordinal == self._lives[name]

    def running_systems(self) -> list[tuple[str, object]]:
        """Return the systems and clients that run, by the name of their process."""
        return [(name, system) for name, system in self.systems.items() if self._runs(name)]

    def stop(self) -> None:
        """Look no more."""
        self._is_over = True

    @property
    def counts(self) -> dict[str, int]:
        """What happened, by name."""
        counts = dict(self._past)
        for made in (self.logs.counts, self.slots.counts, self._versions_made.counts, self.disks.counts):
            for name, count in made.items():
                counts[name] = counts.get(name, 0) + count
        return counts

    def report(self, violation: Violation) -> None:
        """Keep the first violation; the run ends at the next look."""
        if self.first is None:
            self.first = violation

    def live(self) -> list[tuple[Process, HostView]]:
        """Return the nodes that run, with their replicas."""
        processes, lives = self._world.processes, self._lives
        found: list[tuple[Process, HostView]] = []
        for name in self.systems:
            process = processes[name]
            if process.is_up and process.incarnation.ordinal == lives[name]:
                host = self._host(name)
                if host is not None:
                    found.append((process, host))
        return found

    def _host(self, name: str) -> HostView | None:
        host = self._hosts.get(name)
        if host is None and name not in self._guests:
            host = host_of(self.systems.get(name))
            if host is not None:
                self._hosts[name] = host
        return host

    # -- writes

    def before_write(self, process: Process, writes: Iterable[Any]) -> None:
        """Check terms, votes, logs and commits of one turn."""
        host = self._host(process.name)
        if host is None or self.first is not None:
            return
        for write in writes:
            group = host.groups.get(write.group)
            if group is None or group.epoch != write.epoch:
                continue
            self._guarded(self.logs.written, write, group.core)
            if write.hard_state is not None and write.hard_state[1] == group.core.id:
                self._guarded(self._check_candidate, process, group)
            if write.entries and group.core.role is not Role.LEADER:
                self.wrote_last[write.group] = process.name
            if group.core.role is Role.LEADER:
                self._see_expiries(process, group, write.entries)
                self._guarded(self._check_lease, process, group)

    def after_write(self, process: Process, writes: Iterable[Any]) -> None:
        """Compare machines that applied the same: replicas with each other, and with ours (11, 15)."""
        host = self._host(process.name)
        if host is None or self.first is not None:
            return
        for write in writes:
            group = host.groups.get(write.group)
            if group is not None and (
                write.snapshot is not None or group.applied_index % _COMPARE_EVERY == 0
            ):
                self._guarded(self._compare, group)

    def _disk_opened(self, process: Process, disk: SimDisk) -> None:
        self._guarded(self.disks.opened, process, disk)

    def _guarded(self, check: Callable[..., None], *args: object) -> None:
        try:
            check(*args)
        except ViolationError as error:
            self.report(error.violation)

    def _compare(self, group: GroupView) -> None:
        machine = machine_of(group)
        if machine is None or group.applied_index == 0:
            return
        key: GroupKey = (group.number, group.epoch)
        state = portrait_of(machine)
        known = self._compared.setdefault((key, group.applied_index), state)
        if known != state:
            parts = ", ".join(differing(known, state))
            _fail(15, group, f"after entry {group.applied_index} two replicas differ in {parts}")
        shadow = self.slots.shadows.get(key)
        if shadow is None or shadow.applied != group.applied_index:
            return
        # Nobody but an entry changes our machine: one portrait serves for all replicas that are compared with it.
        index, ours = self._portrayed.get(key, (0, state))
        if index != shadow.applied:
            ours = portrait_of(shadow.machine)
            self._portrayed[key] = (shadow.applied, ours)
        if ours != state:
            parts = ", ".join(differing(ours, state))
            _fail(15, group, f"after entry {shadow.applied} its {parts} are not what the whole log gives")

    def _committed(self, key: GroupKey, index: int, entry: Entry) -> None:
        if key[0] == 0:
            self._guarded(self._versions_made.committed, key, entry)
        else:
            self.slots.committed(key, index, entry)
            self.on_commit()

    def _led(self) -> None:
        self.on_leader()

    def _inherits(self, key: GroupKey, core: Core) -> None:
        self.heir = (key[0], core.id)
        self.on_heir()

    def _changes(self, key: GroupKey, core: Core) -> None:
        self.changer = (key[0], core.id)
        now = core.membership
        voters, former = ((), ()) if now is None else (now.voters, now.outgoing)
        self.comers = [node_id_of(voter) for voter in voters if voter not in former]
        self.on_joint()

    def _see_expiries(self, process: Process, group: GroupView, entries: Sequence[Entry]) -> None:
        """Tell of sessions that a leader of a slot means to end."""
        for entry in entries if group.number else ():
            if entry.data[1:2] == _EXPIRES:
                plain: Any = unpack(entry.data)
                self.expiring = Expiry(process.name, group.number - 1, group.epoch, plain[1])
                self._given_up[self.expiring[1:]] = None
                self.on_expiring()

    # -- leases and leaders

    def _rivals(self, process: Process, group: GroupView) -> list[tuple[Process, GroupView]]:
        """Return the other replicas of a group that lead it now, in whatever term, with their processes."""
        found: list[tuple[Process, GroupView]] = []
        for name, host in self._hosts.items():
            rival = host.groups.get(group.number)
            if rival is None or rival.core.role is not Role.LEADER or rival is group:
                continue
            if rival.epoch == group.epoch and name != process.name and self._runs(name):
                found.append((self._world.processes[name], rival))
        return found

    def _check_lease(self, process: Process, group: GroupView) -> None:
        """A leader means that nobody else has a lease any more (16)."""
        for other, rival in self._rivals(process, group):
            if group.core.term > rival.core.term and self._has_lease(other, rival.core):
                text = f"leads in term {group.core.term} while {rival.core.id} has a lease of term {rival.core.term}"
                _fail(16, group, text)

    def _check_candidate(self, process: Process, group: GroupView) -> None:
        """Nobody stands against a leader with a lease: the majority that gave it would not have it (14).

        Promises of before that lease may be late; so it has to have lasted for as long as one can be on its way. Who
        is just awake finds what came until it was paused.
        """
        came_ns = now_ns = self._world.now_ns
        paused_ns, resumed_ns = self._pauses.get(process.name, (now_ns, -_SETTLED_NS))
        if resumed_ns is None or now_ns - resumed_ns < _SETTLED_NS:
            came_ns = paused_ns
        for other, rival in self._rivals(process, group):
            term, since_ns = self._leased.get((other.name, group.number), (0, 0))
            is_old = term == rival.core.term and came_ns - since_ns > _LATE_NS
            if is_old and group.core.term > rival.core.term and self._has_lease(other, rival.core):
                text = f"stands in term {group.core.term}, {rival.core.id} leads with a lease of term {rival.core.term}"
                _fail(14, group, text)

    @staticmethod
    def _has_lease(process: Process, core: Core) -> bool:
        return core.lease_until_ns() > process.clock.now()

    def _look(self) -> None:
        """Look at everybody, now and then."""
        if self._is_over or self.first is not None:
            return
        live = self.live()
        self._looks += 1
        if self._looks % _SLOWLY == 0:
            self._look_at_what_lasts(live)
        leading = [
            (process, group, group.core.lease_until_ns())
            for process, host in live
            for group in host.groups.values()
            if group.core.role is Role.LEADER
        ]
        self._note_leases(leading)
        led: dict[int, int] = {}
        for _, group, _ in leading:
            led[group.number] = led.get(group.number, 0) + 1
        # A start that came to nothing closes its node, whose process goes on: nothing ticks there.
        closed = {process.name: host.is_closed for process, host in live}
        for process, group, lease_ns in leading:
            if led[group.number] > 1:  # who leads alone has no rival
                self._guarded(self._check_lease, process, group)
            if not closed[process.name]:
                self._guarded(self._check_majority, process, group, lease_ns)
            if self.departed and lease_ns > process.clock.now():
                self._guarded(self._check_departed, group)
        self._world.after(LOOK_EVERY_S, self._look)

    def _look_at_what_lasts(self, live: Sequence[tuple[Process, HostView]]) -> None:
        """Look at names, sessions and budgets: what is wrong with them stays so for a while."""
        for name, system in self.systems.items():
            if self._runs(name):
                self._guarded(self._identities.look, self._world.processes[name], system)
                self._guarded(self.budgets.look, self._world.processes[name], system)
                self._guarded(self._told.look, name, gateway_of(system))
        self._guarded(self.budgets.look_at_led, live, self.systems)

    def _note_leases(self, leading: Sequence[tuple[Process, GroupView, int]]) -> None:
        former, self._leased = self._leased, {}
        for process, group, lease_ns in leading:
            if lease_ns > process.clock.now():
                key, term = (process.name, group.number), group.core.term
                known = former.get(key)
                goes_on = known is not None and known[0] == term
                self._leased[key] = known if known and goes_on else (term, self._world.now_ns)

    def _check_majority(self, process: Process, group: GroupView, lease_ns: int) -> None:
        """A leader that lost its majority steps down within one election timeout (14)."""
        core = group.core
        if process.is_paused:
            self._resumed_ns[process.name] = self._world.now_ns
        is_fresh = self._world.now_ns - self._resumed_ns.get(process.name, -_SETTLED_NS) < _SETTLED_NS
        if is_fresh or core.is_lease_barred or not core.is_established:
            return
        now_ns = process.clock.now()
        key, index = (process.name, group.number), core.membership_index
        if self._configured.get(key, (-1, 0))[0] != index:
            self._configured[key] = (index, now_ns)
        # Of new voters others have answered, some of them long ago: whether they are there is for the next look to say.
        since_ns = max(lease_ns, core.leader_since_ns, self._configured[key][1])
        if now_ns - since_ns > 2 * self._election_max_ns:
            _fail(14, group, f"still leads {(now_ns - since_ns) / 1e9:.3f} s after its lease ended")

    def _check_departed(self, group: GroupView) -> None:
        """Who was told that it may go votes in no configuration that may be in force (58).

        A group that has a voter less than it knows goes on, and is lost with one more: nobody would see it before.
        """
        for node_id in voting(group.core):
            if node_id in self.departed:
                _fail(58, group, f"{node_id} votes here, and has left for good")

    # -- sessions and topologies

    def _expired(self, slot: int, epoch: int, session: int) -> None:
        """Whoever has the session must have stopped trusting it before its expiry is committed (18, 23)."""
        for name, value in self.systems.items():
            process = self._world.processes[name]
            gateway = gateway_of(value) if self._runs(name) else None
            client_session = None if gateway is None else gateway.sessions_by_slot.get(slot)
            if client_session is None or client_session.epoch != epoch or client_session.number != session:
                continue
            left_ns = client_session.covered_until_ns - process.clock.now()
            if left_ns > 0:
                text = f"session {session} of {name} is expired while it trusts it for {left_ns / 1e9:.3f} s more"
                raise ViolationError(Violation(18, f"slot {slot}", text))

    def _lives_on(self, key: SessionKey) -> bool:
        """Whether a session is committed, not over, and not to be over."""
        slot, epoch, number = key
        shadow = self.slots.shadows.get((slot + 1, epoch))
        session = None if shadow is None else shadow.machine.sessions.get(number)
        return session is not None and not session.over and key not in self._given_up

    def are_sessions_known(self) -> bool:
        """Whether no gateway has a session of which its slot knows nothing."""
        sessions = {
            (key[0] - 1, key[1], number)
            for key, shadow in self.slots.shadows.items()
            for number in shadow.machine.sessions
        }
        gateways = [gateway_of(system) for _, system in self.running_systems()]
        return all(
            client_session.number is None or key_of(client_session) in sessions
            for gateway in gateways
            if gateway is not None
            for client_session in gateway.sessions_by_slot.values()
        )

    def _heard(self, entry: TraceEvent) -> None:
        event = entry.event
        if isinstance(event, TopologyChanged):
            self._check_topology(entry.node, event)
        elif isinstance(event, Paused):
            self._pauses[entry.node] = (entry.t_ns, None)
        elif isinstance(event, Resumed):
            self._pauses[entry.node] = (self._pauses[entry.node][0], entry.t_ns)
        elif isinstance(event, ReplicaFailed) and PLANNED not in event.reason:
            self.report(
                Violation(52, f"group {event.group} at {entry.node}", f"a replica raised {event.reason}")
            )

    def _check_topology(self, name: str, event: TopologyChanged) -> None:
        if event.generation in self._gone and name in self._guests:
            return
        # Where nobody that lives heard of the cluster that is gone, the next one may have its number.
        self._gone.pop(event.generation, None)
        if event.generation and not self._generation:
            self._generation = event.generation
        if event.generation:
            first = self._generations.setdefault(event.generation, name)
            if len(self._generations) > 1:
                text = f"{name} (first: {first}) serves generation {event.generation}, others {list(self._generations)}"
                self.report(Violation(6, "cluster", text))
        label = self._world.processes[name].incarnation.label if name in self._world.processes else name
        known = self._versions.get(name)
        if known is not None and known[0] == label and (event.generation, event.version) < known[1:]:
            text = f"went from version {known[1:]} to {(event.generation, event.version)}"
            self.report(Violation(4, name, text))
        self._versions[name] = (label, event.generation, event.version)


def _nothing() -> None:
    """Nobody waits for commits or leaders."""


def _fail(number: int, group: GroupView, text: str) -> None:
    subject = f"group {group.number} epoch {group.epoch} at {group.core.id}"
    raise ViolationError(Violation(number, subject, text))
