"""What a node answers: requests and keep-alives of gateways, its own gateway included.

A request is one of three operations on a slot: a write (a log entry, proposed as it came), a read, or a
control entry. A node that does not lead the slot says who does; with `RELAY` set it asks the leader itself,
one hop.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, NamedTuple, Protocol

from casty.address import node_id_of
from casty.cluster.authority import MEMBER, PEER, STRANGER
from casty.cluster.control import machine as control
from casty.cluster.control import upkeep
from casty.cluster.control.machine import ControlMachine
from casty.cluster.control.replica import CONTROL, ControlReplica
from casty.cluster.control.topology import LeaderTable
from casty.cluster.multiraft.host import Group, Host, Replica
from casty.cluster.multiraft.numbers import group_of, slot_of
from casty.cluster.multiraft.proposals import (
    BAD,
    BUSY,
    NOT_LEADER,
    OK,
    UNKNOWN,
    Late,
    ReadReplySink,
    ReplySink,
)
from casty.cluster.node.boundary import Boundary
from casty.cluster.node.course import voting
from casty.cluster.node.links import Links
from casty.cluster.node.relays import Relays
from casty.cluster.node.replies import LinkReplySink, LocalReplySink
from casty.cluster.sessions.gateway import Gateway
from casty.cluster.slots.leader import EXPIRY_WORK
from casty.cluster.slots.node_memory import NodeMemory
from casty.cluster.slots.operations import (
    AT_ONCE,
    CONTROL_SLOT,
    KEEPALIVE_FIELDS,
    MARKS_BYTES,
    OP_CONTROL,
    OP_KEEPALIVE,
    OP_READ,
    OP_WRITE,
    RELAY,
    ROW_EPOCH,
    ROW_SLOT,
)
from casty.cluster.slots.replica import SlotReplica
from casty.cluster.slots.schema import OPENINGS, PACKED_KIND, may_be_of_client
from casty.config import BOUNDS, Settings
from casty.distributed.machines.base import CODE, QUEUED, TOO_LARGE
from casty.errors import EncodingError, RemoteProtocolError
from casty.events import Redirected
from casty.limits import MAX_ITEMS, MAX_NUMBER
from casty.parts import Parts
from casty.ports import Clock, Runtime
from casty.transport.connection import Connection
from casty.transport.output_batch import OutputBatch
from casty.transport.shares import InShares
from casty.wire import frames
from casty.wire.pack import claimed_items, pack, unpack

__all__ = ["RequestHandler"]

PROOF = 5
"""Where a request has the proof of its session; one of a read, or of an opening, may be without."""

MAX_SLOTS = int(BOUNDS["slots"].high)
"""Higher numbers are no slots of any cluster, and nothing repeats them."""

MAX_ROWS = 10_000
"""Requests in one frame. Gateways send `AT_ONCE` at most, and everybody else's beyond that are taken in parts."""

FORGOTTEN_AT_ONCE = 512
"""Watches of a link that is gone that are forgotten in one turn: about a millisecond."""

_OPENINGS = tuple(bytes((kind,)) for kind in OPENINGS)
"""How the kinds of these entries are packed."""

LATE_AT_ONCE = 512
"""Calls that are told in one turn that somebody else leads: about a millisecond, with the frames."""


class Agreed(NamedTuple):
    """What the cluster agreed on, as far as replicas need it before the control group's state is here."""

    generation: int
    settings: dict[str, float]


class Served(Protocol):
    """The node whose requests are served; see `Node`."""

    runtime: Runtime
    settings: Settings
    node_id: str
    output: OutputBatch
    boundary: Boundary
    links: Links
    host: Host
    leaders: LeaderTable
    control: ControlReplica
    memory: NodeMemory
    relays: Relays
    gateway: Gateway


