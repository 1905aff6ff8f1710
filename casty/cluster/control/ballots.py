"""Which founding document the seeds of one cluster name agree on: single-decree Paxos. Pure values.

The acceptors are the seeds, one process each at a time. A ballot is a number and the peer key of whoever leads
it, so no two processes, and no two lives of one node, ever lead the same ballot::

    PREPARE b   -> a seed promises to take no part in lower ballots, and says which document it accepted last
    ACCEPT b,d  -> whoever promised exactly b accepts d
    START d     -> a majority of the seeds, and of the voters that d names, accepted d in one ballot

The leader of a ballot goes on when `needed` seeds promised, and a majority. It has no choice where any promise names a
document: it proposes the one that was accepted in the highest ballot. Otherwise it makes a new one of those that
promised. So two documents are never both started: the majority that accepted one meets all who promise later, in as
many seeds as may restart blank between the two, and one more (ADR 0009).

What may be lost, doubled or late: every message, without a rule of its own. Nothing is ever taken back; an
acceptor whose leader died is simply asked again in a higher ballot, by anybody.

What a process knows dies with it. A document that names a process which was replaced may be given up only
when so many of its voters were replaced that the rest is no majority: then it can never serve. A voter counts
as replaced when a promise for a ballot that began *after* the document was known comes from its seed under
another incarnation: only what answers now is alive, incarnations have no order of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from casty.address import NodeAddress, peer_key
from casty.traits import Traits

__all__ = [
    "MAX_VOTERS",
    "NO_BALLOT",
    "Acceptor",
    "Ballot",
    "Identity",
    "Promise",
    "Proposal",
    "Vote",
    "accept",
    "begin",
    "close",
    "collect",
    "count",
    "decided",
    "enough",
    "give_up",
    "is_chosen",
    "majority",
    "promise",
    "start",
]  # fmt: skip

MAX_VOTERS = 5
"""Founders that vote in the first configuration of the control group; all others learn."""

NO_TRAITS = Traits()


class Identity(NamedTuple):
    """A process that may found."""

    node_id: str
    incarnation: str
    host: str
    port: int
    traits: Traits = NO_TRAITS

    @property
    def plain(self) -> list[object]:
        """Return it as a plain value: the fields of a `JOIN`."""
        return [self.node_id, self.incarnation, self.host, self.port, self.traits.plain]

    @property
    def key(self) -> str:
        """Its peer key."""
        return peer_key(self.node_id, self.incarnation)

    @property
    def seed(self) -> str:
        """The seed that it is, as seeds are compared."""
        return str(NodeAddress(self.host, self.port))


class Ballot(NamedTuple):
    """One attempt, ordered by its number, then by the peer key of its leader."""

    number: int
    leader: str


NO_BALLOT = Ballot(0, "")


class Proposal(NamedTuple):
    """A founding document, and what the rules need to know of it."""

    id: str
    generation: int
    founders: tuple[Identity, ...]
    body: bytes

    @property
    def voters(self) -> list[Identity]:
        """The founders that vote in the first configuration."""
        return sorted(self.founders, key=lambda founder: founder.key)[:MAX_VOTERS]


class Vote(NamedTuple):
    """The document that a seed accepted last, and in which ballot."""

    ballot: Ballot
    proposal: Proposal


class Promise(NamedTuple):
    """One seed's answer to PREPARE; `floor` is the lowest generation that it would give a new cluster."""

    who: Identity
    vote: Vote | None
    floor: int
    is_started: bool = False


class Acceptor(NamedTuple):
    """All that one process knows of the agreement.

    Parameters
    ----------
    seeds, needed
        The acceptors, and how many of them have to promise before a document is proposed; at least a majority.
    promised
        No lower ballot is answered.
    vote
        What was accepted last.
    ballot, promises, offer, accepts
        The ballot that this process leads, if any: who promised (one row a seed), what it proposed, who accepted.
    started
        The document that this process founds with. Never changed once it is there.
    """

    me: Identity
    seeds: tuple[str, ...]
    needed: int
    promised: Ballot = NO_BALLOT
    vote: Vote | None = None
    ballot: Ballot | None = None
    promises: tuple[Promise, ...] = ()
    offer: Proposal | None = None
    accepts: tuple[str, ...] = ()
    started: Proposal | None = None


Make = Callable[[str, tuple[Identity, ...], int], Proposal]
"""Makes a new document of its id, its founders and the lowest generation that it may have."""


def majority(count: int) -> int:
    """Return how many of `count` are more than half."""
    return count // 2 + 1


def enough(seeds: tuple[str, ...], needed: int) -> int:
    """Return how many seeds have to promise, be it for a new document or to finish one.

    With fewer to finish one, a seed that promised to a new document's ballot before that could be missed: where another
    one restarted blank, both documents would be started.
    """
    return max(majority(len(seeds)), needed)


def begin(acceptor: Acceptor, heard: int, floor: int) -> Acceptor:
    """Lead a ballot above everything that was promised here or heard of."""
    ballot = Ballot(max(acceptor.promised.number, heard) + 1, acceptor.me.key)
    own = Promise(acceptor.me, acceptor.vote, floor, acceptor.started is not None)
    return acceptor._replace(promised=ballot, ballot=ballot, promises=(own,), offer=None, accepts=())


def give_up(acceptor: Acceptor) -> Acceptor:
    """Lead no ballot any more; what was promised and accepted stays."""
    return acceptor._replace(ballot=None, promises=(), offer=None, accepts=())


