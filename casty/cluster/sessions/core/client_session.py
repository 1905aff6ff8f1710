"""A gateway's side of its session in one slot: numbers, watermarks, holds, and how long it may trust them. Pure.

The ack watermark is the lowest number without an answer (``queued`` is one), the wait watermark the lowest one still
waited for; every command carries both, so the slot can forget what this side has. An abandoned number keeps the ack
watermark down until the slot says that it is cleared, unless it was queued: then the slot finds it through the waiter
itself. One that may have taken something out of a queue keeps the wait watermark down as well, so that the slot keeps
what it was answered: that is what is put back.
"""

from __future__ import annotations

from collections.abc import Iterator

from casty.distributed.machines.base import QUEUE

__all__ = ["ClientSession", "Entity", "Held"]

ROW_BYTES = 72
REQUEST_BYTES = 16
"""What the numbers of a row, and of one request in it, take on the wire, at most."""

Entity = tuple[int, bytes]
"""(kind, entity)."""


class Held:
    """What a slot granted: a lock, a permit or an item; its session and the number of its request name it for good.

    Parameters
    ----------
    session, seq, entity, token
        Where, under which number, of what, and the fencing token.
    until_ns
        When it may end though its session lives; None is never.
    """

    __slots__ = ("entity", "is_over", "losses", "seq", "session", "token", "until_ns")

    def __init__(
        self, session: ClientSession, seq: int, entity: Entity, token: int, until_ns: int | None = None
    ) -> None:
        self.session = session
        self.seq = seq
        self.entity = entity
        self.token = token
        """Above that of every earlier grant of the entity: whoever acts on it shows it to what is protected."""
        self.until_ns = until_ns
        """By the local clock, from when the answer came. The slot begins to count later, so it ends here first."""
        self.losses = session.losses
        """What `session.losses` was at the grant; it counts no more once they differ, told or not."""
        self.is_over = False
        """Whether its owner gave it back, or was told that it is lost; once True it stays so."""

    def counts_at(self, now_ns: int) -> bool:
        """Whether nobody else can have been granted it at an instant; once False it is False at every later one."""
        if self.is_over or (self.until_ns is not None and now_ns >= self.until_ns):
            return False
        session = self.session
        return self.losses == session.losses and now_ns < session.covered_until_ns


