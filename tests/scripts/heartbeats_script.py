"""Conversations of heartbeats as text: who is asked, whether the rows are equal, how long leases last.

See `tests.kit.script` for the form of a script. Consensus is at rest: `lead` elects at once, what groups write to each
other meanwhile is not shown. A heartbeat and what follows from it arrive by `deliver` only.
`python -m tests.scripts.heartbeats_script FILE...` writes the transcripts anew.
"""

from __future__ import annotations

from typing import Any

from casty.cluster.multiraft.heartbeats import EQUAL, FULL
from casty.wire import frames
from casty.wire.pack import unpack
from tests.kit.hosts import MS, Frame, HostWorld
from tests.kit.script import Script, rewrite


def text_of(frame: Frame, start_ns: int) -> str:
    """Return a frame in words; instants are milliseconds since the start."""
    kind, body = frame
    message: Any = unpack(body)
    sent = f"of {(message[0] - start_ns) // MS} ms"
    if kind == frames.HEARTBEAT:
        return f"heartbeat {sent}"
    if kind == frames.HEARTBEAT_ACK:
        full = ", full" if message[1] & FULL else ""
        return f"answer {sent}: {'equal' if message[1] & EQUAL else 'differs'}{full}"
    if kind == frames.ROWS:
        rows = " ".join(f"{row[0]}:e{row[1]}t{row[2]}c{row[3]}" for row in message[1])
        return f"rows {sent}: {rows or 'none'}"
    return f"rows-answer {sent}: {' '.join(str(row[0]) for row in message[1]) or 'none'}"


class HeartbeatsScript(Script):
    """Processes, their groups, and a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.world = HostWorld()
        self.is_shown = True

    def do_processes(self, *names: str) -> None:
        """Start processes: processes a b c."""
        self.world = HostWorld(*names)
        self.start_ns = self.world.clock.now()
        receive = self.world.network.receive

        def shown(sender: str, to: str, frame: Frame) -> None:
            self._show(sender, to, frame, "")
            receive(sender, to, frame)

        self.world.network.receive = shown
        self.world.network.lost = lambda sender, to, frame: self._show(sender, to, frame, " LOST")

    def _show(self, sender: str, to: str, frame: Frame, end: str) -> None:
        if frame[0] == frames.CONSENSUS:
            if self.is_shown:
                self.say(f"{sender} -> {to} consensus{end}")
        else:
            self.say(f"{sender} -> {to} {text_of(frame, self.start_ns)}{end}")

    def do_group(self, number: str, *ids: str) -> None:
        """Create a group of replicas: group 1 a b c."""
        self.world.group(int(number), *ids)

    def do_lead(self, name: str, *numbers: str) -> None:
        """Let a process be elected by groups: lead a 1 2."""
        self.is_shown = False
        for number in numbers:
            self.world.lead(name, int(number))
        self.is_shown = True

    def do_beat(self, name: str) -> None:
        """Let a process send its heartbeats."""
        self.world.heartbeat(name)

    def do_deliver(self, hops: str = "99") -> None:
        """Deliver what is under way, and what follows from it, for some hops."""
        self.world.network.deliver(int(hops))

    def do_repeat(self) -> None:
        """Let everything under way arrive twice."""
        self.world.network.repeat()

    def do_reverse(self) -> None:
        """Let what was sent last arrive first."""
        self.world.network.reverse()

    def do_lose(self) -> None:
        """Lose everything under way."""
        self.say(f"lost {self.world.network.lose()}")

    def do_cut(self, *links: str) -> None:
        """Cut links: cut a-b a>c."""
        self.world.network.cut(*links)

    def do_heal(self) -> None:
        """Restore every link."""
        self.world.network.heal()

    def do_wait(self, milliseconds: str) -> None:
        """Let time pass in which nobody acts."""
        self.world.clock.skip(int(milliseconds) / 1000)

    def do_full(self, name: str) -> None:
        """A process uses up its memory budget."""
        self.world.at[name].fill(is_full=True)

    def do_empty(self, name: str) -> None:
        """A process has room again."""
        self.world.at[name].fill(is_full=False)

    def do_lease(self, name: str, *numbers: str) -> None:
        """Show how long leases last: lease a 1 2."""
        for number in numbers:
            self.say(f"{name}: lease of {number} for {self.world.lease_ms(name, int(number))} ms")

    def do_told(self, name: str) -> None:
        """Show whom a process knows to be full."""
        self.say(f"{name}: full are {', '.join(self.world.at[name].budget.full_peers) or 'none'}")


if __name__ == "__main__":
    rewrite(HeartbeatsScript)
