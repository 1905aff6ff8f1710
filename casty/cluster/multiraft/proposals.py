"""Which waiting call a log index answers, and how the answer gets there. For control group and slots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from casty.consensus import Core, NotLeading, ProposalRefused

__all__ = [
    "BAD",
    "BUSY",
    "EXPIRED",
    "NOBODY",
    "NOT_LEADER",
    "OK",
    "UNKNOWN",
    "Late",
    "Proposals",
    "ReadReplySink",
    "ReplySink",
    "Waiting",
    "answer",
]

OK = 0
EXPIRED, NOT_LEADER, BUSY, UNKNOWN, BAD = 16, 17, 18, 19, 20


class ReplySink(Protocol):
    """Where the reply to one call goes: a connection's reply batch, or something inside the node."""

    def add(self, call_id: int, reply: list[object]) -> None:
        """Answer the call; harmless when the caller is gone."""


class Waiting(NamedTuple):
    """One call that waits for its reply."""

    answers: ReplySink
    call_id: int

    def answer(self, reply: list[object]) -> None:
        """Give the reply; harmless when the caller is gone."""
        self.answers.add(self.call_id, reply)


IN_TERM = 0
"""Where a row of `Proposals` has the term in which the entry was proposed."""

Late = tuple[ReplySink, int, list[object]]
"""An answer that needs no hurry: where it goes, to which call, and what it is."""


def answer(late: Iterable[Late]) -> None:
    """Give answers now."""
    for answers, call_id, reply in late:
        answers.add(call_id, reply)


class ReadReplySink(ReplySink, Protocol):
    """The same for reads, which are done when their answer can leave."""

    @property
    def is_full(self) -> bool:
        """Whether answers have to wait until the caller takes others: then a read is put off."""
        ...

    def put_off(self, serve: Callable[[], None]) -> None:
        """Call `serve`, which answers a read, later."""


class Proposals:
    """The calls that wait for the entries that this leader proposed.

    `rows` has a row per entry that is proposed and not applied, at most what the core takes uncommitted
    (`max_uncommitted_bytes`); it goes when the entry at its index is applied, or with the leadership.
    """

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows: dict[int, tuple[int, Waiting, list[Any] | None]] = {}
        """Log index -> in which term an entry was proposed there, who waits for it, and the entry if it was checked."""

    def propose(
        self, core: Core, data: bytes, answers: ReplySink, call_id: int, entry: list[Any] | None = None
    ) -> bool:
        """Propose `data`, or answer at once why not; True when it was proposed.

        Parameters
        ----------
        entry
            What `data` was found to be when it was checked: whoever applies it here need not do that again.
        """
        try:
            index = core.propose(data)
        except NotLeading:
            answers.add(call_id, [NOT_LEADER, None, core.term])
            return False
        except ProposalRefused as error:
            answers.add(call_id, [BUSY, str(error)])
            return False
        self.rows[index] = (core.term, Waiting(answers, call_id), entry)
        return True

    def checked(self, index: int, term: int) -> list[Any] | None:
        """Return what the entry of this index and term was found to be when it was proposed here; None if it was not.

        An index and a term name one entry, in all logs of the group.
        """
        known = self.rows.get(index)
        if known is None:
            return None
        proposed_in, _, entry = known
        return entry if proposed_in == term else None

    def take(self, index: int, term: int) -> Waiting | None:
        """Return who waits for the entry at `index`; another term's entry took a waiting one's place."""
        known = self.rows.pop(index, None)
        if known is None:
            return None
        proposed_in, waiting, _ = known
        if proposed_in != term:
            waiting.answer([UNKNOWN])
            return None
        return waiting

    def take_waiting(self, but_term: int | None = None) -> Iterator[Late]:
        """Leadership ended: what was proposed may or may not be committed by the next leader.

        Where this replica leads again, what it proposed in `but_term` goes on waiting. Returns who is to be told.
        """
        known = self.rows
        self.rows = {index: row for index, row in known.items() if row[IN_TERM] == but_term}
        return ((row.answers, row.call_id, [UNKNOWN]) for term, row, _ in known.values() if term != but_term)


class _Nobody:
    def add(self, call_id: int, reply: list[object]) -> None:
        """Nobody waits for this answer."""


NOBODY = _Nobody()
"""For what is proposed of a node's own accord."""