class ClientSession:
    """One slot's session, from this side.

    Parameters
    ----------
    slot, epoch
        Where it lives.
    attempt
        The identity of the opening; the same answer however often it is sent. It proves whose session it is: 128 random
        bits that only this side and the slot's replicas know.
    """

    __slots__ = (
        "_done", "_held_of", "_taking", "abandoned", "ack_watermark", "attempt", "covered_until_ns", "epoch", "held",
        "is_in_question", "losses", "next_seq", "number", "slot", "used_ns", "waiting",
    )  # fmt: skip

    def __init__(self, slot: int, epoch: int, attempt: bytes, now_ns: int) -> None:
        self.slot = slot
        """Never changes: kinds and names hash to a slot for good."""
        self.epoch = epoch
        """Never changes: in another epoch of the slot it is another session, whatever the numbers."""
        self.attempt = attempt
        """Drawn once, before the opening is sent: an opening that is sent again is answered with the same session."""
        self.number: int | None = None
        """None until the slot answered the opening; set once. Nothing is sent in a session without it."""
        self.next_seq = 1
        """Above every number that was given out. A number is given out once, to one request."""
        self.ack_watermark = 1
        """Never falls, never above `next_seq`. All below it have an answer here, so the slot may forget its replies."""
        self.waiting: dict[int, Entity] = {}
        """Requests whose outcome is still to come, in order of their numbers; none is in `held` or `abandoned`."""
        self.held: dict[int, Held] = {}
        """What is granted and not over, by the number of its request; only `hold`, `let_go`, `abandon` and `lose_all`
        change it, each of them `_held_of` as well."""
        self._held_of: dict[Entity, int | dict[int, None]] = {}
        """The numbers in `held` by entity; most have one."""
        self.losses = 0
        """How often all holds were lost; only grows. A hold of before does not count any more, told or not."""
        self.abandoned: dict[int, Entity] = {}
        """What nobody wants any more, or has the outcome of, until the slot has cleared it; at most a window of them,
        and those that a release or a deadline adds. Every keep-alive names all of them."""
        self.covered_until_ns = 0
        """Never falls. Until then the slot expires nothing: it counts from the *send* time of what was acknowledged."""
        self.is_in_question = False
        """Whether the slot is being asked if the session lives on: nothing new is sent in it until it says so."""
        self.used_ns = now_ns
        """When it last gave out a number; long after, with nothing to name, it is closed."""
        self._done: dict[int, None] = {}
        """Numbers above `ack_watermark` that have their answer: fewer than `next_seq` is ahead of it."""
        self._taking: dict[int, None] = {}
        """Abandoned numbers that may have taken something; all are in `abandoned`, and hold the wait watermark down."""

    @property
    def wait_watermark(self) -> int:
        """The lowest number still waited for, or given up with something that has to be put back."""
        low = next(iter(self.waiting)) if self.waiting else self.next_seq
        return min(low, *self._taking) if self._taking else low

    @property
    def outstanding(self) -> int:
        """Numbers that the slot still has to remember."""
        return self.next_seq - self.ack_watermark

    def take(self) -> int:
        """Return the next number."""
        seq = self.next_seq
        self.next_seq = seq + 1
        return seq

    def answered(self, seq: int) -> None:
        """The number has an answer; `ack_watermark` moves over what is done."""
        if seq != self.ack_watermark:
            if seq > self.ack_watermark:
                self._done[seq] = None
            return
        low = seq + 1
        done = self._done
        while low in done:
            del done[low]
            low += 1
        self.ack_watermark = low

    def abandon(self, seq: int, entity: Entity) -> None:
        """Nobody wants the outcome any more: keep asking for its withdrawal until it is cleared."""
        self.waiting.pop(seq, None)
        self.let_go(seq)
        self.abandoned[seq] = entity
        if entity[0] == QUEUE:
            self._taking[seq] = None

    def confirm(self, seq: int, entity: Entity) -> None:
        """The outcome is here: keep-alives say so until the slot has forgotten it.

        The row names no entity: nothing is to be withdrawn from one, and what was taken out of one is not put back.
        """
        self.abandoned[seq] = (entity[0], b"")

    def cleared(self, seq: int) -> None:
        """The slot keeps nothing under an abandoned number any more: it is withdrawn for good, or its outcome known."""
        if self.abandoned.pop(seq, None) is not None:
            self._taking.pop(seq, None)
            self.answered(seq)

    # -- holds

    def hold(self, held: Held) -> None:
        """The request was granted."""
        seq, entity = held.seq, held.entity
        self.held[seq] = held
        known = self._held_of.setdefault(entity, seq)
        if known != seq:
            if isinstance(known, int):
                known = self._held_of[entity] = {known: None}
            known[seq] = None

    def let_go(self, seq: int) -> Held | None:
        """Return what is held no more under this number; None where nothing was."""
        held = self.held.pop(seq, None)
        if held is not None:
            known = self._held_of[held.entity]
            if isinstance(known, dict):
                del known[seq]
            if not isinstance(known, dict) or not known:
                del self._held_of[held.entity]
        return held

    def held_of(self, entity: Entity) -> list[int]:
        """Return the numbers under which an entity is held, oldest first."""
        known = self._held_of.get(entity, ())
        return [known] if isinstance(known, int) else list(known)

    def lose_all(self) -> dict[int, Held]:
        """Return what was held: none of it counts from now on, whatever covers the session later."""
        lost, self.held, self._held_of = self.held, {}, {}
        self.losses += 1
        return lost

    def cover(self, until_ns: int) -> None:
        """The slot heard of us: until then it expires nothing."""
        self.covered_until_ns = max(self.covered_until_ns, until_ns)

    def is_idle(self) -> bool:
        """Whether nothing is held, waited for, abandoned or without an answer."""
        return not (self.waiting or self.held or self.abandoned) and self.ack_watermark == self.next_seq

    def keep_alive_rows(self, limit_bytes: int) -> Iterator[tuple[list[object], int]]:
        """Return this session's rows of keep-alives, with their sizes: one, unless it names very much.

        What is over by the time its row is asked for is left out, and what came meanwhile is for the next keep-alive.

        Parameters
        ----------
        limit_bytes
            No row is longer, but for one that names a single request.
        """
        lists: list[list[list[object]]] = [[], [], []]
        size_bytes = ROW_BYTES
        for kind, seqs in enumerate((list(self.waiting), list(self.held), list(self.abandoned))):
            for seq in seqs:
                entity = self._named(kind, seq)
                if entity is None:
                    continue
                more_bytes = REQUEST_BYTES + len(entity[1])
                if size_bytes + more_bytes > limit_bytes and any(lists):
                    yield (
                        [self.slot, self.epoch, self.number, *lists, self.ack_watermark, self.attempt],
                        size_bytes,
                    )
                    lists, size_bytes = [[], [], []], ROW_BYTES
                lists[kind].append([seq, *entity])
                size_bytes += more_bytes
        yield [self.slot, self.epoch, self.number, *lists, self.ack_watermark, self.attempt], size_bytes

    def _named(self, kind: int, seq: int) -> Entity | None:
        if kind == 1:
            held = self.held.get(seq)
            return None if held is None else held.entity
        return (self.abandoned if kind else self.waiting).get(seq)
