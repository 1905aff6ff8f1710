"""Forged frames of gateways and nodes, aimed at what is there: sessions, holds, calls under way, groups, members.

Sessions of its own are real: it opens them with proofs that it draws, hears their numbers, and proves with them. What
it does in them touches nothing that anybody else may see; what it does to the sessions of others must do nothing.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from casty.cluster.control.schema import FOUND, JOIN, REGION, SERVICE, SILENT, STATUS
from casty.cluster.slots.operations import CONTROL_SLOT, OP_CONTROL, OP_KEEPALIVE, OP_WRITE, RELAY
from casty.cluster.slots.schema import ABANDON, CANCEL, CLOSE, COMMAND, OPEN
from casty.consensus import messages
from casty.distributed.machines.base import EXPIRED, OK
from casty.errors import CastyError
from casty.wire import frames
from casty.wire.pack import pack, unpack

from ..world.clusters import NODE_PORT
from .guise import Aimed, Below, Guise
from .view import Held, Led, View

__all__ = ["GatewayAims", "NodeAims"]

_FIRST_CALL = 1 << 40
_SECRET_BYTES = 16
_LOCK_RELEASE = 3
_OPENINGS = 64
"""Openings whose answers are waited for."""
_ENTITY_REPLIES = ([OK, 424_242], [OK, None], [OK], [EXPIRED])


def _pick(below: Below, purpose: str, items: Any) -> Any:
    rows = list(items)
    return rows[below(purpose, len(rows))] if rows else None


class GatewayAims:
    """What anybody may send who says that it is a client or a node.

    Parameters
    ----------
    view, below
        What is there, and draws.
    own
        The name of whoever forges.
    """

    def __init__(self, view: View, below: Below, own: str) -> None:
        self._view = view
        self._below = below
        self._own = own
        self._calls = _FIRST_CALL
        self._openings: dict[int, tuple[int, int, bytes]] = {}
        self._sessions: deque[tuple[int, int, int, bytes]] = deque(maxlen=_OPENINGS)
        """(slot, epoch, session, proof) of its own."""
        self.aims = (self.opens, self.writes, self.writes, self.keeps_alive, self.keeps_alive, self.keeps_own)

    def replied(self, body: bytes) -> None:
        """Hear the answers to openings."""
        try:
            items: Any = unpack(body)
        except CastyError:
            return
        for call_id, reply in items:
            opening = self._openings.pop(call_id, None)
            if opening is not None and reply[0] == OK and len(reply) > 1:
                slot, epoch, proof = opening
                self._sessions.append((slot, epoch, reply[1], proof))

    def _random(self) -> bytes:
        return bytes(self._below("proof-byte", 256) for _ in range(_SECRET_BYTES))

    def _call(self) -> int:
        self._calls += 1
        return self._calls

    def _led(self, at: str) -> Led | None:
        led: Led | None = _pick(self._below, "led", self._view.led(at))
        return led

    def opens(self, at: str, guise: Guise) -> Aimed | None:
        """Open a session of its own."""
        led = self._led(at)
        if led is None:
            return None
        proof, call_id = self._random(), self._call()
        while len(self._openings) >= _OPENINGS:
            del self._openings[next(iter(self._openings))]
        self._openings[call_id] = (led.slot, led.group.epoch, proof)
        entry = pack([OPEN, proof, guise.key.encode()])
        return frames.REQUEST, pack([[call_id, led.slot, led.group.epoch, OP_WRITE, entry, b""]])

    def _proof(self, slot: int) -> bytes:
        """Return a proof of another session, or one of none."""
        own = [proof for of_slot, _, _, proof in self._sessions if of_slot == slot]
        way = self._below("proof", 3)
        return b"" if way == 0 else own[-1] if way == 1 and own else self._random()

    def _whose(self, led: Led) -> tuple[Held | None, int | None]:
        """Return what somebody holds in a slot, if anybody does, and a session there."""
        held = _pick(self._below, "held", self._view.held(led.machine))
        if held is not None:
            return held, held.session
        return None, _pick(self._below, "session", self._view.sessions(led.machine))

    def writes(self, at: str, guise: Guise) -> Aimed | None:
        """End what another session has, or the session itself, without its proof."""
        del guise
        led = self._led(at)
        if led is None:
            return None
        held, session = self._whose(led)
        if session is None:
            return None
        seq = 1 if held is None else held.seq
        entry: list[object] = [CLOSE, session]
        way = self._below("entry", 4)
        if held is not None and way == 1:
            entry = [ABANDON, session, seq, [[seq, held.kind, held.entity]]]
        elif held is not None and way == 2:
            entry = [CANCEL, session, seq, held.kind, held.entity]
        elif held is not None and way == 3:
            command = [_LOCK_RELEASE, held.token]
            entry = [COMMAND, session, seq + 1, seq, seq, held.kind, held.entity, command]
        operation = OP_WRITE | (RELAY if self._below("relay", 2) else 0)
        item: list[object] = [self._call(), led.slot, led.group.epoch, operation, pack(entry)]
        if self._below("proofless", 3):
            item.append(self._proof(led.slot))
        return frames.REQUEST, pack([item])

    def keeps_alive(self, at: str, guise: Guise) -> Aimed | None:
        """Keep the session of another alive, and give up what it holds."""
        del guise
        led = self._led(at)
        if led is None:
            return None
        held, session = self._whose(led)
        if session is None:
            return None
        given_up = [] if held is None else [[held.seq, held.kind, held.entity]]
        low = 1 if held is None else held.seq
        row: list[object] = [led.slot, led.group.epoch, session, [], [], given_up, low]
        if self._below("proofless", 3):
            row.append(self._proof(led.slot))
        return self._keeps(led.slot, led.group.epoch, row)

    def _keeps(self, slot: int, epoch: int, row: list[object]) -> Aimed:
        if self._below("as-request", 3):
            return frames.KEEPALIVE, pack([self._call(), [row]])
        operation = OP_KEEPALIVE | (RELAY if self._below("relay", 2) else 0)
        return frames.REQUEST, pack([[self._call(), slot, epoch, operation, pack(row), b""]])

    def keeps_own(self, at: str, guise: Guise) -> Aimed | None:
        """Keep a session of its own alive, and say of it what is not so: of others' holds, or in another shape."""
        del guise
        own = _pick(self._below, "own", self._sessions)
        if own is None:
            return None
        slot, epoch, session, proof = own
        machines = [led.machine for led in self._view.led(at) if led.slot == slot]
        held = _pick(self._below, "held", self._view.held(machines[0])) if machines else None
        named = [[1, 1, b"lock-1"]] if held is None else [[held.seq, held.kind, held.entity]]
        rows: list[object] = [named, named, named]
        odd = (None, 5, [7], [[1]], [[b"x", 1, b""]], [[1, 1, "lock-1"]], [[2**70, 1, b""]], [[-1, 99, b""]])
        if self._below("odd", 2):
            rows[self._below("odd-row", 3)] = odd[self._below("odd-value", len(odd))]
        low: object = (1, 0, -1, 2**70, "1")[self._below("low", 5)]
        return self._keeps(slot, epoch, [slot, epoch, session, *rows, low, proof])