def promise(acceptor: Acceptor, ballot: Ballot, floor: int) -> tuple[Acceptor, Promise | None]:
    """Answer PREPARE; None for a ballot below what was promised."""
    if ballot < acceptor.promised:
        return acceptor, None
    if ballot > acceptor.promised:
        acceptor = give_up(acceptor)._replace(promised=ballot)
    return acceptor, Promise(acceptor.me, acceptor.vote, floor, acceptor.started is not None)


def collect(acceptor: Acceptor, ballot: Ballot, answer: Promise) -> Acceptor:
    """Take a promise for the ballot that is led here, one a seed."""
    if acceptor.ballot != ballot or acceptor.offer is not None or answer.who.seed not in acceptor.seeds:
        return acceptor
    others = [row for row in acceptor.promises if row.who.seed != answer.who.seed]
    return acceptor._replace(promises=tuple(sorted([*others, answer], key=lambda row: row.who)))


def close(acceptor: Acceptor, make: Make) -> Acceptor:
    """End the first half of the ballot led here, if enough promised: propose, and accept it oneself."""
    if (
        acceptor.ballot is None
        or acceptor.offer is not None
        or len(acceptor.promises) < enough(acceptor.seeds, acceptor.needed)
    ):
        return acceptor
    proposal = _bound(acceptor)
    if proposal is None:
        founders = tuple(row.who for row in acceptor.promises if not row.is_started)
        if len(founders) < acceptor.needed:
            return acceptor
        proposal = make(
            f"{acceptor.ballot.leader}/{acceptor.ballot.number}", founders, _floor(acceptor.promises)
        )
    return acceptor._replace(offer=proposal, vote=Vote(acceptor.ballot, proposal), accepts=(acceptor.me.key,))


def _bound(acceptor: Acceptor) -> Proposal | None:
    """Return the document that this ballot has to propose; None leaves the choice free."""
    votes = [row.vote for row in acceptor.promises if row.vote is not None]
    if not votes:
        return None
    proposal = max(votes, key=lambda vote: vote.ballot).proposal
    return None if _is_dead(acceptor, proposal) else proposal


def _is_dead(acceptor: Acceptor, proposal: Proposal) -> bool:
    """Whether so many of its voters were replaced that it can never serve."""
    # Known before this ballot began: whoever answers to it is alive later than everybody the document names.
    if acceptor.vote is None or acceptor.vote.proposal.id != proposal.id:
        return False
    voters = proposal.voters
    now = {row.who.seed: row.who.key for row in acceptor.promises}
    replaced = sum(now.get(voter.seed, voter.key) != voter.key for voter in voters)
    return len(voters) - replaced < majority(len(voters))


def _floor(promises: tuple[Promise, ...]) -> int:
    """Return the lowest generation that is above all that anybody who promised has heard of."""
    heard = [row.vote.proposal.generation + 1 for row in promises if row.vote is not None]
    return max([*heard, *[row.floor for row in promises]])


def decided(acceptor: Acceptor) -> Vote | None:
    """Return what those who promised accepted in one ballot, if they are a majority: it is chosen, and needs no other.

    So fewer seeds than a ballot needs finish what a dead founder decided and could tell nobody.
    """
    if acceptor.ballot is None or acceptor.offer is not None:
        return None
    for vote in [row.vote for row in acceptor.promises if row.vote is not None]:
        keys = [
            row.who.key
            for row in acceptor.promises
            if row.vote is not None and row.vote.ballot == vote.ballot
        ]
        if _is_enough(acceptor, vote.proposal, keys):
            return vote
    return None


def _is_enough(acceptor: Acceptor, proposal: Proposal, accepts: Sequence[str]) -> bool:
    """Whether a majority of the seeds accepted a document in one ballot, and of its voters: they will serve."""
    voters = proposal.voters
    return len(accepts) >= majority(len(acceptor.seeds)) and (
        sum(voter.key in accepts for voter in voters) >= majority(len(voters))
    )


def accept(acceptor: Acceptor, ballot: Ballot, proposal: Proposal) -> tuple[Acceptor, bool]:
    """Accept a document in the ballot that was promised last; False if this is another one."""
    if ballot != acceptor.promised or (acceptor.started is not None and acceptor.started.id != proposal.id):
        return acceptor, False
    return acceptor._replace(vote=Vote(ballot, proposal)), True


def count(acceptor: Acceptor, ballot: Ballot, key: str) -> Acceptor:
    """Take an acceptance; it counts from the very process that promised."""
    if acceptor.ballot != ballot or acceptor.offer is None or key in acceptor.accepts:
        return acceptor
    if all(row.who.key != key for row in acceptor.promises):
        return acceptor
    return acceptor._replace(accepts=tuple(sorted([*acceptor.accepts, key])))


def is_chosen(acceptor: Acceptor) -> bool:
    """Whether what was proposed here is decided, and enough of its voters are there to serve."""
    return acceptor.offer is not None and _is_enough(acceptor, acceptor.offer, acceptor.accepts)


def start(acceptor: Acceptor, ballot: Ballot, proposal: Proposal) -> Acceptor:
    """Learn what was decided in a ballot: found with it, if it names this process.

    Whoever promised a higher ballot waits for what that one decides: in it the process may have been counted
    for another document, where so many seeds forgot their word that the rule above no longer holds.
    """
    if acceptor.started is not None:
        return acceptor
    voted = acceptor.vote is not None and acceptor.vote.proposal.id == proposal.id
    if ballot < acceptor.promised and not voted:
        return acceptor
    if acceptor.me in proposal.founders:
        return give_up(acceptor)._replace(vote=Vote(ballot, proposal), started=proposal)
    if acceptor.vote is None or acceptor.vote.ballot < ballot:
        return give_up(acceptor)._replace(
            promised=max(ballot, acceptor.promised), vote=Vote(ballot, proposal)
        )
    return acceptor
