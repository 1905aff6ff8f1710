"""Conversations of blank processes that found a cluster: who leads a ballot, who promised, who accepted, who started.

See `tests.kit.script` for the form of a script. A message arrives by `deliver` only; time passes by `tick` and `wait`.
Views, by which processes show themselves, travel as all messages do and are left out of the transcript.
`python -m tests.scripts.founding_script FILE...` writes the transcripts anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from casty.cluster.control import formation as f
from casty.cluster.control.formation import Founding, Identity, Policy
from casty.wire.pack import unpack
from tests.kit.script import Script, rewrite
from tests.kit.world import World

MS = 1_000_000
TICK_S = 0.25
LISTEN_NS = 1000 * MS

Message = Sequence[Any]


def ballot_text(number: int, leader: str) -> str:
    """Return a ballot as ``1/a#1``."""
    return f"{number}/{leader}"


def document_text(body: bytes) -> str:
    """Return a founding document in words."""
    document: Any = unpack(body)
    founders = ",".join(row[0] for row in document["founders"])
    return f"[{document['id']} of {founders} generation {document['generation']}]"


def text_of(message: Message) -> str:
    """Return a message in words."""
    kind, ballot = message[0], ballot_text(message[1], message[2])
    if kind == f.PREPARE:
        return f"prepare {ballot}"
    if kind == f.PROMISE:
        vote = message[8]
        accepted = "nothing" if vote is None else f"{ballot_text(*vote[:2])} {document_text(vote[2])}"
        return f"promise {ballot} accepted {accepted}{' started' if message[10] else ''}"
    if kind == f.ACCEPT:
        return f"accept {ballot} {document_text(message[3])}"
    return f"accepted {ballot}" if kind == f.ACCEPTED else f"start {ballot} {document_text(message[3])}"


def document_of(founding_id: str, founders: list[Identity], generation: int) -> dict[str, Any]:
    """Make what a founder proposes."""
    return {
        "id": founding_id, "founder": founding_id.partition("#")[0], "generation": generation,
        "cluster_id": founding_id, "founders": [founder.plain for founder in founders],
    }  # fmt: skip


class FoundingScript(Script):
    """Processes by node id; each start of one is another incarnation."""

    def __init__(self) -> None:
        super().__init__()
        self.needed = 0
        self.seeds: tuple[str, ...] = ()
        self.starts: dict[str, int] = {}
        self.processes: dict[str, Founding] = {}
        self.world: World[Message] = World(0, receive=self._receive, lost=self._lost)

    # -- set-up

    def do_seeds(self, needed: str, *names: str) -> None:
        """Start processes that are each other's seeds: seeds 2 a b c (how many are needed, and who)."""
        self.needed = int(needed)
        self.seeds = tuple(f"{name}:1" for name in names)
        for name in names:
            self._begin(name)

    def _begin(self, name: str) -> None:
        self.starts[name] = self.starts.get(name, 0) + 1
        identity = Identity(name, str(self.starts[name]), name, 1)
        policy = Policy(self.seeds, self.needed, LISTEN_NS)
        self.processes[name] = Founding(identity, policy, document_of, self.world.clock.now())

    # -- inputs

    def do_tick(self, *names: str) -> None:
        """Let a quarter of a second pass; some show themselves and do what is due: tick, or tick a b."""
        self.world.clock.skip(TICK_S)
        for name in names or self.processes:
            process = self.processes[name]
            for other in self.processes:
                if other != name:
                    self.world.network.send(name, other, process.view())
            self._send(name, process.tick(self.world.clock.now()))

    def do_run(self, ticks: str, *names: str) -> None:
        """Tick so often, and deliver everything each time: run 8, or run 8 b c."""
        for _ in range(int(ticks)):
            self.do_tick(*names)
            self.do_deliver()

    def do_wait(self, milliseconds: str) -> None:
        """Let time pass in which nobody does anything."""
        self.world.clock.skip(int(milliseconds) / 1000)

    def do_restart(self, name: str) -> None:
        """A process ends, and starts blank; what was on its way to it is lost."""
        self.world.network.lose(lambda flight: flight.to == name)
        self._begin(name)

    def do_member(self, name: str, cluster_id: str) -> None:
        """A process meets a member of a living cluster."""
        self.processes[name].join_instead(cluster_id)

    def do_hear(self, name: str, generation: str) -> None:
        """A process hears of a generation that was."""
        self.processes[name].hear(int(generation))

    def do_reseed(self, name: str, needed: str, *seeds: str) -> None:
        """A process is given other seeds: reseed a 2 a b d."""
        policy = Policy(tuple(f"{seed}:1" for seed in seeds), int(needed), LISTEN_NS)
        self.say(f"{name}: {'takes' if self.processes[name].reseed(policy) else 'refuses'} other seeds")

    # -- network

    def do_cut(self, *links: str) -> None:
        """Cut links: cut a-b a>c."""
        self.world.network.cut(*links)

    def do_isolate(self, name: str) -> None:
        """Cut every link of one process."""
        self.world.network.isolate(name, *self.processes)

    def do_heal(self) -> None:
        """Restore every link."""
        self.world.network.heal()

    def do_repeat(self) -> None:
        """Let everything under way arrive twice."""
        self.world.network.repeat()

    def do_deliver(self, hops: str = "99") -> None:
        """Deliver what is under way, and what follows from it, for some hops."""
        self.world.network.deliver(int(hops))

    def _send(self, sender: str, outbox: f.Outbox) -> None:
        for to, message in outbox:
            self.world.network.send(sender, to, message)

    def _receive(self, sender: str, to: str, message: Message) -> None:
        if message[0] != f.VIEW:
            self.say(f"{sender} -> {to} {text_of(message)}")
        process = self.processes[to]
        before = process.phase
        key = self.processes[sender].identity.key
        self._send(to, process.step(self.world.clock.now(), key, message))
        if process.phase != before:
            self.say(f"{to}: {process.phase}")

    def _lost(self, sender: str, to: str, message: Message) -> None:
        if message[0] != f.VIEW:
            self.say(f"{sender} -> {to} {text_of(message)} LOST")

    # -- looking

    def do_state(self, *names: str) -> None:
        """Show processes."""
        for name in names or self.processes:
            process = self.processes[name]
            vote = process.acceptor.vote
            accepted = (
                "" if vote is None else f" {ballot_text(*vote.ballot)} {document_text(vote.proposal.body)}"
            )
            waits = process.waits_for(self.world.clock.now())
            misses = f" without {','.join(waits)}" if waits and process.phase != f.STARTED else ""
            self.say(f"{process.identity.key}: {process.phase}{accepted}{misses}")


if __name__ == "__main__":
    rewrite(FoundingScript)
