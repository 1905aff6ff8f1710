"""Conversations of a slot as text: what sessions ask for, what is answered, and who hears of it later.

See `tests.kit.script` for the form of a script. An entry is applied at once by the slot's machine, and by a copy that
is loaded from a dump before each entry; replies and states are compared. The leader's soft state is a `SlotLeader`.
Calls have names: ``call NAME SESSION STRUCTURE ENTITY OPERATION [NUMBERS]``.
`python -m tests.scripts.slots_script FILE...` writes the transcripts anew.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from casty.cluster.slots import schema as s
from casty.cluster.slots.applied import TOKEN_BITS
from casty.cluster.slots.leader import SlotLeader
from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.config import SECOND_NS
from casty.distributed.machines import base
from casty.wire.pack import pack, unpack
from tests.kit.clock import ManualClock
from tests.kit.script import Script, rewrite

TTL_S = 6
GENERATION = 1
FIRST_TOKEN = GENERATION << TOKEN_BITS
STATUSES = {
    base.OK: "ok", base.QUEUED: "queued", base.BUSY: "busy", base.UNKNOWN: "unknown", base.EXPIRED: "expired",
    base.WITHDRAWN: "withdrawn", base.STALE: "stale", base.OVERLOADED: "overloaded", base.DESTROYED: "destroyed",
}  # fmt: skip
OPERATIONS = {
    ("counter", "add"): 1,
    ("lock", "destroy"): 0, ("lock", "acquire"): 1, ("lock", "try"): 2, ("lock", "release"): 3,
    ("semaphore", "acquire"): 1, ("semaphore", "try"): 2, ("semaphore", "release"): 3,
    ("barrier", "arrive"): 1,
}  # fmt: skip
KINDS = {
    "counter": base.COUNTER, "lock": base.LOCK, "semaphore": base.SEMAPHORE, "barrier": base.BARRIER,
}  # fmt: skip


class Asked(NamedTuple):
    """A call: whose it is, its number, its entity, and the entry."""

    session: str
    seq: int
    key: tuple[int, bytes]
    entry: bytes


class Sink:
    """Where the leader sends late answers: to the transcript."""

    def __init__(self, script: SlotsScript, name: str) -> None:
        self._script = script
        self._name = name

    def add(self, call_id: int, reply: list[Any]) -> None:
        self._script.say(f"  {self._name} hears {self._script.text_of(reply)}")


class SlotsScript(Script):
    """One slot, its leader, and sessions by name."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.start_ns = self.clock.now()
        self.limits = MachineLimits(max_waiters=3)
        self.machine, self.copy = (SlotMachine(self.limits, GENERATION) for _ in range(2))
        self.index = 0
        self.sessions: dict[str, int] = {}
        self.last: dict[str, int] = {}
        self.low: dict[str, int] = {}
        self.calls: dict[str, Asked] = {}
        self.tokens: dict[int, str] = {}
        self._lead()

    def _lead(self) -> None:
        self.leader = SlotLeader(self.machine, TTL_S * SECOND_NS, self.clock.now())

    def text_of(self, reply: list[Any]) -> str:
        """Return a reply in words; fencing tokens are called after the calls that they were given to."""
        parts = [
            str(part) if isinstance(part, bool) else self.tokens.get(part, str(part)) for part in reply[1:]
        ]
        return " ".join([STATUSES[reply[0]], *parts])

    # -- the log

    def _apply(self, data: bytes) -> list[Any]:
        self.index += 1
        self.copy = SlotMachine(self.limits, GENERATION)
        self.copy.load(self.machine.dump())
        applied = self.machine.apply(self.index, data)
        assert self.copy.apply(self.index, data) == applied and self.copy.dump() == self.machine.dump()
        for session, seq, reply in applied.effects:
            self._name_token(session, seq, reply)
        self._tell(applied.effects, applied.ended)
        return applied.reply

    def _tell(self, effects: Any, ended: int | None) -> None:
        before = len(self.out)
        self.leader.resolve(effects)
        if ended is not None:
            self.leader.ended(ended)
        self.late, self.out[before:] = self.out[before:], []

    def _name_token(self, session: int, seq: int, reply: list[Any]) -> None:
        is_token = len(reply) > 1 and type(reply[1]) is int and reply[1] > FIRST_TOKEN
        for name, call in self.calls.items():
            if (self.sessions.get(call.session), call.seq) == (session, seq) and is_token:
                self.tokens.setdefault(reply[1], f"token-of-{name}")

    def _say(self, what: str, reply: list[Any]) -> None:
        self.say(f"{what}: {self.text_of(reply)}")
        self.out += self.late

    # -- sessions

    def do_open(self, name: str, attempt: str = "") -> None:
        """Open a session, or the same again: open a."""
        reply = self._apply(pack([s.OPEN, (attempt or name).encode(), b"gateway"]))
        self.sessions[name] = reply[1]
        self.leader.opened(reply[1], self.clock.now())
        self._say(f"open {name}", [base.OK])

    def do_close(self, name: str) -> None:
        """Close a session."""
        self._say(f"close {name}", self._apply(pack([s.CLOSE, self.sessions[name]])))

    def do_keep_alive(self, name: str, *words: str) -> None:
        """A session says what it waits for, holds and gave up: keep-alive a waits w1 holds h1 gave-up x1."""
        named: dict[str, list[list[Any]]] = {"waits": [], "holds": [], "gave-up": []}
        into = named["waits"]
        for word in words:
            if word in named:
                into = named[word]
            else:
                call = self.calls[word]
                into.append([call.seq, *call.key])
        row = [0, 1, self.sessions[name], *named.values(), self.low.get(name, 1)]
        answer, entry = self.leader.keep_alive(row, self.clock.now())
        self.say(f"keep-alive {name}: {self._answer_text(name, answer)}")
        if entry is not None:
            self._say("  abandons", self._apply(entry))
            plain: Any = unpack(entry)
            for seq, *_ in plain[3]:
                self.leader.withdraw(plain[1], seq)

    def _answer_text(self, name: str, answer: list[Any]) -> str:
        def called(seq: int) -> str:
            return next(word for word, call in self.calls.items() if (call.session, call.seq) == (name, seq))

        parts = [STATUSES[answer[0]]]
        parts += [f"{called(seq)} {self.text_of(reply)}" for seq, reply in answer[1]]
        parts += [f"{called(seq)} lost" for seq in answer[2]]
        parts += [f"{called(seq)} confirmed" for seq in answer[3]]
        return ", ".join(parts)

    # -- calls

    def do_call(self, name: str, session: str, structure: str, entity: str, what: str, *args: str) -> None:
        """A call with the session's next number; ``of NAME`` stands for the token or the number of another call."""
        seq = self.last[session] = self.last.get(session, 0) + 1
        key = (KINDS[structure], entity.encode())
        command = [OPERATIONS[structure, what], *self._arguments(structure, args)]
        low = self.low.get(session, 1)
        entry = pack([s.COMMAND, self.sessions[session], seq, low, low, *key, command])
        self.calls[name] = Asked(session, seq, key, entry)
        self._send(name)

    def _arguments(self, structure: str, args: tuple[str, ...]) -> list[Any]:
        if args[:1] == ("of",):
            other = self.calls[args[1]]
            held = next((token for token, text in self.tokens.items() if text == f"token-of-{args[1]}"), 0)
            return [held if structure == "lock" else other.seq]
        return [int(word) if word.isdigit() else word for word in args]

    def _send(self, name: str) -> None:
        call = self.calls[name]
        s.check_entry(call.entry)
        reply = self._apply(call.entry)
        if reply[0] == base.OK and call.key[0] in (base.LOCK, base.SEMAPHORE):
            self._name_token(self.sessions[call.session], call.seq, reply)
        self._say(name, reply)
        if reply == [base.QUEUED]:
            self.leader.wait(self.sessions[call.session], call.seq, Sink(self, name), 0)  # type: ignore[arg-type]

    def do_again(self, name: str) -> None:
        """The same bytes once more."""
        self._send(name)

    def do_cancel(self, name: str) -> None:
        """Withdraw a call."""
        call = self.calls[name]
        reply = self._apply(pack([s.CANCEL, self.sessions[call.session], call.seq, *call.key]))
        if reply == [base.WITHDRAWN]:
            self.leader.withdraw(self.sessions[call.session], call.seq)
        self._say(f"cancel {name}", reply)

    def do_confirm(self, session: str) -> None:
        """A session has read all its replies so far: its later calls say so."""
        self.low[session] = self.last[session] + 1

    # -- time and leaders

    def do_time(self, seconds: str) -> None:
        """Let time pass; at its end the leader expires whom it did not hear of."""
        self.clock.skip(float(seconds))
        for data in self.leader.due(self.clock.now()):
            plain: Any = unpack(data)
            name = next(word for word, number in self.sessions.items() if number == plain[1])
            self._say(f"expire {name}", self._apply(data))

    def do_elect(self) -> None:
        """Another leads: it knows nothing but the log, and who waits is told to ask again."""
        for sink, call_id, reply in self.leader.take_waiting([base.UNKNOWN]):
            sink.add(call_id, reply)
        self._lead()

    # -- looking

    def do_value(self, entity: str) -> None:
        """Show a counter."""
        self.say(f"{entity} is {self.machine.query(base.COUNTER, entity.encode(), [1])[1]}")

    def do_state(self) -> None:
        """Show what the slot keeps."""
        for name, number in self.sessions.items():
            kept = self.machine.sessions.get(number)
            if kept is None:
                self.say(f"{name}: over")
            else:
                self.say(f"{name}: low {kept.low} replies {list(kept.replies)} waits {list(kept.waits)}")
        names = [f"{kind}/{name.decode()}" for kind, name in self.machine.entities]
        self.say(f"entities: {' '.join(names) or 'none'}")


if __name__ == "__main__":
    rewrite(SlotsScript)
