"""A follower: takes appends and snapshots of whoever leads its term.

Raft paper, sections 5.3 and 7. A replica accepts them from any leader of a term not below its own, whether or
not its configuration names that leader: the configuration that does may be in the very entries it lacks. A
lower term is answered with ours. A blank replica (no configuration) asks for a snapshot; only one gives it a
configuration.
"""

from __future__ import annotations

from collections.abc import Sequence

from casty.consensus.log import Entry
from casty.consensus.membership import parse
from casty.consensus.messages import (
    ACCEPTED,
    APPEND_REPLY,
    BLANK,
    REJECTED,
    SNAPSHOT_REPLY,
    integers,
    parse_entries,
)
from casty.consensus.snapshot import Inbound, Part, Snapshot
from casty.consensus.state import State
from casty.consensus.values import Role
from casty.errors import RemoteProtocolError

__all__ = ["on_append", "on_snapshot", "part_restored"]


def on_append(state: State, now_ns: int, sender: str, message: Sequence[object]) -> None:
    """Take an append: match, replace what conflicts, advance the commit index, answer."""
    try:
        _, term, previous, previous_term, commit, sent_ns, items = message
    except ValueError:
        raise RemoteProtocolError("append: expected 7 fields") from None
    if not (
        isinstance(term, int)
        and isinstance(previous, int)
        and isinstance(previous_term, int)
        and isinstance(commit, int)
        and isinstance(sent_ns, int)
        and previous >= 0
    ):
        raise RemoteProtocolError("append: expected integers")
    entries = parse_entries(items, term) if items else []
    if term == state.term and state.leader == sender and state.role is Role.FOLLOWER:
        state.heard_ns = now_ns
    elif not _follow(state, now_ns, sender, term):
        _answer(state, sender, sent_ns, REJECTED, previous, 0, 0)
        return
    if state.membership is None:
        _answer(state, sender, sent_ns, BLANK, previous, 0, 0)
    else:
        _match(state, sender, sent_ns, previous, previous_term, commit, entries)


def _follow(state: State, now_ns: int, sender: str, term: int) -> bool:
    if term < state.term:
        return False
    if term > state.term or state.leader != sender:
        if term == state.term and (state.role is Role.LEADER or state.leader is not None):
            raise RemoteProtocolError(f"two leaders in term {term}: {state.leader} and {sender}")
        state.become_follower(now_ns, term, sender)
    state.heard_ns = now_ns
    return True


def _match(
    state: State,
    sender: str,
    sent_ns: int,
    previous: int,
    previous_term: int,
    commit: int,
    entries: list[Entry],
) -> None:
    log = state.log
    if previous < state.commit:
        # What is committed here is in the leader's log too (leader completeness), so it matches unseen.
        entries = entries[state.commit - previous :]
        previous = state.commit
    elif not log.matches(previous, previous_term):
        hint, hint_term = log.conflict(previous, previous_term)
        _answer(state, sender, sent_ns, REJECTED, previous, hint, hint_term)
        return
    matched = previous + len(entries)
    if entries:
        _store(state, previous + 1, entries)
    if commit > state.commit:
        state.commit = commit if commit <= matched else max(state.commit, matched)
        if state.inbound is not None and state.inbound.snapshot.index <= state.commit:
            state.inbound = None
    _answer(state, sender, sent_ns, ACCEPTED, matched, state.commit, 0)


def _store(state: State, first: int, entries: list[Entry]) -> None:
    log = state.log
    skipped = 0
    if first <= log.last_index:
        for entry in entries:
            index = first + skipped
            if index > log.last_index:
                break
            if log.term_at(index) != entry.term:
                state.truncate(index)
                break
            skipped += 1
    if skipped < len(entries):
        state.take_entries(entries[skipped:] if skipped else entries, first + skipped)


def _answer(state: State, to: str, sent_ns: int, outcome: int, index: int, hint: int, hint_term: int) -> None:
    state.out.append((to, [APPEND_REPLY, state.term, sent_ns, outcome, index, hint, hint_term]))
    state.dirty = True


def on_snapshot(state: State, now_ns: int, sender: str, message: Sequence[object]) -> None:
    """Take a part of a snapshot; the host restores it."""
    if len(message) != 13:
        raise RemoteProtocolError("snapshot: expected 13 fields")
    numbers = integers([*message[1:5], *message[8:12]], 8)
    term, sent_ns, index, index_term, since, began_ns, number, is_last = numbers
    part = message[12]
    if not isinstance(part, bytes):
        raise RemoteProtocolError("snapshot: expected a part of bytes")
    membership = parse(message[5], message[6], message[7])
    if not 1 <= index_term <= term:
        raise RemoteProtocolError(f"snapshot: illegal term {index_term}")
    if not 0 <= since <= index:
        raise RemoteProtocolError(f"snapshot: illegal index of a configuration {since}")
    if not _follow(state, now_ns, sender, term):
        _answer(state, sender, sent_ns, REJECTED, index, 0, 0)
        return
    if index <= state.commit:
        state.inbound = None
        _answer(state, sender, sent_ns, ACCEPTED, state.commit, state.commit, 0)
        return
    inbound = state.inbound
    if inbound is None or not inbound.is_for(term, index, began_ns):
        is_late = inbound is not None and (inbound.term, inbound.began_ns) >= (term, began_ns)
        if number or is_late:
            # Of one that ended, or whose beginning is not here: the leader's patience with it ends soon.
            return
        inbound = Inbound(term, Snapshot(index, index_term, membership, since), began_ns, sender)
        state.inbound = inbound
    inbound.sent_ns = sent_ns
    state.dirty = True
    if not inbound.take(number, Part(part, bool(is_last)), 2 * state.limits.snapshot_window_chunks):
        _answer_part(state, inbound)


def _answer_part(state: State, inbound: Inbound) -> None:
    message: list[object] = [
        SNAPSHOT_REPLY,
        state.term,
        inbound.sent_ns,
        inbound.snapshot.index,
        inbound.restored,
    ]
    state.send(inbound.sender, message)


def part_restored(state: State, inbound: Inbound) -> bool:
    """The oldest part that waits is restored; say whether it was the last, and the state is to be put in place.

    Only then the snapshot stands for the log, and is acknowledged.
    """
    part = inbound.parts.popleft()
    inbound.restored += 1
    if not part.is_last:
        if state.leader == inbound.sender:
            _answer_part(state, inbound)
        return False
    state.inbound = None
    snapshot = inbound.snapshot
    is_needed = snapshot.index > state.commit
    if is_needed and state.membership is not None and state.log.matches(snapshot.index, snapshot.term):
        # Our own log says the same up to there: commit it, and keep what follows.
        state.commit = snapshot.index
        is_needed = False
    elif is_needed:
        state.reset_log(snapshot)
        state.snapshot_to_store = snapshot
    state.dirty = True
    if state.leader == inbound.sender:
        _answer(state, inbound.sender, inbound.sent_ns, ACCEPTED, snapshot.index, state.commit, 0)
    return is_needed