class RequestHandler:
    """The server side of sessions on one node.

    Bounds: `slots` has a row per slot with a replica here; `_answers` one per link that asked something, until it
    closes; `_dirty` is empty after each turn.
    """

    def __init__(self, node: Served, agreed: Callable[[], Agreed] | None = None) -> None:
        self._node = node
        self._dirty: list[LinkReplySink | LocalReplySink] = []
        self._answers: dict[Connection, LinkReplySink] = {}
        self._local = LocalReplySink(self._deliver, self._dirty)
        self.slots: dict[int, SlotReplica] = {}
        self._agreed = agreed
        """Returns what the disk says that was agreed on; None without a disk."""
        self._next_tick = 0
        self._ending: dict[int, None] = {}
        """Slots with sessions that end in parts; at most one row per slot."""
        self._late: Parts[Late] = Parts(node.runtime.clock, self._answer_late, LATE_AT_ONCE)
        self._gone: Parts[None] = Parts(node.runtime.clock, _forgotten, FORGOTTEN_AT_ONCE)
        """Steps that forget the watches of links that are gone."""
        self._limit_bytes = node.settings.max_value_bytes + MARKS_BYTES

    # -- frames

    def on_request(self, link: Connection, body: bytes) -> None:
        """Take a request frame."""
        answers = self._answers.get(link)
        if answers is None:
            answers = self._answers[link] = LinkReplySink(link, self._dirty)
        rows = _rows_of(body, MAX_ROWS)
        role = self._node.boundary.role_of(link)
        # A link that floods has its rows taken in parts that fit into its share.
        most = min(AT_ONCE, link.share.units) if link.share.is_small else AT_ONCE
        if len(rows) > most and link.has_budget:
            link.defer(InShares(rows, most, lambda part: self._take(answers, part, role), link.charge).go_on)
        else:
            link.charge(len(rows))
            self._take(answers, rows, role)

    def loop_back(self, kind: int, body: bytes) -> bool:
        """Take a frame of this node's own gateway."""
        node = self._node
        node.output.begin()
        try:
            if kind == frames.REQUEST:
                self._take(self._local, _rows_of(body, MAX_ITEMS), MEMBER)
            elif kind == frames.KEEPALIVE:
                node.gateway.on_keepalive_ack(self._keep_alive(body))
        finally:
            node.output.end()
        return True

    def _deliver(self, body: bytes) -> None:
        self._on_replies(unpack(body), body)

    def _take(self, answers: ReadReplySink, items: list[Any], role: int) -> None:
        for item in items:
            fields = len(item) if isinstance(item, list) else 0
            if fields == PROOF + 1:
                call_id, slot, epoch, operation, payload, proof = item
            elif fields == PROOF:
                # Who gives no proof has no session; a read needs none.
                call_id, slot, epoch, operation, payload = item
                proof = b""
            else:
                raise RemoteProtocolError(
                    "request: expected [call id, slot, epoch, operation, payload, proof]"
                )
            # The id of a call is the key of a table, and long numbers may all have the same hash.
            if not (
                type(call_id) is int
                and -MAX_NUMBER <= call_id <= MAX_NUMBER
                and isinstance(slot, int)
                and isinstance(operation, int)
                and isinstance(payload, bytes)
                and isinstance(proof, bytes)
            ):
                raise RemoteProtocolError(
                    "request: expected numbers for call id, slot and operation, bytes for payload and proof"
                )
            if slot == CONTROL_SLOT:
                if operation != OP_CONTROL or role < STRANGER:
                    raise RemoteProtocolError(
                        f"request: the control group takes operation {OP_CONTROL} only, from nodes only"
                    )
                self._control(answers, call_id, payload, role)
            elif not 0 <= slot < MAX_SLOTS:
                answers.add(call_id, [BAD, f"expected a slot below {MAX_SLOTS}"])
            elif not 0 < operation < 2 * RELAY:
                answers.add(call_id, [BAD, f"expected an operation below {2 * RELAY}"])
            elif len(payload) > self._limit_bytes:
                # It would be a log entry, and has to fit into a frame with others.
                limit = f"max_value_bytes = {self._node.settings.max_value_bytes}"
                text = f"expected at most {limit} in a request, found {len(payload)} bytes"
                answers.add(call_id, [TOO_LARGE, text])
            else:
                self._request(answers, call_id, slot, epoch, operation, payload, proof, role)

    def _request(
        self,
        answers: ReadReplySink,
        call_id: int,
        slot: int,
        epoch: object,
        operation: int,
        payload: bytes,
        proof: bytes,
        role: int,
    ) -> None:
        asked = operation & ~RELAY
        if role < PEER and asked == OP_WRITE:
            refused = _refused(answers, payload, self._node.runtime.clock)
            if refused is not None:
                answers.add(call_id, refused)
                return
        group = self._node.host.groups.get(group_of(slot))
        if group is None or not group.is_leading or group.epoch != epoch:
            self._redirect(answers, call_id, slot, epoch, operation, payload, proof)
            return
        host, replica = self._node.host, self.slots[slot]
        try:
            if asked == OP_WRITE:
                host.ask(group, replica.write, group, payload, proof, answers, call_id)
            elif asked == OP_READ:
                host.ask(group, replica.read, group, payload, answers, call_id)
            elif asked == OP_KEEPALIVE:
                answer = host.ask(group, replica.keep_alive, group, unpack(payload))
                if answer is not None:
                    answers.add(call_id, [OK, answer])
            else:
                answers.add(call_id, [BAD, f"operation {operation} is none"])
        except (RemoteProtocolError, EncodingError) as error:
            answers.add(call_id, [BAD, str(error)])
        self._mark(group, answers, call_id)

    def append(self, slot: int, entry: list[Any], answers: ReplySink, call_id: int) -> bool:
        """Propose events of an entity of a slot; False where this node does not lead it. Answered in a later turn."""
        group = self._node.host.groups.get(slot + 1)
        if group is None or not group.is_leading:
            return False
        self._node.host.ask(group, self.slots[slot].append, group, entry, answers, call_id)
        self._mark(group, answers, call_id)
        self._node.output.mark_due()
        return True

    def _mark(self, group: Group, answers: ReplySink, call_id: int) -> None:
        """Let the group work, or say that nobody knows what became of the call at which its replica failed."""
        host = self._node.host
        if host.groups.get(group.number) is group:
            host.mark(group)
        else:
            answers.add(call_id, [UNKNOWN])

    def _control(self, answers: ReplySink, call_id: int, payload: bytes, role: int) -> None:
        group = self._node.host.groups.get(CONTROL)
        if group is None or role < PEER:
            is_over = group is not None and self._is_over(group, payload)
            answers.add(call_id, [OK, None] if is_over else [NOT_LEADER, None, 0])
            return
        control.check_entry(payload)
        self._node.host.ask(group, self._node.control.propose, group.core, payload, answers, call_id)
        self._mark(group, answers, call_id)

    def _is_over(self, group: Group, payload: bytes) -> bool:
        """Whether who asks to leave is no member any more: a leader with its lease tells, and writes nothing.

        Who was removed while it was silent is needed for as long as a configuration names it.
        """
        entry = control.check_entry(payload)
        kind, *fields = entry
        if kind != control.STATUS or group.core.lease_until_ns() <= self._node.runtime.clock.now():
            return False
        node_id, incarnation, _ = fields
        machine = self._node.control.machine
        known = machine.members.get(node_id)
        if known is None or known.incarnation != incarnation:
            return True
        return known.status == "removed" and upkeep.has_nothing(machine, known, voting(group.core))

    def _redirect(
        self,
        answers: ReplySink,
        call_id: int,
        slot: int,
        epoch: object,
        operation: int,
        payload: bytes,
        proof: bytes,
    ) -> None:
        node = self._node
        hint = node.leaders.hint_of(slot)
        leader = None if hint is None else hint.leader
        if node.runtime.observe:
            node.runtime.observe(Redirected(slot))
        is_passed_on = operation & RELAY and node.relays.has_room(answers)
        if is_passed_on and leader is not None and leader != node.node_id:
            relay_id = node.relays.expect(leader, answers, call_id)
            body = pack([[relay_id, slot, epoch, operation & ~RELAY, payload, proof]])
            if node.links.send_to_node(leader, frames.REQUEST, body):
                return
            node.relays.drop(relay_id)
        answers.add(
            call_id,
            [NOT_LEADER, None if leader == node.node_id else leader, 0 if hint is None else hint.term],
        )

    def on_reply(self, link: Connection, body: bytes) -> None:
        """Take replies of another node: to relayed calls, or to this node's own gateway."""
        del link
        self._on_replies(unpack(body), body)

    def _on_replies(self, items: Any, body: bytes) -> None:
        if not isinstance(items, list):
            raise RemoteProtocolError("reply frame: expected a list")
        relays = self._node.relays
        own = []
        for item in items:
            if not isinstance(item, list) or len(item) != 2:
                raise RemoteProtocolError("reply: expected [call id, reply]")
            call_id, reply = item
            if type(call_id) is not int:
                raise RemoteProtocolError("reply: expected [call id, reply]")
            if not isinstance(reply, list) or not reply:
                raise RemoteProtocolError("reply: expected a status first")
            if call_id < 0:
                relays.on_reply(call_id, reply, is_final=reply[CODE] != QUEUED)
            else:
                own.append(item)
        if own:
            self._node.gateway.on_reply(body if len(own) == len(items) else pack(own))

    def on_keepalive(self, link: Connection, body: bytes) -> None:
        """Take a keep-alive frame and acknowledge it."""
        link.send(frames.KEEPALIVE_ACK, self._keep_alive(body))

    def _keep_alive(self, body: bytes) -> bytes:
        message: Any = unpack(body)
        if not isinstance(message, list) or len(message) != 2:
            raise RemoteProtocolError("keep-alive: expected [nonce, rows]")
        nonce, rows = message
        if not isinstance(rows, list):
            raise RemoteProtocolError("keep-alive: expected [nonce, rows]")
        if len(rows) > MAX_SLOTS:
            raise RemoteProtocolError(f"keep-alive: expected at most {MAX_SLOTS} rows, found {len(rows)}")
        return pack([nonce, [self._keep_alive_row(row) for row in rows]])

    def _keep_alive_row(self, row: Any) -> list[object]:
        slot = row[ROW_SLOT] if isinstance(row, list) and len(row) in KEEPALIVE_FIELDS else None
        if type(slot) is not int:
            raise RemoteProtocolError("keep-alive: expected rows of eight that start with a slot")
        if not 0 <= slot < MAX_SLOTS:
            raise RemoteProtocolError(f"keep-alive: expected a slot below {MAX_SLOTS}")
        group = self._node.host.groups.get(group_of(slot))
        if group is None or not group.is_leading or group.epoch != row[ROW_EPOCH]:
            return self._not_here(slot)
        answer = self._node.host.ask(group, self.slots[slot].keep_alive, group, row)
        if answer is None:
            return self._not_here(slot)
        self._node.host.mark(group)
        return answer

    def _not_here(self, slot: int) -> list[object]:
        hint = self._node.leaders.hint_of(slot)
        leader = None if hint is None or hint.leader == self._node.node_id else hint.leader
        return [slot, NOT_LEADER, [], [], [], leader, 0 if hint is None else hint.term]

    def forget(self, link: Connection) -> None:
        """The link is gone; answers for it go nowhere."""
        answers = self._answers.pop(link, None)
        if answers is not None:
            self._node.relays.caller_lost(answers)
            steps = [replica.maps.forget(answers) for replica in self.slots.values()]
            self._gone.add(chain.from_iterable(steps))

    def settle(self) -> None:
        """Let the groups work and send the answers, until nothing is left to do: the turn's first hook."""
        host = self._node.host
        host.settle()
        while self._dirty:
            dirty, self._dirty[:] = list(self._dirty), []
            for answers in dirty:
                answers.flush()
            host.settle()

    # -- slots

    def make_slot(self, slot: int, epoch: int, machine: ControlMachine) -> Replica:
        """Make the replica of a slot's group on this node."""
        node = self._node
        # After a restart a slot may be here before what the control group agreed on is.
        agreed = machine if machine.is_founded or self._agreed is None else self._agreed()
        replica = SlotReplica(
            slot,
            node.runtime,
            node.settings,
            agreed.generation,
            agreed.settings,
            self._role_changed,
            node.memory,
        )
        replica.on_over = self._over
        replica.on_late = self._late.add
        replica.maps.on_answered = node.output.mark_due
        replica.maps.on_proposed = node.host.mark
        self.slots[slot] = replica
        return replica

    def drop_slot(self, slot: int) -> None:
        """The replica of a slot failed: its state goes at once, memory may be what it lacked."""
        self.slots.pop(slot, None)

    def _role_changed(self, group: Group) -> None:
        """Remember and tell who leads the slot now."""
        core = group.core
        leader = None if core.leader is None else node_id_of(core.leader)
        self._node.leaders.learn(slot_of(group.number), group.epoch, core.term, leader)

    def tick(self, now_ns: int) -> None:
        """Every heartbeat: expire sessions of the slots led here, at most two slots' fill of them in one turn.

        Whoever dies with very many sessions must not hold up a turn of the nodes that are left. The slots that
        began it last time come last.
        """
        slots = [group for group in self._node.host.led.values() if group.number > 0 and group.is_leading]
        first = self._next_tick % len(slots) if slots else 0
        left = 2 * EXPIRY_WORK
        for group in slots[first:] + slots[:first]:
            replica = self.slots[slot_of(group.number)]
            left -= self._node.host.ask(group, replica.tick, group, now_ns, max(1, left // 2)) or 0
        if left < 2 * EXPIRY_WORK:
            self._next_tick = first + 1

    def silence_ns(self, slot: int) -> int:
        """Return how long the session of a slot was silent that is silent for longest."""
        replica = self.slots.get(slot)
        return 0 if replica is None else replica.longest_silence_ns(self._node.runtime.clock.now())

    def _answer_late(self, late: Late) -> None:
        """Tell a call of a leadership that ended, in the turn of its part; by then it may ask somebody else already."""
        answers, call_id, reply = late
        answers.add(call_id, reply)
        self._node.output.mark_due()

    def _over(self, slot: int) -> None:
        """A slot led here needs turns for the end of a session."""
        if not self._ending:
            self._see_to_ends()
        self._ending[slot] = None

    def _see_to_ends(self) -> None:
        clock = self._node.runtime.clock
        clock.call_at(clock.now(), self._end_part)

    def _end_part(self) -> None:
        """Let one session of one slot go on ending: one part a turn, one slot after the other."""
        slot = next(iter(self._ending))
        del self._ending[slot]
        node = self._node
        group, replica = node.host.groups.get(group_of(slot)), self.slots.get(slot)
        node.output.begin()
        try:
            if group is not None and replica is not None and group.is_leading:
                if replica.propose_part(group, node.runtime.clock.now()):
                    self._ending[slot] = None
                node.host.mark(group)
            if self._ending:
                self._see_to_ends()
        finally:
            node.output.end()

    def closed(self) -> list[int]:
        """Return the slots led here that grant nothing yet, as holders of a former generation may live."""
        return [
            slot for slot, replica in self.slots.items() if replica.is_closed and replica.leader is not None
        ]

    def usage(self) -> tuple[int, dict[str, int]]:
        """Return the sessions and, by kind, the structures in the slots led here."""
        sessions, structures = 0, dict[str, int]()
        for slot, replica in self.slots.items():
            group = self._node.host.groups.get(group_of(slot))
            if group is not None and group.is_leading:
                sessions += replica.count_sessions()
                for name, count in replica.count_structures().items():
                    structures[name] = structures.get(name, 0) + count
        return sessions, structures


def _forgotten(step: None) -> None:
    """Forget nothing besides: asking for the step did it."""
    del step


def _refused(answers: ReplySink, payload: bytes, clock: Clock) -> list[object] | None:
    """Return what a client is answered whose write is not proposed; None for all others."""
    if not may_be_of_client(payload):
        return [BAD, "slot entry: expected a kind of structure that clients write"]
    if (
        payload[PACKED_KIND : PACKED_KIND + 1] in _OPENINGS
        and isinstance(answers, LinkReplySink)
        and not answers.openings.takes(clock.now())
    ):
        return [BUSY, "this link opened very many sessions; it may open more in a moment"]
    return None


def _rows_of(body: bytes, most: int) -> list[Any]:
    rows: Any = unpack(body) if claimed_items(body) <= most else None
    if not isinstance(rows, list):
        raise RemoteProtocolError(f"request frame: expected a list of at most {most}")
    return rows
