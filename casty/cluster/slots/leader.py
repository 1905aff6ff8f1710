"""What the leader of one slot knows besides the log: when it heard of each session, who waits for what.

Soft state: a new leader starts empty and gives every session a fresh TTL, so that the client's own deadline
always passes before anybody else can be granted what it held. It speaks once its machine has applied all that
earlier leaders left. An expiry that it put into the log counts at once, committed or not: such a session is not
covered any more, for it may be gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from casty.cluster.multiraft.proposals import Late, ReplySink, Waiting
from casty.cluster.slots.lifetimes import MILLISECOND_NS, Heard
from casty.cluster.slots.machine import END_PART, SlotMachine
from casty.cluster.slots.operations import ROW_PROOF, ROW_SESSION
from casty.cluster.slots.questions import is_cleared, is_held, outcome_of
from casty.cluster.slots.schema import ABANDON, EXPIRE
from casty.cluster.slots.visibility import Visibility
from casty.cluster.slots.window import MORE_ROOM, Window
from casty.distributed.machines.base import BUSY, CODE, EXPIRED, OK, QUEUED, WITHDRAWN, Effect
from casty.wire.pack import pack

__all__ = ["EXPIRY_WORK", "SlotLeader"]

Row = tuple[int, int, bytes]
"""A request: its number, and kind and name of its entity."""

EXPIRY_WORK = 1_000
"""How many sessions and requests of theirs one slot lets go in one turn, but for a single session that has more."""


class SlotLeader:
    """One leadership of one slot.

    Parameters
    ----------
    machine
        The slot's machine.
    ttl_ns
        How long a session lives without being heard of, unless its client asked for another time.
    now_ns
        When this leadership began.
    window
        What a session may make the slot remember.
    """

    __slots__ = (
        "_began_ns",
        "_closing",
        "_expiring",
        "_heard",
        "_machine",
        "_over",
        "_ttl_ns",
        "_window",
        "_withdrawing",
        "visibility",
        "waiting",
    )  # fmt: skip

    def __init__(self, machine: SlotMachine, ttl_ns: int, now_ns: int, window: Window | None = None) -> None:
        self._machine = machine
        self._window = window or Window()
        self.visibility = Visibility(machine)
        self._ttl_ns = ttl_ns
        self._began_ns = now_ns
        self._heard = Heard(ttl_ns)
        self._expiring: dict[int, None] = {}
        """Sessions whose expiry this leader put into the log, not applied yet; none of them in `_heard`."""
        self._over: dict[int, bool] = {}
        """Sessions that end in parts, and whether the next part is in the log; in none of the tables above."""
        self._closing: dict[int, Waiting] = {}
        """Who is told when such a session is gone; none that is not in `_over`."""
        self.waiting: dict[int, dict[int, Waiting]] = {}
        """By session and number: where the outcome of a queued request goes. No session without a number."""
        self._withdrawing: dict[int, dict[int, int]] = {}
        """By session: the numbers whose withdrawal was proposed lately, and when."""

    # -- waiting calls

    def wait(self, session: int, seq: int, answers: ReplySink, call_id: int) -> None:
        """Send the outcome of a queued request here once there is one; a newer call replaces an older."""
        of_session = self.waiting.get(session)
        if of_session is None:
            self.waiting[session] = {seq: Waiting(answers, call_id)}
        else:
            of_session[seq] = Waiting(answers, call_id)

    def _take(self, session: int, seq: int) -> Waiting | None:
        of_session = self.waiting.get(session)
        if of_session is None:
            return None
        waiting = of_session.pop(seq, None)
        if not of_session:
            del self.waiting[session]
        return waiting

    def resolve(self, effects: Iterable[Effect]) -> None:
        """Send outcomes to the calls that wait for them."""
        for session, seq, reply in effects:
            waiting = self._take(session, seq)
            if waiting is not None:
                waiting.answer(reply)

    def withdraw(self, session: int, seq: int) -> None:
        """The request waits no longer: it was withdrawn. Whoever passed its call on has to hear of the end."""
        waiting = self._take(session, seq)
        if waiting is not None:
            waiting.answer([WITHDRAWN])

    def take_waiting(self, reply: list[object]) -> Iterator[Late]:
        """Leadership ended: return everyone who waits and is to be told, so that they ask the next leader."""
        waiting, self.waiting = self.waiting, {}
        closing, self._closing = self._closing, {}
        rows = chain(closing.values(), chain.from_iterable(map(_calls, waiting.values())))
        return ((answers, call_id, reply) for answers, call_id in rows)

    # -- sessions

    def opened(self, session: int, now_ns: int) -> None:
        """An open was applied: its answer counts as the first keep-alive."""
        self._hear(session, now_ns)

    def _hear(self, session: int, now_ns: int) -> None:
        self._heard.hear(session, self._machine.sessions[session].ttl_ms, now_ns)

    def ended(self, session: int) -> None:
        """The session is over."""
        self._heard.forget(session)
        self._expiring.pop(session, None)
        self._over.pop(session, None)
        self._withdrawing.pop(session, None)
        closing = self._closing.pop(session, None)
        if closing is not None:
            closing.answer([OK])
        for answers, call_id in self.waiting.pop(session, {}).values():
            answers.add(call_id, [EXPIRED])

    def part_applied(self, session: int, closing: Waiting | None) -> None:
        """Something is left of a session that is over: another part is needed before whoever closes it is told.

        Who waits for requests of the session hears that it is over, a part with each part: nothing is granted any more.
        """
        self._heard.forget(session)
        self._expiring.pop(session, None)
        self._over[session] = False
        for seq in list(islice(self.waiting.get(session, ()), END_PART)):
            waiting = self._take(session, seq)
            if waiting is not None:
                waiting.answer([EXPIRED])
        if closing is not None:
            former = self._closing.get(session)
            self._closing[session] = closing
            if former is not None:
                former.answer([BUSY, "the session is being closed for a later call"])

    @property
    def has_part(self) -> bool:
        """Whether some session needs another part that is not in the log."""
        return False in self._over.values()

    def next_part(self) -> tuple[int, bytes] | None:
        """Return a session that needs another part, and the entry, which is in the log from now on."""
        for session, is_proposed in self._over.items():
            known = None if is_proposed else self._machine.sessions.get(session)
            if known is not None:
                self._over[session] = True
                return session, pack([known.over, session])
        return None

    def part_refused(self, session: int) -> None:
        """It was not proposed after all."""
        if session in self._over:
            self._over[session] = False

    def longest_silence_ns(self, now_ns: int) -> int:
        """Return how long the session was silent that is nearest to its end, as a share of the usual time to live."""
        return self._heard.longest_silence_ns(now_ns)

    def due(self, now_ns: int, work: int = EXPIRY_WORK) -> list[bytes]:
        """Return expiry entries to propose now, each once per leadership, the longest silence first.

        Parameters
        ----------
        work
            How much applying them may cost: each session counts, and each request of it that waits or holds. One
            that costs more alone is expired alone.
        """
        if len(self._heard) + len(self._expiring) + len(self._over) < len(self._machine.sessions):
            self._learn()
        sessions, entries = self._machine.sessions, list[bytes]()
        for session in self._heard.overdue(now_ns):
            known = sessions.get(session)
            work -= 1 + (0 if known is None else len(known.waits))
            if work < 0 and entries:
                break
            self._heard.forget(session)
            if known is not None:
                self._expiring[session] = None
                entries.append(pack([EXPIRE, session]))
        return entries

    def _learn(self) -> None:
        """Sessions that earlier leaders opened: this one heard of them last when it began."""
        unheard: list[int] = []
        for session, known in self._machine.sessions.items():
            if known.over:
                self._over.setdefault(session, False)
            elif session not in self._heard and session not in self._expiring:
                unheard.append(session)
        for session in reversed(unheard):
            self._heard.begin(session, self._machine.sessions[session].ttl_ms, self._began_ns)

    def expiry_refused(self, entry_sessions: Iterable[int]) -> None:
        """The expiry was not proposed after all; it stays due."""
        for session in entry_sessions:
            known = self._machine.sessions.get(session)
            if self._expiring.pop(session, 0) is None and known is not None:
                self._heard.begin(session, known.ttl_ms, self._began_ns)

    def keep_alive(self, row: list[Any], now_ns: int) -> tuple[list[Any], bytes | None]:
        """Take the checked keep-alive row of one slot while the lease holds.

        Returns
        -------
        tuple
            The row of the acknowledgement (status, outcomes, lost, cleared) and an ABANDON entry to propose,
            if any.
        """
        session, waiting, held, abandoned, low = row[ROW_SESSION:ROW_PROOF]
        machine = self._machine
        if machine.live(session) is None or session in self._expiring:
            return [EXPIRED, [], [], []], None
        self._hear(session, now_ns)
        outcomes = []
        for seq, _, _ in waiting:
            reply = outcome_of(machine, session, seq)
            if reply is not None and reply[CODE] != QUEUED:
                outcomes.append([seq, reply])
        lost = [seq for seq, _, _ in held if not is_held(machine, session, seq)]
        self.visibility.heard(session, held, now_ns)
        cleared = [seq for seq, _, _ in abandoned if is_cleared(machine, session, seq)]
        return [OK, outcomes, lost, cleared], self._withdrawal(session, low, abandoned, now_ns)

    def _withdrawal(self, session: int, low: int, abandoned: list[Row], now_ns: int) -> bytes | None:
        """Return the entry that withdraws what is to be withdrawn and was not proposed a moment ago.

        It tells the session's mark as well: a gateway that only gives up must not fill its window with what it
        gave up before. Numbers too far above that mark are left to a later keep-alive.
        """
        machine, known = self._machine, self._machine.sessions[session]
        proposed = self._lately_proposed(session, now_ns)
        left = []
        for seq, kind, entity in abandoned:
            if seq in proposed or is_cleared(machine, session, seq):
                continue
            if self._window.takes_withdrawal(known, seq, low):
                proposed[seq] = now_ns
                left.append([seq, kind, entity])
        return pack([ABANDON, session, low, left]) if left else None

    def _lately_proposed(self, session: int, now_ns: int) -> dict[int, int]:
        """Return the numbers of a session not to propose again yet; who names too many waits less."""
        proposed = self._withdrawing.setdefault(session, {})
        ttl_ms = self._machine.sessions[session].ttl_ms
        since_ns = now_ns - (ttl_ms * MILLISECOND_NS or self._ttl_ns) // 6
        if len(proposed) > MORE_ROOM * self._window.replies:
            proposed.clear()
        elif proposed and next(iter(proposed.values())) < since_ns:
            proposed = {seq: at_ns for seq, at_ns in proposed.items() if at_ns >= since_ns}
            self._withdrawing[session] = proposed
        return proposed


def _calls(of_session: dict[int, Waiting]) -> Iterable[Waiting]:
    return of_session.values()
