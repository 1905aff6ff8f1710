"""A leader's outgoing appends and parts of snapshots, made once per `Ready`: proposals of a turn share one.

Bounds: an append by entries and bytes, a peer by unanswered appends and bytes, a snapshot by its window of
parts. Entries are sent as they lie in the log (a named tuple packs as ``[term, kind, data]``), never copied
per peer.
"""

from __future__ import annotations

from casty.consensus.log import Entry
from casty.consensus.messages import APPEND
from casty.consensus.messages import SNAPSHOT as SNAPSHOT_PART
from casty.consensus.progress import PROBE, REPLICATE, Progress
from casty.consensus.snapshot import Outbound
from casty.consensus.state import State

__all__ = ["arm_retry", "send_due", "send_empty"]


def send_due(state: State) -> None:
    """Send to every peer what its state allows."""
    state.append_due = False
    last_index, offset = state.log.last_index, state.log.offset
    shared: _Append | None = None
    for progress in state.progress.values():
        if progress.state == REPLICATE:
            if progress.next <= offset:
                # Compacted away under its feet: its answer to a probe turns into a snapshot.
                progress.ask(offset + 1)
            else:
                while progress.next <= last_index and _has_room(state, progress):
                    if shared is None or shared.first != progress.next:
                        shared = _Append(state, progress.next)
                    _send_append(state, progress, shared)
        if progress.state == PROBE:
            if not progress.is_paused:
                _send_probe(state, progress)
        elif progress.snapshot is not None:
            _send_parts(state, progress.id, progress.snapshot)


class _Append:
    """One append; peers that need the same entries share the message itself, nobody changes it."""

    __slots__ = ("first", "last", "message", "size_bytes")

    def __init__(self, state: State, first: int) -> None:
        entries, self.size_bytes = _batch(state, first)
        self.first = first
        self.last = first + len(entries) - 1
        self.message = _append_message(state, first - 1, entries)


def _append_message(state: State, previous: int, entries: list[Entry]) -> list[object]:
    return [APPEND, state.term, previous, state.log.term_at(previous), state.commit, state.now_ns, entries]


def _has_room(state: State, progress: Progress) -> bool:
    limits = state.limits
    return (
        len(progress.inflight) < limits.max_inflight_appends
        and progress.inflight_bytes < limits.max_inflight_bytes
    )


def arm_retry(state: State) -> None:
    """Look after unanswered messages one heartbeat from now."""
    if not state.retry_due_ns:
        state.retry_due_ns = state.now_ns + state.timing.heartbeat_ns
        state.wake_at(state.retry_due_ns)


def _send_append(state: State, progress: Progress, append: _Append) -> None:
    if not progress.inflight:
        progress.waiting_ns = state.now_ns
    progress.next = append.last + 1
    progress.inflight.append((append.last, append.size_bytes))
    progress.inflight_bytes += append.size_bytes
    progress.commit_sent = state.commit
    state.out.append((progress.id, append.message))
    if not state.retry_due_ns:
        arm_retry(state)


def _batch(state: State, first: int) -> tuple[list[Entry], int]:
    limits = state.limits
    log = state.log
    last = min(log.last_index, first + limits.max_append_entries - 1)
    if first == last:
        entry = log.entries[first - log.offset - 1]
        return [entry], len(entry[2])
    entries = log.slice(first, last)
    size_bytes = 0
    for position, entry in enumerate(entries):
        size_bytes += len(entry[2])
        if size_bytes > limits.max_append_bytes and position:
            return entries[:position], size_bytes - len(entry[2])
    return entries, size_bytes


def _emit(state: State, progress: Progress, entries: list[Entry]) -> None:
    state.send(progress.id, _append_message(state, progress.next - 1, entries))
    progress.commit_sent = state.commit


def _send_probe(state: State, progress: Progress) -> None:
    if progress.is_empty_probe:
        progress.next = max(progress.next, state.log.offset + 1)
    elif progress.is_blank or progress.next - 1 < state.log.offset:
        _start_snapshot(state, progress)
        return
    entries: list[Entry] = []
    if not progress.is_empty_probe and progress.next <= state.log.last_index:
        entries, _ = _batch(state, progress.next)
    if not progress.is_empty_probe:
        progress.waiting_ns = state.now_ns
    _emit(state, progress, entries)
    progress.is_paused = True
    arm_retry(state)


def send_empty(state: State, progress: Progress) -> None:
    """Send an append without entries: it carries the commit index and finds out where the peer is."""
    if progress.next - 1 >= state.log.offset:
        _emit(state, progress, [])


def _start_snapshot(state: State, progress: Progress) -> None:
    progress.needs_snapshot = state.snapshot_wanted = state.dirty = True


def _send_parts(state: State, to: str, outbound: Outbound) -> None:
    for number in range(outbound.sent, outbound.acked + len(outbound.parts)):
        part = outbound.parts[number - outbound.acked]
        snapshot = outbound.snapshot
        message: list[object] = [SNAPSHOT_PART, state.term, state.now_ns, snapshot.index, snapshot.term]
        message += [
            *snapshot.membership,
            snapshot.since,
            outbound.began_ns,
            number,
            int(part.is_last),
            part.data,
        ]
        state.send(to, message)
        outbound.sent = number + 1
        arm_retry(state)
