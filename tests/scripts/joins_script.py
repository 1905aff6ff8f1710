"""Conversations of processes that join a cluster as text: what members tell, who asks, what is proposed.

See `tests.kit.script` for the form of a script. What is sent arrives at once, as time passes. What was
said before by the same to the same is not shown again.
`python -m tests.scripts.joins_script FILE...` writes the transcripts anew.
"""

from __future__ import annotations

from typing import Any

from casty.cluster.control.formation import VIEW
from casty.cluster.control.machine import JOIN, STATUS
from casty.cluster.node.bootstrap import MEMBER
from casty.wire import frames
from casty.wire.pack import pack, unpack
from tests.kit.arrivals import ArrivalWorld, Frame, Member, Newcomer
from tests.kit.script import Script, rewrite

CALLED = {2: "prepare", 3: "promise", 4: "accept", 5: "accepted", 6: "start"}


class JoinsScript(Script):
    """Members, newcomers, and the entries that are proposed."""

    def __init__(self) -> None:
        super().__init__()
        self.world = ArrivalWorld()
        self.shown: dict[tuple[str, str, str], None] = {}
        receive = self.world.network.receive

        def heard(sender: str, to: str, frame: Frame) -> None:
            self._show(sender, to, frame)
            proposed = len(self.world.proposed)
            receive(sender, to, frame)
            for entry in self.world.proposed[proposed:]:
                row: Any = unpack(entry)
                self._say_once(to, "", f"{to}: proposes that {row[1]}#{row[2]} joins")
            self._progress(to)

        self.world.network.receive = heard

    def _show(self, sender: str, to: str, frame: Frame) -> None:
        """Add a message to the transcript, if it says anything new."""
        kind, body = frame
        message: Any = unpack(body)
        text = "asks to join" if kind == frames.JOIN else self._text_of(message)
        self._say_once(sender, to, f"{sender} -> {to} {text}")

    def _say_once(self, sender: str, to: str, text: str) -> None:
        if (sender, to, text) not in self.shown:
            self.shown[sender, to, text] = None
            self.say(text)

    @staticmethod
    def _text_of(message: list[Any]) -> str:
        if message[0] == VIEW:
            return f"is {message[1]}#{message[2]}, {message[7]}"
        if message[0] == MEMBER:
            at = ",".join(row[0] for row in message[3])
            whose = "you are a member" if message[4] else "you are none"
            return f"cluster {message[2]} of generation {message[1]} at {at}: {whose}"
        return CALLED[message[0]]

    def _progress(self, name: str) -> None:
        process = self.world.at[name]
        if isinstance(process, Newcomer):
            for document in process.founded:
                self.say(f"{name}: founds {document['cluster_id']}")
            for generation in process.joined:
                self.say(f"{name}: has joined, generation {generation}")
            process.founded.clear()
            process.joined.clear()

    # -- set-up

    def do_members(self, *names: str) -> None:
        """A cluster of these is there; the first leads its control group: members a b c."""
        self.world.members(*names)

    def do_newcomer(self, name: str, seeds: str, needed: str = "2", incarnation: str = "1") -> None:
        """A process starts with these seeds: newcomer d ab 2 (needed) 1 (incarnation)."""
        self.world.newcomer(name, seeds, int(needed), incarnation).bootstrap.begin()
        self.world.network.deliver()

    def do_strict(self, name: str) -> None:
        """A member lets nobody join."""
        member = self.world.at[name]
        assert isinstance(member, Member)
        member.is_strict = True

    def do_cut(self, *links: str) -> None:
        """Cut links: cut a-b a>c."""
        self.world.network.cut(*links)

    def do_heal(self) -> None:
        """Restore every link."""
        self.world.network.heal()

    # -- what happens

    def do_time(self, seconds: str) -> None:
        """Let time pass."""
        self.world.pass_s(float(seconds))
        for name in self.world.at:
            self._progress(name)

    def do_apply(self, status: str = "joining") -> None:
        """Apply what was proposed; as well that it is up, with ``up``, or that it was given up: ``removed``."""
        for data in dict.fromkeys(self.world.proposed):
            row: Any = unpack(data)
            assert row[0] == JOIN
            self.world.machine.apply(data)
            if status != "joining":
                self.world.machine.apply(pack([STATUS, row[1], row[2], status]))
        self.world.proposed.clear()

    def do_again(self, name: str) -> None:
        """A member that does not know itself to be up asks once more."""
        process = self.world.at[name]
        assert isinstance(process, Newcomer)
        self.shown.clear()
        is_asked = process.bootstrap.ask_again(self.world.clock.now())
        self.say(f"{name}: {'asks again' if is_asked else 'has asked a moment ago, or waits'}")
        self.world.network.deliver()

    def do_describe(self, name: str) -> None:
        """Show what a process says that it waits for."""
        process = self.world.at[name]
        assert isinstance(process, Newcomer)
        self.say(f"{name}: {process.bootstrap.describe()}")

    def do_knows(self, name: str) -> None:
        """Show where a process was told that members are."""
        self.say(f"{name}: members at {', '.join(self.world.at[name].links.told) or 'no place'}")


if __name__ == "__main__":
    rewrite(JoinsScript)
