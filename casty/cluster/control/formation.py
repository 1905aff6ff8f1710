"""How blank nodes found one cluster, and only one: when to lead a ballot, and the messages. Pure.

`ballots.py` has the rules that keep it one; nothing here can break them. This module adds time and views:

- Everybody says four times a second who it is, and which seeds it was given (`VIEW`). Only processes with equal
  seeds, compared as given, found together.
- The lowest node id of those that are seen leads a ballot: when all seeds are there, or after `listen_ns` when
  `needed` of them are. The next one stands in after 3 s, in case the first one does not see enough.
- A ballot that brings no decision within 3 s is given up; whoever accepted a document and hears of no ballot
  for 3 s leads one: it finishes what a dead founder began. A majority of the seeds is enough for that when it accepted
  the document in one ballot; else it takes as many as a new document.
- A process that meets a member joins that cluster instead, whatever it promised: from then on it is silent here,
  and silence never breaks an agreement.

A process is ``blank`` before it accepted a document, ``offering`` while it leads a ballot, ``acked`` after it
accepted one, ``started`` or ``joining`` at the end. The document is the first configuration of the control group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from casty.address import node_id_of
from casty.checks import shown
from casty.cluster.control import ballots
from casty.cluster.control.ballots import Acceptor, Ballot, Identity, Promise, Proposal, Vote, majority
from casty.errors import RemoteProtocolError
from casty.limits import MAX_GENERATION
from casty.traits import Traits
from casty.wire.pack import pack, unpack

__all__ = [
    "ACCEPT", "ACCEPTED", "PREPARE", "PROMISE", "START", "VIEW", "Founding", "Identity", "Policy", "identity_of",
]  # fmt: skip

VIEW, PREPARE, PROMISE, ACCEPT, ACCEPTED, START = 1, 2, 3, 4, 5, 6
BLANK, OFFERING, ACKED, STARTED, JOINING = "blank", "offering", "acked", "started", "joining"
SECOND_NS = 1_000_000_000
PATIENCE_NS = 3 * SECOND_NS
STAGGER_NS = SECOND_NS // 2
FRESH_NS = 2 * SECOND_NS
GATHER_NS = SECOND_NS
"""How long a ballot waits for more promises than it needs: from those that were seen a moment ago."""

Outbox = list[tuple[str, list[object]]]


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
    phase: str
    at_ns: int


class Founding:
    """One process's part in founding a cluster.

    Parameters
    ----------
    identity, policy
        Who this is, and when it may found.
    document
        Makes the founding document of its id, its sorted founders and its generation.
    now_ns
        The present, in nanoseconds of this process's clock.
    wall_s
        The generation that this process's wall clock gives, at least 1; None while it is not later than at the
        process's start: until then the process founds nothing.
    """

    def __init__(
        self,
        identity: Identity,
        policy: Policy,
        document: Callable[[str, list[Identity], int], dict[str, Any]],
        now_ns: int,
        wall_s: Callable[[], int | None] = lambda: 1,
    ) -> None:
        self.identity = identity
        self.policy = policy
        self.acceptor = Acceptor(identity, policy.seed_set, policy.needed)
        self.heard_generation = 0
        self._make_document = document
        self._wall_s = wall_s
        self._is_joining = False
        self._seen: dict[str, _Seen] = {}
        self._met: dict[str, tuple[str, ...]] = {}
        self._heard_number = 0
        self._began_ns = now_ns
        self._quiet_since_ns: int | None = None
        self._enough_since_ns: int | None = None
        self._handlers: dict[int, Callable[..., Outbox]] = {
            VIEW: self._on_view,
            PREPARE: self._on_prepare,
            PROMISE: self._on_promise,
            ACCEPT: self._on_accept,
            ACCEPTED: self._on_accepted,
            START: self._on_start,
        }

    def reseed(self, policy: Policy) -> bool:
        """Take other seeds; False once this process took part in a ballot of those that it has.

        Who promised something to the founders of one set never helps those of another: two sets that each need more
        than half of all processes have one in common then, and cannot both found.
        """
        if self.phase != BLANK or self.acceptor.promised != ballots.NO_BALLOT:
            return False
        self.policy = policy
        self.acceptor = Acceptor(self.identity, policy.seed_set, policy.needed)
        self._seen.clear()
        self._enough_since_ns = None
        return True

    @property
    def phase(self) -> str:
        """How far this process is."""
        if self._is_joining:
            return JOINING
        if self.acceptor.started is not None:
            return STARTED
        if self.acceptor.ballot is not None:
            return OFFERING
        return BLANK if self.acceptor.vote is None else ACKED

    @property
    def document(self) -> dict[str, Any] | None:
        """The document that this process accepted last or founds with."""
        return None if self.acceptor.vote is None else _decoded(self.acceptor.vote.proposal.body)

    def hear(self, generation: object) -> None:
        """Learn of a generation that was, from whoever says so; nonsense is not believed."""
        if (
            type(generation) is int
            and self.heard_generation < generation < MAX_GENERATION // 2 + self._wall()
        ):
            self.heard_generation = generation

    def _wall(self) -> int:
        return min(self._wall_s() or 0, MAX_GENERATION // 2)

    def view(self) -> list[object]:
        """Return what this process tells everyone it is linked with."""
        number = max(self._heard_number, self.acceptor.promised.number)
        return [
            VIEW, *self.identity.plain, list(self.policy.seed_set), self.phase, number, self.heard_generation,
        ]  # fmt: skip

    def seed_sets_met(self) -> dict[str, tuple[str, ...]]:
        """Return differing seed sets by node id: the usual cause of a cluster that never forms."""
        return {node: seeds for node, seeds in self._met.items() if seeds != self.policy.seed_set}

    def waits_for(self, now_ns: int) -> list[str]:
        """Return the voters of the accepted document that were not seen lately."""
        if self.acceptor.vote is None:
            return []
        seen = [row.identity for row in self._participants(now_ns)]
        return [voter.node_id for voter in self.acceptor.vote.proposal.voters if voter not in seen]

    def join_instead(self, cluster_id: str) -> None:
        """A member of a living cluster was met: found with it if it is the accepted one, else join it."""
        if self.phase in (STARTED, JOINING):
            return
        vote = self.acceptor.vote
        if vote is not None and _decoded(vote.proposal.body).get("cluster_id") == cluster_id:
            self.acceptor = ballots.start(self.acceptor, vote.ballot, vote.proposal)
        self._is_joining = self.acceptor.started is None

    def tick(self, now_ns: int) -> Outbox:
        """Do what is due; call it every 0.25 s. Returns (node id, message) pairs."""
        phase = self.phase
        if phase == JOINING:
            return []
        if phase == STARTED:
            return self._starts()
        if phase == OFFERING:
            if now_ns - self._began_ns > PATIENCE_NS:
                self.acceptor = ballots.give_up(self.acceptor)
                self._quiet_since_ns = now_ns
                return []
            return self._pursue(now_ns)
        return self._consider(now_ns)

    def step(self, now_ns: int, sender: str, message: Sequence[Any]) -> Outbox:
        """Take a message from a process (a peer key); returns the answers."""
        kind = message[0] if message else None
        handler = self._handlers.get(kind) if isinstance(kind, int) else None
        if handler is None:
            raise RemoteProtocolError(f"founding: expected a kind from 1 to 6, found {shown(kind, 80)}")
        try:
            return handler(now_ns, sender, *message[1:])
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise RemoteProtocolError(f"founding message {kind}: {shown(error, 200)}") from error

    # -- when to lead a ballot

    def _participants(self, now_ns: int) -> list[_Seen]:
        rows = [row for row in self._seen.values() if now_ns - row.at_ns <= FRESH_NS and row.phase != JOINING]
        return [*rows, _Seen(self.identity, self.phase, now_ns)]

    def _consider(self, now_ns: int) -> Outbox:
        participants = self._participants(now_ns)
        free = sorted(row.identity for row in participants if row.phase != STARTED)
        to_finish = any(row.phase in (ACKED, STARTED) for row in participants)
        finishers = len(participants) if to_finish else 0
        if len(free) < self.policy.needed and finishers < majority(len(self.policy.seed_set)):
            self._enough_since_ns = None
            return []
        if self._enough_since_ns is None:
            self._enough_since_ns = now_ns
        floor = self._floor()
        if floor is None or now_ns < self._due_ns(free):
            return []
        self.acceptor = ballots.begin(self.acceptor, self._heard_number, floor)
        self._began_ns = now_ns
        return self._pursue(now_ns)

    def _due_ns(self, free: list[Identity]) -> int:
        assert self._enough_since_ns is not None, "asked only while enough are seen"
        rank = free.index(self.identity)
        everybody = len(free) >= len(self.policy.seed_set) > 1
        due_ns = self._enough_since_ns + (0 if everybody else self.policy.listen_ns)
        if rank:
            due_ns += PATIENCE_NS + (rank - 1) * STAGGER_NS
        if self._quiet_since_ns is not None:
            due_ns = max(due_ns, self._quiet_since_ns + PATIENCE_NS + rank * STAGGER_NS)
        return due_ns

    def _floor(self) -> int | None:
        wall_s = self._wall_s()
        return None if wall_s is None else max(wall_s, self.heard_generation + 1)

    def _pursue(self, now_ns: int) -> Outbox:
        """Ask again whoever did not answer, and go on to the second half when nobody else is to come."""
        late = self._late(now_ns)
        known = ballots.decided(self.acceptor)
        if known is not None:
            return self._decide(known.ballot, known.proposal)
        if self.acceptor.offer is None and (not late or now_ns - self._began_ns >= GATHER_NS):
            self.acceptor = ballots.close(self.acceptor, self._make)
            if ballots.is_chosen(self.acceptor):
                return self._chosen()
        ballot = self.acceptor.ballot
        assert ballot is not None, "only a leader pursues"
        if self.acceptor.offer is None:
            return [(node, [PREPARE, *ballot, list(self.policy.seed_set)]) for node in late]
        return [
            (row.who.node_id, [ACCEPT, *ballot, self.acceptor.offer.body])
            for row in self.acceptor.promises
            if row.who.key not in self.acceptor.accepts
        ]

    def _late(self, now_ns: int) -> list[str]:
        """Return who was seen a moment ago and did not promise."""
        promised = [row.who.node_id for row in self.acceptor.promises]
        return [
            row.identity.node_id
            for row in self._participants(now_ns)
            if row.identity.node_id not in promised and row.identity != self.identity
        ]

    def _make(self, founding_id: str, founders: tuple[Identity, ...], generation: int) -> Proposal:
        generation = min(generation, MAX_GENERATION)
        document = self._make_document(founding_id, list(founders), generation)
        return Proposal(founding_id, generation, founders, pack(document))

    def _chosen(self) -> Outbox:
        ballot, offer = self.acceptor.ballot, self.acceptor.offer
        assert ballot is not None and offer is not None, "only a leader decides"
        return self._decide(ballot, offer)

    def _decide(self, ballot: Ballot, offer: Proposal) -> Outbox:
        row: list[object] = [START, *ballot, offer.body]
        told = {who.node_id: None for who in (*offer.founders, *(row.who for row in self.acceptor.promises))}
        self.acceptor = ballots.start(ballots.give_up(self.acceptor), ballot, offer)
        return [(node, row) for node in told if node != self.identity.node_id]

    def _starts(self) -> Outbox:
        vote = self.acceptor.vote
        assert vote is not None and self.acceptor.started is not None, "nothing else is told"
        row: list[object] = [START, *vote.ballot, vote.proposal.body]
        return [(who.node_id, row) for who in self.acceptor.started.founders if who != self.identity]

    # -- messages

    def _on_view(
        self, now_ns: int, sender: str, node_id: str, incarnation: str, host: str, port: int, traits: list[Any],
        seed_set: list[str], phase: str, number: int, generation: int,
    ) -> Outbox:  # fmt: skip
        identity = identity_of([node_id, incarnation, host, port, traits])
        _check_sender(identity, sender)
        self._met[node_id] = tuple(seed_set)
        self._heard_number = max(self._heard_number, _number(number))
        self.hear(generation)
        if tuple(seed_set) == self.policy.seed_set and identity.seed in self.policy.seed_set:
            self._seen[node_id] = _Seen(identity, phase, now_ns)
        else:
            self._seen.pop(node_id, None)
        if self.phase == STARTED and phase != STARTED:
            return [row for row in self._starts() if row[0] == node_id]
        return []

    def _on_prepare(self, now_ns: int, sender: str, number: int, leader: str, seed_set: list[str]) -> Outbox:
        floor = self._floor()
        if self._is_joining or floor is None or tuple(seed_set) != self.policy.seed_set:
            return []
        ballot = _ballot(number, leader, sender)
        self.acceptor, answer = ballots.promise(self.acceptor, ballot, floor)
        if answer is None:
            return []
        self._quiet_since_ns = now_ns
        vote = None if answer.vote is None else [*answer.vote.ballot, answer.vote.proposal.body]
        row: list[object] = [PROMISE, *ballot, *self.identity.plain, vote, answer.floor, answer.is_started]
        return [(node_id_of(sender), row)]

    def _on_promise(
        self, now_ns: int, sender: str, number: int, leader: str, node_id: str, incarnation: str, host: str,
        port: int, traits: list[Any], vote: list[Any] | None, floor: int, is_started: bool,
    ) -> Outbox:  # fmt: skip
        who = identity_of([node_id, incarnation, host, port, traits])
        _check_sender(who, sender)
        accepted = None if vote is None else Vote(_ballot(*vote[:2]), _proposal(vote[2]))
        answer = Promise(who, accepted, _number(floor), bool(is_started))
        if self.phase == OFFERING:
            before = self.acceptor
            self.acceptor = ballots.collect(before, _ballot(number, leader), answer)
            if self.acceptor is not before and not self._late(now_ns):
                return self._pursue(now_ns)
        return []

    def _on_accept(self, now_ns: int, sender: str, number: int, leader: str, body: bytes) -> Outbox:
        if self._is_joining:
            return []
        ballot = _ballot(number, leader, sender)
        self.acceptor, is_accepted = ballots.accept(self.acceptor, ballot, _proposal(body))
        if not is_accepted:
            return []
        self._quiet_since_ns = now_ns
        return [(node_id_of(sender), [ACCEPTED, *ballot])]

    def _on_accepted(self, now_ns: int, sender: str, number: int, leader: str) -> Outbox:
        del now_ns
        if self.phase != OFFERING:
            return []
        self.acceptor = ballots.count(self.acceptor, _ballot(number, leader), sender)
        return self._chosen() if ballots.is_chosen(self.acceptor) else []

    def _on_start(self, now_ns: int, sender: str, number: int, leader: str, body: bytes) -> Outbox:
        del sender
        if self.phase not in (STARTED, JOINING):
            before = self.acceptor.vote
            self.acceptor = ballots.start(self.acceptor, _ballot(number, leader), _proposal(body))
            if self.acceptor.vote is not before:
                self._quiet_since_ns = now_ns
        return []


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**62:
        raise ValueError(f"expected a number below 2**62, found {shown(value, 40)}")
    return value


def _ballot(number: object, leader: object, sender: str | None = None) -> Ballot:
    if not isinstance(leader, str) or (sender is not None and leader != sender):
        raise ValueError(f"expected a ballot led by its sender, found {shown(leader, 80)}")
    return Ballot(_number(number), leader)


def _check_sender(identity: Identity, sender: str) -> None:
    if identity.key != sender:
        raise ValueError(f"expected the identity of {sender}, found {shown(identity.key, 80)}")


def _decoded(body: bytes) -> dict[str, Any]:
    document = unpack(body)
    if not isinstance(document, dict):
        raise TypeError(f"expected a founding document, found {type(document).__name__}")
    return document


def _proposal(body: object) -> Proposal:
    if not isinstance(body, bytes):
        raise TypeError(f"expected the bytes of a founding document, found {type(body).__name__}")
    document = _decoded(body)
    founders = tuple(sorted(identity_of(row) for row in document["founders"]))
    if not founders:
        raise ValueError("a founding document without founders")
    generation = _number(document["generation"])
    if not 1 <= generation <= MAX_GENERATION:
        raise ValueError(f"expected a generation from 1 to {MAX_GENERATION}, found {generation}")
    return Proposal(str(document["id"]), generation, founders, body)


def identity_of(row: Any) -> Identity:
    """Return the identity that a row of plain values is; raises `TypeError` or `ValueError`."""
    node_id, incarnation, host, port, traits = row
    if not all(isinstance(text, str) for text in (node_id, incarnation, host)) or type(port) is not int:
        raise TypeError(f"expected [node id, incarnation, host, port, traits], found {shown(row, 100)}")
    return Identity(node_id, incarnation, host, port, Traits.of_plain(traits))