class NodeAims:
    """What only nodes send: of groups, leaders, clients, members, and answers.

    Parameters
    ----------
    view, below
        What is there, and draws.
    own
        The name of whoever forges.
    nodes
        Names of the nodes.
    """

    def __init__(self, view: View, below: Below, own: str, nodes: list[str]) -> None:
        self._view = view
        self._below = below
        self._own = own
        self._nodes = nodes
        self.aims = (
            self.hints, self.clients, self.votes, self.appends, self.heartbeats, self.replies, self.acknowledges,
            self.joins, self.founds, self.controls,
        )  # fmt: skip

    def _group(self, at: str) -> Any:
        node = self._view.node(at)
        return None if node is None else _pick(self._below, "group", node.host.groups.values())

    def hints(self, at: str, guise: Guise) -> Aimed | None:
        """Lead slots, in a term beyond the present one."""
        node = self._view.node(at)
        if node is None:
            return None
        slots = [group for group in node.host.groups.values() if group.number]
        rows = [
            [group.number - 1, group.epoch, group.core.term + 1 + self._below("term", 9), guise.node_id]
            for group in slots
        ]
        return frames.HINTS, pack(rows)

    def clients(self, at: str, guise: Guise) -> Aimed | None:
        """Have the clients of others, as other processes, or have lost them."""
        del at, guise
        client = _pick(self._below, "client", self._view.clients())
        if client is None:
            return None
        client_id, incarnation = client
        known = [client_id, True, incarnation if self._below("same", 2) else f"{incarnation}0"]
        return frames.CLIENTS, pack(
            [known] if self._below("stays", 2) else [known, [client_id, False, incarnation]]
        )

    def votes(self, at: str, guise: Guise) -> Aimed | None:
        """Stand for election, or have somebody stand."""
        del guise
        group = self._group(at)
        if group is None:
            return None
        core = group.core
        term, last = core.term + 1, core.last_index + 1
        message = (
            [messages.VOTE, term, last, term, 1],
            [messages.VOTE, term, last, term, 0],
            [messages.PRE_VOTE, term, last, term],
            [messages.TIMEOUT_NOW, core.term],
            [messages.VOTE_REPLY, term, True],
            [messages.APPEND_REPLY, core.term, 0, messages.ACCEPTED, last, last, term],
        )[self._below("vote", 6)]
        return frames.CONSENSUS, pack([[group.number, group.epoch, message]])

    def appends(self, at: str, guise: Guise) -> Aimed | None:
        """Lead a group, with an entry of its own."""
        del guise
        group = self._group(at)
        if group is None:
            return None
        core = group.core
        term = core.term + self._below("append-term", 2)
        entries = [[term, 0, pack([CLOSE, 1])]] if self._below("append-entry", 2) else []
        message = [
            messages.APPEND,
            term,
            core.last_index,
            core.term,
            core.last_index + len(entries),
            0,
            entries,
        ]
        return frames.CONSENSUS, pack([[group.number, group.epoch, message]])

    def heartbeats(self, at: str, guise: Guise) -> Aimed | None:
        """Heartbeat, answer heartbeats, and say that a replica has no place any more."""
        del guise
        group = self._group(at)
        if group is None:
            return None
        core = group.core
        rows = [[group.number, group.epoch, core.term, core.membership_index, 0, 0]]
        return (
            (frames.HEARTBEAT, pack([1, self._digest()])),
            (frames.HEARTBEAT_ACK, pack([1 << 60, 3])),
            (frames.ROWS, pack([1, rows])),
            (frames.ROWS_ACK, pack([1 << 60, [[group.number, 0]]])),
            (frames.REMOVED, pack([[group.number, group.epoch]])),
            (frames.REMOVED_ACK, pack([[group.number, group.epoch, 1 << 40, ["nobody#1"]]])),
        )[self._below("beat", 6)]

    def _digest(self) -> bytes:
        return bytes(self._below("digest-byte", 256) for _ in range(_SECRET_BYTES))

    def replies(self, at: str, guise: Guise) -> Aimed | None:
        """Answer a call that waits for somebody else."""
        del guise
        call_id = _pick(self._below, "call", self._view.calls(at))
        if call_id is None:
            return None
        return frames.REPLY, pack([[call_id, _ENTITY_REPLIES[self._below("reply", len(_ENTITY_REPLIES))]]])

    def acknowledges(self, at: str, guise: Guise) -> Aimed | None:
        """Say of a node's sessions that they have expired."""
        del guise
        node, nonce = self._view.node(at), _pick(self._below, "nonce", self._view.asked_alive(at))
        if node is None or nonce is None:
            return None
        rows: list[list[object]] = [
            [slot, EXPIRED, [], [], [], None, 1] for slot in node.gateway.sessions_by_slot
        ]
        return frames.KEEPALIVE_ACK, pack([nonce, rows])

    def joins(self, at: str, guise: Guise) -> Aimed | None:
        """Ask to join in the name of others, at addresses that are none of a node."""
        member = _pick(self._below, "joining", self._view.members(at))
        node_id = f"{self._own}-friend" if member is None else member.node_id
        incarnation = guise.incarnation if member is None or self._below("anew", 2) else member.incarnation
        client = _pick(self._below, "client-host", ("client-1", "client-2", self._own))
        port = NODE_PORT + self._below("port", 2)
        return frames.JOIN, pack([node_id, incarnation, client, port, [None, 100, []]])

    def founds(self, at: str, guise: Guise) -> Aimed | None:
        """Found in the name of a seed, decide what founders decide, and know of a cluster that is none."""
        seeds = sorted(f"{name}:{NODE_PORT}" for name in self._nodes)
        ballot = [1 + self._below("ballot", 1 << 20), guise.key]
        document = pack(self._document(guise))
        node = self._view.node(at)
        known = 0 if node is None else node.control.machine.generation
        rows: tuple[list[object], ...] = (
            [1, guise.node_id, guise.incarnation, self._own, NODE_PORT, seeds, "blank", 1, 1],
            [1, guise.node_id, guise.incarnation, self._nodes[0], NODE_PORT, seeds, "acked", 1, 1],
            [2, *ballot, seeds],
            [5, *ballot],
            [4, *ballot, document],
            [6, *ballot, document],
            [7, known + 1, "0" * 16, [[self._own, NODE_PORT]], True],
        )
        return frames.FOUNDING, pack(rows[self._below("founding", len(rows))])

    def _document(self, guise: Guise) -> dict[str, Any]:
        settings = {
            "session_ttl_s": 4.0,
            "drift": 0.01,
            "max_waiters": 9,
            "max_entities": 9,
            "max_sessions": 9,
        }
        return {
            "id": "forged", "founder": guise.node_id, "name": "sim", "generation": 7, "cluster_id": "0" * 16,
            "slots": 2, "replication": 1, "settings": settings,
            "founders": [[guise.node_id, guise.incarnation, self._own, NODE_PORT, [None, 100, []]]],
        }  # fmt: skip

    def controls(self, at: str, guise: Guise) -> Aimed | None:
        """Write to the control group: who is a member, what regions and services there are."""
        member = _pick(self._below, "judged", self._view.members(at))
        if member is None:
            return None
        who = [member.node_id, member.incarnation]
        uri = f"casty://sim@{self._own}:{NODE_PORT}/inbox"
        entries: tuple[list[object], ...] = (
            [STATUS, *who, "removed"],
            [STATUS, *who, "down"],
            [SILENT, *who, True],
            [JOIN, f"{self._own}-friend", guise.incarnation, self._own, NODE_PORT, [None, 100, []]],
            [REGION, "forged", 3, None],
            [SERVICE, *who, member.offered, member.offered + 1, [["inbox", uri, True]]],
            [FOUND, self._document(guise)],
        )
        entry = pack(entries[self._below("control", len(entries))])
        operation = OP_CONTROL | (RELAY if self._below("relay", 4) == 0 else 0)
        return frames.REQUEST, pack([[_FIRST_CALL, CONTROL_SLOT, 0, operation, entry, b""]])
