"""Conversations of a client with its slot as text: what happens in, what the core of sessions does out.

A script is blocks of commands, a line ``----``, and the expected transcript up to an empty line. There is one slot, led
by node a at first; nothing answers but by a command. Instants are milliseconds since the beginning.
`python -m tests.scripts.session_script FILE...` writes the transcripts anew.

Commands: ``call NAME [S]`` (an increment, with a deadline after S seconds), ``read NAME [S]``, ``acquire NAME [S]``,
``release NAME``, ``get NAME [S]`` and ``reserve NAME [S]`` (an item of a queue), ``taken NAME`` (its caller has the
item), ``cancel NAME``, ``valid NAME`` (whether its hold counts); ``reply NAME ...`` and ``ack ...`` (see `reply_of`,
`Script._ack`); ``lives S`` (the time to live that its sessions ask for);
``leader NODE|-``, ``link NODE up|down``, ``lost NAME`` (the request never left), ``time MS``, ``epoch N``, ``close``,
``leave`` and ``state``. A call of the core's own goes by ``open``, ``close`` or ``keep-alive``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from casty.cluster.sessions.core import effects as out
from casty.cluster.sessions.core import inputs
from casty.cluster.sessions.core.call import Call, Purpose
from casty.cluster.sessions.core.client_session import Held
from casty.cluster.sessions.core.effects import Effect
from casty.cluster.slots import schema
from casty.cluster.slots.operations import OP_KEEPALIVE, OP_READ, RELAY
from casty.distributed.machines import base
from casty.distributed.machines.lock import ACQUIRE, RELEASE
from casty.distributed.machines.queue_shapes import GET, RESERVE
from casty.wire.pack import unpack
from tests.unit.cluster.sessions.core_bench import Bench, is_send

MS = 1_000_000
ENTRIES = {
    schema.OPEN: "OPEN", schema.CLOSE: "CLOSE", schema.CANCEL: "CANCEL", schema.ABANDON: "ABANDON",
}  # fmt: skip
STATUSES = {
    "queued": base.QUEUED, "busy": base.BUSY, "unknown": base.UNKNOWN, "expired": base.EXPIRED, "full": base.FULL,
    "withdrawn": base.WITHDRAWN, "stale": base.STALE, "overloaded": base.OVERLOADED,
}  # fmt: skip
NAMES = {status: name for name, status in STATUSES.items()} | {base.OK: "ok", base.NOT_LEADER: "not-leader"}
OWN = {Purpose.OPEN: "open", Purpose.CLOSE: "close", Purpose.KEEP_ALIVE: "keep-alive"}


def reply_of(words: list[str]) -> list[Any]:
    """Return a reply.

    ``ok VALUE``, ``item TEXT``, ``reserved TOKEN MS``, ``mismatch LOW HIGH FOUND``, ``not-leader [NODE TERM]``, or a
    name of `STATUSES`.
    """
    if words[0] == "ok":
        return [base.OK, *(int(word) for word in words[1:])]
    if words[0] == "not-leader":
        return [base.NOT_LEADER, words[1], int(words[2])] if words[1:] else [base.NOT_LEADER, None, 0]
    if words[0] == "item":
        return [base.OK, words[1].encode(), 1, 0, 0, 1]
    if words[0] == "reserved":
        return [base.OK, int(words[1]), b"item", 1, int(words[2])]
    if words[0] == "mismatch":
        return [base.MISMATCH, "session_ttl_s", *(int(word) for word in words[1:])]
    if words[0] == "overloaded":
        return [base.OVERLOADED, "max_sessions", 1]
    return [STATUSES[words[0]]]


def reply_text(reply: list[Any]) -> str:
    """Return a reply in words."""
    return " ".join([NAMES[reply[0]], *(str(part) for part in reply[1:])])


class Script:
    """One conversation."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.calls: dict[str, Call] = {}
        self.states: dict[str, str] = {}
        self.nonce = 0
        self.start_ns = self.bench.clock.now()

    # -- what happens

    def run(self, line: str) -> Iterator[str]:
        """Run a command; yields the transcript."""
        verb, *words = line.split()
        effects: list[Effect] = []
        if verb == "state":
            yield from self._state()
            return
        if verb == "valid":
            held = self.calls[words[0]].held
            yield f"{words[0]} valid: {held is not None and held.counts_at(self.bench.clock.now())}"
            return
        if verb == "time":
            yield from self._time(int(words[0]))
            return
        effects = getattr(self, f"_{verb}")(*words)
        yield from self._told(effects)

    def _make(self, name: str, call: Call) -> list[Effect]:
        self.calls[name] = call
        self.states[name] = call.state.name
        return self.bench.begin(call)

    def _call(self, name: str, timeout_s: str = "30") -> list[Effect]:
        return self._make(name, self.bench.write(base.COUNTER, [1, 1], float(timeout_s)))

    def _read(self, name: str, timeout_s: str = "30") -> list[Effect]:
        return self._make(name, self.bench.read(base.COUNTER, [1], float(timeout_s)))

    def _acquire(self, name: str, timeout_s: str = "30") -> list[Effect]:
        call = self.bench.write(base.LOCK, [ACQUIRE], float(timeout_s))
        call.is_waiting = True
        return self._make(name, call)

    def _get(self, name: str, timeout_s: str = "30") -> list[Effect]:
        call = self.bench.write(base.QUEUE, [GET, None, None], float(timeout_s))
        call.is_waiting = True
        return self._make(name, call)

    def _reserve(self, name: str, timeout_s: str = "30") -> list[Effect]:
        call = self.bench.write(base.QUEUE, [RESERVE, 2_000, True, None, None], float(timeout_s))
        call.is_waiting = True
        return self._make(name, call)

    def _taken(self, name: str) -> list[Effect]:
        return self.bench.give(inputs.Taken(self.calls[name]))

    def _lives(self, ttl_s: str) -> list[Effect]:
        return self.bench.give(inputs.Lasting(int(ttl_s) * 1000))

    def _release(self, name: str) -> list[Effect]:
        held = self.calls[name].held
        assert held is not None and self.bench.core.is_held(held), f"{name} is not held"
        effects = self.bench.give(held)
        call = self.bench.write(base.LOCK, [RELEASE, held.seq], 30.0)
        call.is_urgent, call.only_in = True, held.session
        return effects + self._make(f"{name}-release", call)

    def _cancel(self, name: str) -> list[Effect]:
        effects = self.bench.give(inputs.GiveUp(self.calls[name]))
        held = self.calls[name.removesuffix("-release")].held
        if name.endswith("-release") and held is not None:
            effects += self.bench.give(inputs.ReleaseFailed(held))
        return effects

    def _reply(self, name: str, *words: str) -> list[Effect]:
        return self.bench.reply(self._named(name).call_id, reply_of(list(words)))

    def _named(self, name: str) -> Call:
        for call in self.bench.core.table.calls.values():
            if OWN.get(call.purpose) == name:
                return call
        return self.calls[name]

    def _ack(self, status: str, *words: str) -> list[Effect]:
        """Take ``ok [confirmed N] [lost N] [granted N] [withdrawn N] ...``, ``expired`` or ``not-leader NODE TERM``."""
        row: list[Any] = [0, base.OK, [], [], [], None, 0]
        if status == "expired":
            row[1] = base.EXPIRED
        elif status == "not-leader":
            row[1], row[5], row[6] = base.NOT_LEADER, words[0], int(words[1])
        else:
            for word, number in zip(words[::2], words[1::2], strict=True):
                if word == "confirmed":
                    row[4].append(int(number))
                elif word == "lost":
                    row[3].append(int(number))
                else:
                    row[2].append([int(number), [base.OK, 50] if word == "granted" else reply_of([word])])
        return self.bench.give(inputs.KeptAlive(self.nonce, [row]))

    def _leader(self, node_id: str) -> list[Effect]:
        self.bench.place.elect(None if node_id == "-" else node_id)
        return self.bench.give(inputs.TopologyChanged())

    def _epoch(self, number: str) -> list[Effect]:
        self.bench.place.epoch = int(number)
        self.bench.place.elect("a")
        return self.bench.give(inputs.TopologyChanged())

    def _link(self, node_id: str, what: str) -> list[Effect]:
        if what == "up":
            self.bench.place.links.append(node_id)
            return self.bench.give(inputs.LinkUp(node_id))
        self.bench.place.links.remove(node_id)
        return self.bench.give(inputs.LinkDown(node_id))

    def _lost(self, name: str) -> list[Effect]:
        call = self._named(name)
        assert call.sent_to is not None
        return self.bench.give(inputs.NeverLeft(call.sent_to, call.call_id))

    def _time(self, milliseconds: int) -> Iterator[str]:
        end_ns = self.bench.clock.now() + milliseconds * MS
        while (next_ns := self.bench.clock.next_ns()) is not None and next_ns <= end_ns:
            yield from self._told(self.bench.advance_to(max(next_ns, self.bench.clock.now())))
        self.bench.advance_to(end_ns)

    def _leave(self) -> list[Effect]:
        return self.bench.give(inputs.EndCalls(1000))

    def _close(self) -> list[Effect]:
        return self.bench.give(inputs.EndSessions(is_told=True))

    # -- what is told

    def _told(self, effects: list[Effect]) -> Iterator[str]:
        at = f"{(self.bench.clock.now() - self.start_ns) // MS:>5}"
        for effect in effects:
            yield f"{at} {self._text(effect)}"
        for name, call in self.calls.items():
            if self.states[name] != call.state.name:
                yield f"{at} {name}: {self.states[name]} -> {call.state.name}"
                self.states[name] = call.state.name

    def _text(self, effect: Effect) -> str:
        if is_send(effect):
            return f"-> {effect[0]} {self._request(effect[1])}"
        if isinstance(effect, out.SendKeepAlive):
            self.nonce = effect.nonce
            return f"-> {effect.node_id} keep-alive {'; '.join(row_text(row) for row in effect.rows)}"
        if isinstance(effect, Call):
            assert effect.reply is not None
            return f"{self._name(effect)} = {reply_text(effect.reply)}"
        if isinstance(effect, out.Fail):
            name = self._name(effect.call)
            return f"{name} = {type(effect.error).__name__}: {effect.error}"
        if isinstance(effect, Held):
            return f"hold {effect.seq} given back"
        if isinstance(effect, out.Lost):
            return f"hold {effect.held.seq} lost: {effect.reason}"
        return "the sessions are closed"

    def _name(self, call: Call) -> str:
        return next(name for name, one in self.calls.items() if one is call)

    def _request(self, item: out.Item) -> str:
        call_id, _, _, operation, payload, _ = item
        name = next((f" {name}" for name, one in self.calls.items() if one.call_id == call_id), "")
        name += " (passed on)" if operation & RELAY else ""
        entry: Any = unpack(payload)
        if operation & ~RELAY == OP_READ:
            return f"{name}: a question".lstrip()
        if operation & ~RELAY == OP_KEEPALIVE:
            return f"{name} keep-alive {row_text(entry)}".lstrip()
        if entry[0] == schema.COMMAND:
            text = f"COMMAND {entry[1]}/{entry[2]} ack-watermark {entry[3]} wait-watermark {entry[4]}"
            return f"{name}: {text}".lstrip()
        if entry[0] == schema.OPEN_FOR:
            return f"{name}: OPEN_FOR {entry[3]} ms".lstrip(": ")
        about = "" if entry[0] == schema.OPEN else f" {'/'.join(str(part) for part in entry[1:3])}"
        return f"{name}: {ENTRIES[entry[0]]}{about}".lstrip(": ")

    def _state(self) -> Iterator[str]:
        for name, call in self.calls.items():
            if call.call_id in self.bench.core.table.calls:
                yield f"{name} {call.state.name} number {call.seq}"
        for session in self.bench.core.sessions_by_slot.values():
            covered_ms = max(0, session.covered_until_ns - self.start_ns) // MS
            tables = f"waiting {list(session.waiting)} held {list(session.held)} abandoned {list(session.abandoned)}"
            marks = f"ack-watermark {session.ack_watermark} next {session.next_seq}"
            yield f"session {session.number} {marks} {tables} until {covered_ms}"
        if not self.bench.core.sessions_by_slot:
            yield "no session"


def row_text(row: list[Any]) -> str:
    """Return what a keep-alive names of a session."""
    named = [
        f"{word} {[one[0] for one in row[at]]}"
        for word, at in (("waiting", 3), ("held", 4), ("abandoned", 5))
    ]
    return " ".join([f"session {row[2]}", *named, f"ack-watermark {row[6]}"])


def replay(text: str) -> str:
    """Return a script with the transcript that its commands give."""
    script, lines = Script(), []
    for block in text.strip().split("\n\n"):
        commands = block.split("----\n")[0].rstrip("\n").split("\n")
        commands = [line for line in commands if line != "----"]
        lines += [*commands, "----"]
        for line in commands:
            if line and not line.startswith("#"):
                lines += script.run(line)
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(replay(path.read_text()))
