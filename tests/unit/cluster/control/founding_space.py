"""Every course that a founding can take, within bounds: the pure rules under loss, delay, doubling and restarts.

A message, once sent, may be delivered at any time, any number of times, or never: so the set of messages only
grows, and a state is what the places hold and what was sent. States of equal value are visited once.

Promises and acceptances change nothing but their leader's collection; the leader takes any set of promises that is
enough for one of its two steps, and all acceptances there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import NamedTuple

from casty.cluster.control import ballots
from casty.cluster.control.ballots import Acceptor, Ballot, Identity, Promise, Proposal, Vote, majority

NAMES = "abcdefg"
WALLS = (50, 10, 30, 20, 40)
"""The wall clocks of the nodes, in seconds: none like another."""


class Sent(NamedTuple):
    """Kind, ballot, the node it goes to, and what it carries."""

    kind: str
    ballot: Ballot
    to: int
    load: Proposal | Promise | str | None = None


class SpaceState(NamedTuple):
    """Numbers of places and of the messages that were sent; see `Space` for what they stand for."""

    acceptors: tuple[int, ...]
    sent: frozenset[int]
    ballots: int
    restarts: int


class Broken(AssertionError):
    """Two foundings serve, or tokens would fall."""


class Space:
    """The states of so many nodes.

    `leaders` are the nodes that may lead ballots; `ballots` and `restarts` bound how many there are in one
    course; `reach` are the nodes that a leader's messages get to, where not all.
    """

    def __init__(
        self,
        nodes: int,
        needed: int,
        leaders: tuple[int, ...],
        ballots: int,
        restarts: int,
        reach: dict[int, tuple[int, ...]] | None = None,
    ) -> None:
        self.nodes, self.needed, self.leaders = nodes, needed, leaders
        self.ballots, self.restarts = ballots, restarts
        self.reach = reach or {}
        self.tolerated = majority(nodes) + needed - nodes
        self.most_started = 0
        self._replicas: list[Acceptor] = []
        self._replica_numbers: dict[Acceptor, int] = {}
        self._sent: list[Sent] = []
        self._sent_numbers: dict[Sent, int] = {}
        self._delivered: dict[tuple[int, int], tuple[int, list[int]] | None] = {}
        self._useful: dict[tuple[int, int], bool] = {}

    def blank(self, node: int, life: int) -> Acceptor:
        """Return what a process knows at its start."""
        seeds = tuple(f"{name}:1" for name in NAMES[: self.nodes])
        return Acceptor(Identity(NAMES[node], str(life), NAMES[node], 1), seeds, self.needed)

    def explore(self, limit: int = 10_000_000) -> int:
        """Visit every state; raises `Broken`. Returns how many there are."""
        first = SpaceState(
            tuple(self._replica_id(self.blank(node, 0)) for node in range(self.nodes)), frozenset(), 0, 0
        )
        seen = {first: None}
        open_states = [first]
        while open_states:
            for after in self._steps(open_states.pop()):
                if after not in seen:
                    seen[after] = None
                    self._check(after)
                    open_states.append(after)
            assert len(seen) < limit, "the bounds are too wide for this limit"
        return len(seen)

    def _replica_id(self, acceptor: Acceptor) -> int:
        number = self._replica_numbers.setdefault(acceptor, len(self._replicas))
        if number == len(self._replicas):
            self._replicas.append(acceptor)
        return number

    def _message(self, sent: Sent) -> int:
        number = self._sent_numbers.setdefault(sent, len(self._sent))
        if number == len(self._sent):
            self._sent.append(sent)
        return number

    def _check(self, state: SpaceState) -> None:
        acceptors = [self._replicas[number] for number in state.acceptors]
        started = {
            acceptor.started.id: acceptor.started for acceptor in acceptors if acceptor.started is not None
        }
        self.most_started = max(self.most_started, len(started))
        if len(started) < 2:
            return
        if state.restarts < self.tolerated:
            raise Broken(f"{sorted(started)} were started after {state.restarts} restarts")
        serving = [founding_id for founding_id, proposal in started.items() if _serves(acceptors, proposal)]
        if len(serving) > 1:
            raise Broken(f"{serving} serve at once")

    # -- what may happen next

    def _steps(self, state: SpaceState) -> Iterator[SpaceState]:
        if state.ballots < self.ballots:
            for node in self.leaders:
                yield self._begin(state, node)
        if state.restarts < self.restarts:
            for node in range(self.nodes):
                fresh = self.blank(node, state.restarts + 1)
                yield self._after(
                    state._replace(restarts=state.restarts + 1), node, self._replica_id(fresh), ()
                )
        for node in self.leaders:
            acceptor = self._replicas[state.acceptors[node]]
            if acceptor.ballot is not None and acceptor.offer is None:
                yield from self._close(state, node, acceptor)
            elif acceptor.ballot is not None:
                yield from self._decide(state, node, acceptor)
        for number in state.sent:
            yield from self._deliver(state, number)

    def _after(self, state: SpaceState, node: int, acceptor: int, sent: Iterable[int]) -> SpaceState:
        acceptors = (*state.acceptors[:node], acceptor, *state.acceptors[node + 1 :])
        kept = [
            number for number in state.sent.union(sent) if self._matters(acceptors, number, state.restarts)
        ]
        return state._replace(acceptors=acceptors, sent=frozenset(kept))

    def _matters(self, acceptors: tuple[int, ...], number: int, restarts: int) -> bool:
        """Whether a message can still change anything: what cannot would only tell equal states apart."""
        sent = self._sent[number]
        if restarts < self.restarts and sent.kind in ("prepare", "accept", "start"):
            return True
        key = (acceptors[sent.to], number)
        known = self._useful.get(key)
        if known is None:
            known = self._useful[key] = _is_useful(self._replicas[acceptors[sent.to]], sent)
        return known

    def _others(self, node: int) -> list[int]:
        return [to for to in self.reach.get(node, range(self.nodes)) if to != node]

    def _begin(self, state: SpaceState, node: int) -> SpaceState:
        heard = max(self._replicas[number].promised.number for number in state.acceptors)
        acceptor = ballots.begin(self._replicas[state.acceptors[node]], heard, WALLS[node])
        assert acceptor.ballot is not None
        out = [self._message(Sent("prepare", acceptor.ballot, to)) for to in self._others(node)]
        return self._after(state._replace(ballots=state.ballots + 1), node, self._replica_id(acceptor), out)

    def _close(self, state: SpaceState, node: int, acceptor: Acceptor) -> Iterator[SpaceState]:
        rows = [self._sent[number] for number in sorted(state.sent)]
        promises = [row.load for row in rows if row.kind == "promise" and row.ballot == acceptor.ballot]
        for size in range(majority(self.nodes) - 1, len(promises) + 1):
            for chosen in combinations(promises, size):
                yield from self._close_with(state, node, acceptor, chosen)

    def _close_with(
        self, state: SpaceState, node: int, acceptor: Acceptor, chosen: Iterable[object]
    ) -> Iterator[SpaceState]:
        assert acceptor.ballot is not None
        for answer in chosen:
            assert isinstance(answer, Promise)
            acceptor = ballots.collect(acceptor, acceptor.ballot, answer)
        known = ballots.decided(acceptor)
        if known is not None:
            starts = [
                self._message(Sent("start", known.ballot, to, known.proposal)) for to in self._others(node)
            ]
            knows = ballots.start(ballots.give_up(acceptor), known.ballot, known.proposal)
            yield self._after(state, node, self._replica_id(knows), starts)
        acceptor = ballots.close(acceptor, _make)
        if acceptor.offer is None or acceptor.ballot is None:
            return
        _check_generation(acceptor.offer, acceptor.promises)
        out = [
            self._message(Sent("accept", acceptor.ballot, NAMES.index(row.who.node_id), acceptor.offer))
            for row in acceptor.promises
            if row.who != acceptor.me
        ]
        yield self._after(state, node, self._replica_id(acceptor), out)

    def _decide(self, state: SpaceState, node: int, acceptor: Acceptor) -> Iterator[SpaceState]:
        ballot, offer = acceptor.ballot, acceptor.offer
        assert ballot is not None and offer is not None
        for number in sorted(state.sent):
            row = self._sent[number]
            if row.kind == "accepted":
                assert isinstance(row.load, str)
                acceptor = ballots.count(acceptor, row.ballot, row.load)
        if ballots.is_chosen(acceptor):
            out = [self._message(Sent("start", ballot, to, offer)) for to in self._others(node)]
            acceptor = ballots.start(ballots.give_up(acceptor), ballot, offer)
            yield self._after(state, node, self._replica_id(acceptor), out)

    def _deliver(self, state: SpaceState, number: int) -> Iterator[SpaceState]:
        node = self._sent[number].to
        key = (state.acceptors[node], number)
        if key not in self._delivered:
            self._delivered[key] = self._take(*key)
        done = self._delivered[key]
        if done is not None:
            yield self._after(state, node, *done)

    def _take(self, replica_number: int, number: int) -> tuple[int, list[int]] | None:
        acceptor, message = self._replicas[replica_number], self._sent[number]
        home = NAMES.index(message.ballot.leader[0])
        if message.kind == "prepare":
            acceptor, answer = ballots.promise(acceptor, message.ballot, WALLS[message.to])
            if answer is not None:
                out = Sent("promise", message.ballot, home, answer)
                return self._replica_id(acceptor), [self._message(out)]
        elif message.kind == "accept":
            assert isinstance(message.load, Proposal)
            acceptor, is_accepted = ballots.accept(acceptor, message.ballot, message.load)
            if is_accepted:
                out = Sent("accepted", message.ballot, home, acceptor.me.key)
                return self._replica_id(acceptor), [self._message(out)]
        elif message.kind == "start":
            assert isinstance(message.load, Proposal)
            return self._replica_id(ballots.start(acceptor, message.ballot, message.load)), []
        return None


def _is_useful(acceptor: Acceptor, sent: Sent) -> bool:
    if sent.kind == "promise":
        return acceptor.ballot == sent.ballot and acceptor.offer is None
    if sent.kind == "accepted":
        return acceptor.ballot == sent.ballot
    if sent.kind == "start":
        return acceptor.started is None
    if sent.kind == "prepare":
        return sent.ballot > acceptor.promised
    return sent.ballot >= acceptor.promised and (acceptor.vote is None or acceptor.vote.ballot != sent.ballot)


def _make(founding_id: str, founders: tuple[Identity, ...], generation: int) -> Proposal:
    return Proposal(founding_id, generation, founders, b"")


def _serves(acceptors: list[Acceptor], proposal: Proposal) -> bool:
    alive = [
        acceptor.me
        for acceptor in acceptors
        if acceptor.started is not None and acceptor.started.id == proposal.id
    ]
    voters = proposal.voters
    return sum(voter in alive for voter in voters) >= majority(len(voters))


def _check_generation(offer: Proposal, promises: tuple[Promise, ...]) -> None:
    """A new document has a generation above all that was accepted; one that is proposed again keeps its own."""
    if any(row.vote is not None and row.vote.proposal.id == offer.id for row in promises):
        return
    for row in promises:
        vote: Vote | None = row.vote
        if vote is not None and vote.proposal.id != offer.id and vote.proposal.generation >= offer.generation:
            raise Broken(f"generation {offer.generation} follows {vote.proposal.generation}")
