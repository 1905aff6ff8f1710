"""How blank nodes found one cluster, and only one. Pure: messages and ticks in, messages out.

States of a process::

    blank --------> offering --> started        the lowest node id seen offers one document to all it sees
      |  ^             |
      |  |             v
      |  +------- withdrawing                   an offer that lacks an acknowledgement for 3 s is taken back
      v
    acked ---------> started                    a blank process acknowledges one document, and no other
    (any but started) --> joining               somebody knows a generation: join it instead

``started`` is final: the document is the first configuration of the control group, and all its founders vote
in it.

What may be lost, doubled or late: every message. Each is sent again on every tick until it is answered,
each names the founding it speaks of, and each is harmless when heard twice. Why two foundings cannot both
commit: to commit takes a majority of the document's founders, every one of whom had acknowledged it; a
process acknowledges a second document only after the founder withdrew the first, which the founder may only
do while nobody started it - a process that started answers a withdrawal with ``START``, and the founder
then has to start as well.

A founder that dies after its offer is replaced: an acknowledger that hears nothing of it for 3 s offers the
very same document to the others and starts once a majority of its founders (itself included) stands by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from casty.address import peer_key
from casty.errors import RemoteProtocolError

__all__ = ["ACK", "OFFER", "START", "VIEW", "WITHDRAW", "WITHDRAWN", "Founding", "Identity", "Policy"]

VIEW, OFFER, ACK, START, WITHDRAW, WITHDRAWN = 1, 2, 3, 4, 5, 6
BLANK, OFFERING, ACKED, WITHDRAWING, STARTED, JOINING = (
    "blank", "offering", "acked", "withdrawing", "started", "joining",
)  # fmt: skip
SECOND_NS = 1_000_000_000
PATIENCE_NS = 3 * SECOND_NS
FRESH_NS = 2 * SECOND_NS

Outbox = list[tuple[str, list[object]]]


class Identity(NamedTuple):
    """A process that may found."""

    node_id: str
    incarnation: str
    host: str
    port: int

    @property
    def key(self) -> str:
        """Its peer key."""
        return peer_key(self.node_id, self.incarnation)


class Policy(NamedTuple):
    """When this process may found.

    `seed_set` is compared as given (sorted ``host:port``); `needed` of it have to be seen; `listen_ns` is
    waited when that is not everybody, or nobody else.
    """

    seed_set: tuple[str, ...]
    needed: int
    listen_ns: int


class _Seen(NamedTuple):
    identity: Identity
    seed_set: tuple[str, ...]
    at_ns: int


class Founding:
    """One process's part in founding a cluster.

    Parameters
    ----------
    identity, policy
        Who this is, and when it may found.
    document
        Makes the founding document from the sorted founders; its ``id`` is unique. Returns None while the
        generation number is not free yet.
    now_ns
        The present, in nanoseconds of this process's clock.
    """

    def __init__(
        self,
        identity: Identity,
        policy: Policy,
        document: Callable[[list[Identity]], dict[str, Any] | None],
        now_ns: int,
    ) -> None:
        self.identity = identity
        self.policy = policy
        self.phase = BLANK
        self.document: dict[str, Any] | None = None
        self._make_document = document
        self._seen: dict[str, _Seen] = {}
        self._met: dict[str, tuple[str, ...]] = {}
        self._acks: dict[str, None] = {}
        self._founder_heard_ns = now_ns
        self._phase_since_ns = now_ns
        self._enough_since_ns: int | None = None

    @property
    def is_blank(self) -> bool:
        """Whether this process has promised nothing to anybody."""
        return self.phase == BLANK

    def view(self) -> list[object]:
        """Return what this process tells everyone it is linked with."""
        acked = self.document["id"] if self.document is not None else ""
        return [VIEW, *self.identity, list(self.policy.seed_set), self.phase, acked]

    def seed_sets_met(self) -> dict[str, tuple[str, ...]]:
        """Return differing seed sets by node id: the usual cause of a cluster that never forms."""
        return {node: seeds for node, seeds in self._met.items() if seeds != self.policy.seed_set}

    def join_instead(self, now_ns: int) -> None:
        """A member of a living cluster was met: a process that promised nothing joins it."""
        if self.phase == BLANK:
            self._enter(JOINING, now_ns)

    def tick(self, now_ns: int) -> Outbox:
        """Do what is due; call it every 0.25 s. Returns (node id, message) pairs."""
        if self.phase == BLANK:
            return self._consider_founding(now_ns)
        if self.phase == OFFERING:
            if now_ns - self._phase_since_ns > PATIENCE_NS:
                self._enter(WITHDRAWING, now_ns)
                return self._withdraw()
            return self._offer()
        if self.phase == ACKED:
            if now_ns - self._founder_heard_ns > PATIENCE_NS:
                return self._offer()
            return [(self._founder(), [ACK, self._id()])]
        if self.phase == WITHDRAWING:
            return self._withdraw()
        if self.phase == STARTED:
            return [(node, [START, self.document]) for node in self._others()]
        return []

    def step(self, now_ns: int, sender: str, message: Sequence[Any]) -> Outbox:
        """Take a message from a process (a peer key); returns the answers."""
        kind = message[0] if message else None
        try:
            if kind == VIEW:
                return self._on_view(now_ns, message)
            if kind == OFFER:
                return self._on_offer(now_ns, sender, message[1])
            if kind == ACK:
                return self._on_ack(now_ns, sender, message[1])
            if kind == START:
                return self._on_start(now_ns, message[1])
            if kind == WITHDRAW:
                return self._on_withdraw(now_ns, sender, message[1])
            if kind == WITHDRAWN:
                return self._on_withdrawn(now_ns, sender, message[1])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise RemoteProtocolError(f"founding message {kind}: {error!r}") from error
        raise RemoteProtocolError(f"founding: expected a kind from 1 to 6, found {kind!r}")

    def _consider_founding(self, now_ns: int) -> Outbox:
        founders = [self.identity]
        founders += [
            seen.identity
            for seen in self._seen.values()
            if now_ns - seen.at_ns <= FRESH_NS and seen.seed_set == self.policy.seed_set
        ]
        founders.sort()
        if len(founders) < self.policy.needed:
            self._enough_since_ns = None
            return []
        if self._enough_since_ns is None:
            self._enough_since_ns = now_ns
        everybody = len(founders) >= len(self.policy.seed_set) > 1
        if not everybody and now_ns - self._enough_since_ns < self.policy.listen_ns:
            return []
        if founders[0] != self.identity:
            return []
        document = self._make_document(founders)
        if document is None:
            return []
        self.document = document
        self._acks = {self.identity.key: None}
        self._enter(OFFERING, now_ns)
        return self._start_if_complete(now_ns) or self._offer()

    def _on_view(self, now_ns: int, message: Sequence[Any]) -> Outbox:
        _, node_id, incarnation, host, port, seed_set, phase, acked = message
        identity = Identity(node_id, incarnation, host, port)
        self._met[node_id] = tuple(seed_set)
        if phase == BLANK:
            self._seen[node_id] = _Seen(identity, tuple(seed_set), now_ns)
        else:
            self._seen.pop(node_id, None)
        if self.phase == ACKED and node_id == self._founder():
            self._founder_heard_ns = now_ns
        if self.phase in (ACKED, OFFERING, WITHDRAWING) and self._is_replaced(identity):
            self._release(now_ns)
            return []
        if self.phase == STARTED and acked == self._id() and phase != STARTED:
            return [(node_id, [START, self.document])]
        if self.phase == BLANK and phase == ACKED and self._was_mine(acked):
            return [(node_id, [WITHDRAW, acked])]
        return []

    def _on_offer(self, now_ns: int, sender: str, document: dict[str, Any]) -> Outbox:
        node_id = sender.rpartition("#")[0]
        if self.phase == STARTED and document["id"] == self._id():
            return [(node_id, [START, self.document])]
        if self.phase == OFFERING and document["founder"] < self.identity.node_id:
            self._enter(WITHDRAWING, now_ns)
            return self._withdraw()
        if self.phase == BLANK and self.identity.key in _keys(document):
            self.document = document
            self._acks = {self.identity.key: None}
            self._founder_heard_ns = now_ns
            self._enter(ACKED, now_ns)
        if self.phase == ACKED and document["id"] == self._id():
            if node_id == self._founder():
                self._founder_heard_ns = now_ns
            return [(node_id, [ACK, document["id"]])]
        return []

    def _on_ack(self, now_ns: int, sender: str, founding_id: str) -> Outbox:
        node_id = sender.rpartition("#")[0]
        if self.document is None or founding_id != self._id():
            return [(node_id, [WITHDRAW, founding_id])] if self._was_mine(founding_id) else []
        if self.phase == STARTED:
            return [(node_id, [START, self.document])]
        if self.phase in (OFFERING, ACKED) and sender in _keys(self.document):
            self._acks[sender] = None
            return self._start_if_complete(now_ns)
        return []

    def _start_if_complete(self, now_ns: int) -> Outbox:
        assert self.document is not None
        founders = len(self.document["founders"])
        needed = founders if self.phase == OFFERING else founders // 2 + 1
        stands_in = self.phase == ACKED and now_ns - self._founder_heard_ns > PATIENCE_NS
        if len(self._acks) < needed or (self.phase == ACKED and not stands_in):
            return []
        self._enter(STARTED, now_ns)
        return self.tick(now_ns)

    def _on_start(self, now_ns: int, document: dict[str, Any]) -> Outbox:
        if self.phase == STARTED or self.identity.key not in _keys(document):
            return []
        if self.phase == BLANK or (self.document is not None and document["id"] == self._id()):
            self.document = document
            self._enter(STARTED, now_ns)
        return []

    def _on_withdraw(self, now_ns: int, sender: str, founding_id: str) -> Outbox:
        node_id = sender.rpartition("#")[0]
        if self.document is not None and founding_id == self._id():
            if self.phase == STARTED:
                return [(node_id, [START, self.document])]
            if self.phase == ACKED:
                self._release(now_ns)
        return [(node_id, [WITHDRAWN, founding_id])]

    def _on_withdrawn(self, now_ns: int, sender: str, founding_id: str) -> Outbox:
        if self.phase == WITHDRAWING and founding_id == self._id():
            self._acks[sender] = None
            assert self.document is not None
            if all(key in self._acks for key in _keys(self.document)):
                self._release(now_ns)
        return []

    def _offer(self) -> Outbox:
        return [(node, [OFFER, self.document]) for node in self._others()]

    def _withdraw(self) -> Outbox:
        return [(node, [WITHDRAW, self._id()]) for node in self._others()]

    def _others(self) -> list[str]:
        assert self.document is not None
        return [row[0] for row in self.document["founders"] if row[0] != self.identity.node_id]

    def _founder(self) -> str:
        assert self.document is not None
        return str(self.document["founder"])

    def _id(self) -> str:
        return "" if self.document is None else str(self.document["id"])

    def _was_mine(self, founding_id: str) -> bool:
        return founding_id.startswith(self.identity.key + "/") and founding_id != self._id()

    def _is_replaced(self, identity: Identity) -> bool:
        assert self.document is not None
        rows = [row for row in self.document["founders"] if row[0] == identity.node_id]
        return any(row[1] != identity.incarnation for row in rows)

    def _release(self, now_ns: int) -> None:
        self.document = None
        self._acks = {}
        self._enough_since_ns = None
        self._enter(BLANK, now_ns)

    def _enter(self, phase: str, now_ns: int) -> None:
        self.phase = phase
        self._phase_since_ns = now_ns
        if phase == WITHDRAWING:
            self._acks = {self.identity.key: None}


def _keys(document: dict[str, Any]) -> list[str]:
    return [peer_key(row[0], row[1]) for row in document["founders"]]
