"""Every course that a founding can take, within bounds: the pure rules under loss, delay, doubling and restarts.

A message, once sent, may be delivered at any time, any number of times, or never: so the set of messages only
grows, and a state of the world is what the seats hold and what was sent. Worlds of equal value are visited once.

Promises and acceptances change nothing but their leader's collection; the leader takes any set of promises that is
enough for one of its two steps, and all acceptances there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import NamedTuple

from casty.cluster.control import ballots
from casty.cluster.control.ballots import Ballot, Identity, Promise, Proposal, Seat, Vote, majority

NAMES = "abcdefg"
WALLS = (50, 10, 30, 20, 40)
"""The wall clocks of the nodes, in seconds: none like another."""


class Sent(NamedTuple):
    """Kind, ballot, the node it goes to, and what it carries."""

    kind: str
    ballot: Ballot
    to: int
    load: Proposal | Promise | str | None = None


class World(NamedTuple):
    """Numbers of seats and of the messages that were sent; see `Space` for what they stand for."""

    seats: tuple[int, ...]
    sent: frozenset[int]
    ballots: int
    restarts: int


class Broken(AssertionError):
    """Two foundings serve, or tokens would fall."""


class Space:
    """The worlds of so many nodes.

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
        self._seats: list[Seat] = []
        self._seat_numbers: dict[Seat, int] = {}
        self._sent: list[Sent] = []
        self._sent_numbers: dict[Sent, int] = {}
        self._delivered: dict[tuple[int, int], tuple[int, list[int]] | None] = {}
        self._useful: dict[tuple[int, int], bool] = {}

    def blank(self, node: int, life: int) -> Seat:
        """Return what a process knows at its start."""
        seeds = tuple(f"{name}:1" for name in NAMES[: self.nodes])
        return Seat(Identity(NAMES[node], str(life), NAMES[node], 1), seeds, self.needed)

    def explore(self, limit: int = 10_000_000) -> int:
        """Visit every world; raises `Broken`. Returns how many there are."""
        first = World(tuple(self._seat(self.blank(node, 0)) for node in range(self.nodes)), frozenset(), 0, 0)
        seen = {first: None}
        open_worlds = [first]
        while open_worlds:
            for after in self._steps(open_worlds.pop()):
                if after not in seen:
                    seen[after] = None
                    self._check(after)
                    open_worlds.append(after)
            assert len(seen) < limit, "the bounds are too wide for this limit"
        return len(seen)

    def _seat(self, seat: Seat) -> int:
        number = self._seat_numbers.setdefault(seat, len(self._seats))
        if number == len(self._seats):
            self._seats.append(seat)
        return number

    def _message(self, sent: Sent) -> int:
        number = self._sent_numbers.setdefault(sent, len(self._sent))
        if number == len(self._sent):
            self._sent.append(sent)
        return number

    def _check(self, world: World) -> None:
        seats = [self._seats[number] for number in world.seats]
        started = {seat.started.id: seat.started for seat in seats if seat.started is not None}
        self.most_started = max(self.most_started, len(started))
        if len(started) < 2:
            return
        if world.restarts < self.tolerated:
            raise Broken(f"{sorted(started)} were started after {world.restarts} restarts")
        serving = [founding_id for founding_id, proposal in started.items() if _serves(seats, proposal)]
        if len(serving) > 1:
            raise Broken(f"{serving} serve at once")

    # -- what may happen next

    def _steps(self, world: World) -> Iterator[World]:
        if world.ballots < self.ballots:
            for node in self.leaders:
                yield self._begin(world, node)
        if world.restarts < self.restarts:
            for node in range(self.nodes):
                fresh = self.blank(node, world.restarts + 1)
                yield self._after(world._replace(restarts=world.restarts + 1), node, self._seat(fresh), ())
        for node in self.leaders:
            seat = self._seats[world.seats[node]]
            if seat.ballot is not None and seat.offer is None:
                yield from self._close(world, node, seat)
            elif seat.ballot is not None:
                yield from self._decide(world, node, seat)
        for number in world.sent:
            yield from self._deliver(world, number)

    def _after(self, world: World, node: int, seat: int, sent: Iterable[int]) -> World:
        seats = (*world.seats[:node], seat, *world.seats[node + 1 :])
        kept = [number for number in world.sent.union(sent) if self._matters(seats, number, world.restarts)]
        return world._replace(seats=seats, sent=frozenset(kept))

    def _matters(self, seats: tuple[int, ...], number: int, restarts: int) -> bool:
        """Whether a message can still change anything: what cannot would only tell equal worlds apart."""
        sent = self._sent[number]
        if restarts < self.restarts and sent.kind in ("prepare", "accept", "start"):
            return True
        key = (seats[sent.to], number)
        known = self._useful.get(key)
        if known is None:
            known = self._useful[key] = _is_useful(self._seats[seats[sent.to]], sent)
        return known

    def _others(self, node: int) -> list[int]:
        return [to for to in self.reach.get(node, range(self.nodes)) if to != node]

    def _begin(self, world: World, node: int) -> World:
        heard = max(self._seats[number].promised.number for number in world.seats)
        seat = ballots.begin(self._seats[world.seats[node]], heard, WALLS[node])
        assert seat.ballot is not None
        out = [self._message(Sent("prepare", seat.ballot, to)) for to in self._others(node)]
        return self._after(world._replace(ballots=world.ballots + 1), node, self._seat(seat), out)

    def _close(self, world: World, node: int, seat: Seat) -> Iterator[World]:
        rows = [self._sent[number] for number in sorted(world.sent)]
        promises = [row.load for row in rows if row.kind == "promise" and row.ballot == seat.ballot]
        for size in range(majority(self.nodes) - 1, len(promises) + 1):
            for chosen in combinations(promises, size):
                yield from self._close_with(world, node, seat, chosen)

    def _close_with(self, world: World, node: int, seat: Seat, chosen: Iterable[object]) -> Iterator[World]:
        assert seat.ballot is not None
        for answer in chosen:
            assert isinstance(answer, Promise)
            seat = ballots.collect(seat, seat.ballot, answer)
        known = ballots.decided(seat)
        if known is not None:
            starts = [
                self._message(Sent("start", known.ballot, to, known.proposal)) for to in self._others(node)
            ]
            knows = ballots.start(ballots.give_up(seat), known.ballot, known.proposal)
            yield self._after(world, node, self._seat(knows), starts)
        seat = ballots.close(seat, _make)
        if seat.offer is None or seat.ballot is None:
            return
        _check_generation(seat.offer, seat.promises)
        out = [
            self._message(Sent("accept", seat.ballot, NAMES.index(row.who.node_id), seat.offer))
            for row in seat.promises
            if row.who != seat.me
        ]
        yield self._after(world, node, self._seat(seat), out)

    def _decide(self, world: World, node: int, seat: Seat) -> Iterator[World]:
        ballot, offer = seat.ballot, seat.offer
        assert ballot is not None and offer is not None
        for number in sorted(world.sent):
            row = self._sent[number]
            if row.kind == "accepted":
                assert isinstance(row.load, str)
                seat = ballots.count(seat, row.ballot, row.load)
        if ballots.is_chosen(seat):
            out = [self._message(Sent("start", ballot, to, offer)) for to in self._others(node)]
            seat = ballots.start(ballots.give_up(seat), ballot, offer)
            yield self._after(world, node, self._seat(seat), out)

    def _deliver(self, world: World, number: int) -> Iterator[World]:
        node = self._sent[number].to
        key = (world.seats[node], number)
        if key not in self._delivered:
            self._delivered[key] = self._take(*key)
        done = self._delivered[key]
        if done is not None:
            yield self._after(world, node, *done)

    def _take(self, seat_number: int, number: int) -> tuple[int, list[int]] | None:
        seat, message = self._seats[seat_number], self._sent[number]
        home = NAMES.index(message.ballot.leader[0])
        if message.kind == "prepare":
            seat, answer = ballots.promise(seat, message.ballot, WALLS[message.to])
            if answer is not None:
                out = Sent("promise", message.ballot, home, answer)
                return self._seat(seat), [self._message(out)]
        elif message.kind == "accept":
            assert isinstance(message.load, Proposal)
            seat, is_accepted = ballots.accept(seat, message.ballot, message.load)
            if is_accepted:
                out = Sent("accepted", message.ballot, home, seat.me.key)
                return self._seat(seat), [self._message(out)]
        elif message.kind == "start":
            assert isinstance(message.load, Proposal)
            return self._seat(ballots.start(seat, message.ballot, message.load)), []
        return None


def _is_useful(seat: Seat, sent: Sent) -> bool:
    if sent.kind == "promise":
        return seat.ballot == sent.ballot and seat.offer is None
    if sent.kind == "accepted":
        return seat.ballot == sent.ballot
    if sent.kind == "start":
        return seat.started is None
    if sent.kind == "prepare":
        return sent.ballot > seat.promised
    return sent.ballot >= seat.promised and (seat.vote is None or seat.vote.ballot != sent.ballot)


def _make(founding_id: str, founders: tuple[Identity, ...], generation: int) -> Proposal:
    return Proposal(founding_id, generation, founders, b"")


def _serves(seats: list[Seat], proposal: Proposal) -> bool:
    alive = [seat.me for seat in seats if seat.started is not None and seat.started.id == proposal.id]
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
