"""Barrier: cyclic; all parties of a generation are released by one log entry.

A party is a node id. It counts while any request of it waits, and once however many do. A generation begins
with its first arrival, which fixes `expected`, and ends by its trip or with its last arrival's withdrawal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from casty.distributed.machines.base import (
    BARRIER,
    DESTROY,
    DESTROYED,
    MISMATCH,
    NO_FIELDS,
    NOT_WAITING,
    OK,
    OVERLOADED,
    QUEUED,
    Command,
    Context,
    Decision,
    Effect,
    Frozen,
    Pairs,
    Reply,
    Shapes,
    Structure,
)
from casty.distributed.machines.wait_queue import Dismissed, Key, Owners, told_of
from casty.limits import MAX_NAME_BYTES, MAX_NUMBER
from casty.schema import Number, Row, Text

__all__ = ["BARRIERS"]

ARRIVE = 1
WAITING = 1

ASSEMBLY_BYTES = 700
ARRIVAL_BYTES = 600
"""About what an assembly takes, and each arrival with what its session remembers of it."""

_QUEUED: Reply = [QUEUED]
_DESTROYED: Reply = [DESTROYED]


class Assembly:
    """The state: the generation that is assembling; there is none, and no record, while nobody waits.

    Who waited for what has tripped or was destroyed is *dismissed*, still waits as far as anybody can see, and is told
    a part at a time, while the next generation may assemble.

    Invariants: `parties` counts `arrivals` by node id; fewer than `expected` parties. A generation's number is drawn
    like a token, so it is never used again, also after a re-creation.
    """

    __slots__ = ("arrivals", "dismissed", "expected", "generation", "owners", "parties")

    def __init__(self) -> None:
        self.generation = 0
        self.expected = 0
        self.arrivals: dict[Key, str] = {}
        self.parties: dict[str, int] = {}
        self.dismissed: Dismissed = {}
        self.owners = Owners()

    def begin(self, generation: int, expected: int) -> None:
        """Fix what this generation waits for."""
        self.generation = generation
        self.expected = expected

    def add(self, key: Key, node_id: str) -> None:
        """Count an arrival."""
        self.arrivals[key] = node_id
        self.parties[node_id] = self.parties.get(node_id, 0) + 1
        self.owners.add(key)

    def remove(self, key: Key) -> bool:
        """Take away one request; its party stays while another request of it waits."""
        if self.dismissed.pop(key, None) is not None:
            self.owners.remove(key)
            return True
        node_id = self.arrivals.pop(key, None)
        if node_id is None:
            return False
        self.owners.remove(key)
        self.parties[node_id] -= 1
        if not self.parties[node_id]:
            del self.parties[node_id]
        return True

    def end(self, reply: Reply) -> list[Effect]:
        """End the generation: every waiting arrival gets `reply`, the first of all who are dismissed now."""
        self.dismissed.update(dict.fromkeys(self.arrivals, reply))
        self.arrivals, self.parties = {}, {}
        return told_of(self.dismissed, self.owners)


def _kept(assembly: Assembly) -> Assembly | None:
    """Return what stays of a generation: nothing without arrivals, unless some are still to be told."""
    return assembly if assembly.arrivals or assembly.dismissed else None


class BarrierStructure(Structure[Assembly]):
    """See the head of this module."""

    __slots__ = ()
    kind = BARRIER
    name = "barrier"
    shapes: ClassVar[Shapes] = {
        DESTROY: NO_FIELDS,
        ARRIVE: Row((Text(MAX_NAME_BYTES), Number(1, MAX_NUMBER))),
    }
    query_shapes: ClassVar[Shapes] = {WAITING: NO_FIELDS}

    def decide(self, state: Assembly | None, command: Command, ctx: Context) -> Decision:
        """ARRIVE carries (node id, expected) and answers the generation when it trips."""
        if command[0] == DESTROY:
            if state is None or not state.arrivals:
                return Decision(state, [OK, False])
            effects = state.end(_DESTROYED)
            return Decision(_kept(state), [OK, True], effects)
        assembly = Assembly() if state is None else state
        return self._arrive(assembly, command[1], command[2], ctx)

    def _arrive(self, assembly: Assembly, node_id: str, expected: int, ctx: Context) -> Decision:
        if not assembly.arrivals:
            assembly.begin(ctx.next_token(), expected)
        if assembly.expected != expected:
            return Decision(assembly, [MISMATCH, "expected", assembly.expected, expected])
        key = (ctx.caller.session, ctx.caller.seq)
        assert key not in assembly.arrivals, f"request {key} was applied twice"
        parties = len(assembly.parties) + (node_id not in assembly.parties)
        if parties >= expected:
            reply: Reply = [OK, assembly.generation]
            effects = assembly.end(reply)
            return Decision(_kept(assembly), reply, effects)
        if ctx.waiters >= ctx.max_waiters:
            return Decision(_kept(assembly), [OVERLOADED, "max_waiters", ctx.max_waiters])
        assembly.add(key, node_id)
        return Decision(assembly, _QUEUED)

    def query(self, state: Assembly | None, query: Command) -> Reply:
        """Answer how many parties wait."""
        return [OK, 0 if state is None else len(state.parties)]

    def cancel(self, state: Assembly, session: int, seq: int) -> Decision:
        """Withdraw an arrival; see `Structure.cancel`."""
        reply: Reply = [OK] if state.remove((session, seq)) else [NOT_WAITING]
        return Decision(_kept(state), reply)

    def abandon(self, state: Assembly, session: int, seq: int) -> Decision:
        """Withdraw an arrival, if it still waits; see `Structure.abandon`."""
        state.remove((session, seq))
        return Decision(_kept(state), [OK])

    def end_session(self, state: Assembly, session: int) -> Decision:
        """Withdraw the session's arrivals; see `Structure.end_session`."""
        for key in state.owners.of(session):
            state.remove(key)
        return Decision(_kept(state), [OK])

    def owes(self, state: Assembly) -> bool:
        """See `Structure.owes`."""
        return bool(state.dismissed)

    def pay(self, state: Assembly) -> Decision:
        """See `Structure.pay`."""
        effects = told_of(state.dismissed, state.owners)
        return Decision(_kept(state), [OK], effects)

    def involves(self, state: Assembly, session: int) -> bool:
        """Whether an arrival of the session waits."""
        return session in state.owners

    def outcome(self, state: Assembly, session: int, seq: int) -> Reply | None:
        """A trip is remembered by the session, not here; see `Structure.outcome`."""
        key = (session, seq)
        return _QUEUED if key in state.arrivals or key in state.dismissed else None

    def waiting(self, state: Assembly) -> int:
        """How many requests wait."""
        return len(state.arrivals) + len(state.dismissed)

    def weight(self, state: Assembly) -> int:
        """Return about what the arrivals take."""
        return ASSEMBLY_BYTES + ARRIVAL_BYTES * (len(state.arrivals) + len(state.dismissed))

    def grows(self, state: Assembly | None, command: Command) -> bool:
        """Every arrival may wait."""
        return bool(command[0] == ARRIVE)

    def freeze(self, state: Assembly) -> Frozen:
        """See `Structure.freeze`: arrivals in order."""
        return Frozen([state.generation, state.expected], (Pairs(state.arrivals), Pairs(state.dismissed)))

    def begin(self, head: Any) -> Assembly:
        """See `Structure.begin`."""
        assembly = Assembly()
        assembly.begin(*head)
        return assembly

    def extend(self, state: Assembly, table: int, rows: Sequence[Any]) -> None:
        """See `Structure.extend`."""
        for (session, seq), what in rows:
            if table == 0:
                state.add((session, seq), what)
            else:
                state.dismissed[session, seq] = what
                state.owners.add((session, seq))


BARRIERS = BarrierStructure()
