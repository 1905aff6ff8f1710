"""Liveness and leases per pair of nodes: one small heartbeat stands for all groups that a node leads with a peer.

A heartbeat carries a digest of the sender's rows: for each group that it leads and the peer belongs to, (group,
epoch, term, index of the newest configuration, number of the leading replica, number of the peer's). The peer
computes the digest of its own rows for groups that it believes the sender leads. Equal: every one of these
groups was heard, and the sender may count the *send* time of the heartbeat as answered. Different: full rows are
exchanged, only rows equal on both sides count, and the leader probes the rest with an ordinary append, which
sorts out terms and configurations the usual way.

An answer also says whether its sender's memory budget is used up: whoever leads a group with it then refuses what
grows there. Lost, it is told again with the next answer; who is not asked any more counts as having room.

Both ends compute rows from what their cores hold now. A heartbeat that is lost, doubled or late only makes a lease
shorter: an answer names the send time of the heartbeat that it answers.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from casty.address import process_of, replica_id, replica_number
from casty.cluster.multiraft.host import Group, Host, Send
from casty.cluster.multiraft.memory_budget import MemoryBudget
from casty.errors import RemoteProtocolError
from casty.ports import Clock
from casty.wire import frames
from casty.wire.pack import pack, unpack

__all__ = ["Heartbeats"]

Row = tuple[int, int, int, int, int, int]

GROUP, THEIRS = 0, 4
"""Where a row has the number of the group, and the how-manieth replica of its process the sender's is."""

EQUAL, FULL = 1, 2
"""What the answer to a heartbeat says: the rows were equal; the answering node has no memory for more."""


class Heartbeats:
    """The heartbeats of one process, in both directions."""

    def __init__(
        self,
        host: Host,
        clock: Clock,
        me: str,
        send: Send,
        answered: Callable[[str, int], None],
        budget: MemoryBudget,
        ttl_ns: int,
    ) -> None:
        self._host = host
        self._clock = clock
        self._me = me
        self._send = send
        self._answered = answered
        self._budget = budget
        self._ttl_ns = ttl_ns
        """Of sessions: at least four election timeouts."""

    def heartbeat(self) -> None:
        """Send one heartbeat to every process that belongs to a group led here."""
        now_ns = self._clock.now()
        self._host.rounds.drop_before(now_ns - self._ttl_ns)
        led = self._led()
        self._budget.asks(led)
        for peer, rows in led.items():
            self._send(peer, frames.HEARTBEAT, pack([now_ns, _digest(rows)]))

    def _led(self) -> dict[str, list[Row]]:
        """Return, per peer, the rows of the groups led here that it belongs to, in group order."""
        led: dict[str, list[Row]] = {}
        for group in self._host.led.values():
            if group.is_leading:
                usual = _row(
                    group, group.replica_number, 0
                )  # one for all peers that did not begin theirs anew
                for peer in group.core.peers:
                    process, row = peer, usual
                    if "~" in peer:
                        process, row = (
                            process_of(peer),
                            _row(group, group.replica_number, replica_number(peer)),
                        )
                    rows = led.get(process)
                    if rows is None:
                        led[process] = [row]
                    else:
                        rows.append(row)
        return led

    def _followed(self, leader: str) -> list[Row]:
        rows = []
        for group in self._host.groups.values():
            id = group.core.leader
            if id == leader:  # the usual case: a replica that its process did not begin anew
                rows.append(_row(group, 0, group.replica_number))
            elif id is not None and "~" in id and (row := _row_under(group, leader)) is not None:
                rows.append(row)
        return rows

    def on_frame(self, sender: str, kind: int, body: bytes) -> None:
        """Take a heartbeat or an answer of the process `sender`."""
        message: Any = unpack(body)
        sent_ns, content = message if isinstance(message, list) and len(message) == 2 else (None, None)
        if not isinstance(sent_ns, int):
            raise RemoteProtocolError("heartbeat: expected [sent at, content]")
        if kind == frames.HEARTBEAT:
            self._on_heartbeat(sender, sent_ns, content)
        elif kind == frames.HEARTBEAT_ACK:
            if type(content) is not int:
                raise RemoteProtocolError("heartbeat: expected [sent at, flags] in an answer")
            self._budget.heard(sender, is_full=bool(content & FULL))
            self._on_answer(sender, sent_ns, bool(content & EQUAL))
        elif kind == frames.ROWS:
            self._on_rows(sender, sent_ns, content)
        else:
            self._on_rows_answer(sender, sent_ns, content)

    def _on_heartbeat(self, sender: str, sent_ns: int, digest: object) -> None:
        is_equal = digest == _digest(self._followed(sender))
        if is_equal:
            self._host.rounds.heard[sender] = self._clock.now()
        flags = (EQUAL if is_equal else 0) | (FULL if self._budget.is_full else 0)
        self._send(sender, frames.HEARTBEAT_ACK, pack([sent_ns, flags]))

    def _on_answer(self, sender: str, sent_ns: int, is_equal: bool) -> None:
        self._answered(sender, sent_ns)
        if not is_equal:
            rows = self._led().get(sender, [])
            self._send(sender, frames.ROWS, pack([self._clock.now(), rows]))
            return
        rounds = self._host.rounds
        if sent_ns > rounds.answered.get(sender, 0):
            rounds.answered[sender] = sent_ns
            for group in self._host.led.values():
                if group.core.wants_round:
                    group.core.rounds_advanced(self._clock.now())
                    self._host.mark(group)

    def _on_rows(self, sender: str, sent_ns: int, rows: object) -> None:
        if not isinstance(rows, list):
            raise RemoteProtocolError("heartbeat: expected a list of rows")
        now_ns = self._clock.now()
        equal: list[list[int]] = []
        for row in rows:
            number = row[GROUP] if isinstance(row, list) and len(row) == 6 else None
            group = self._host.groups.get(number) if type(number) is int else None
            own = None if group is None else _row_under(group, sender)
            if group is not None and own is not None and list(own) == row:
                group.core.heard_from(replica_id(sender, own[THEIRS]), now_ns)
                equal.append([group.number, group.replica_number])
        self._send(sender, frames.ROWS_ACK, pack([sent_ns, equal]))

    def _on_rows_answer(self, sender: str, sent_ns: int, equal: object) -> None:
        if not isinstance(equal, list):
            raise RemoteProtocolError("heartbeat: expected a list of groups")
        self._answered(sender, sent_ns)
        now_ns = self._clock.now()
        heard = dict.fromkeys(
            tuple(row)
            for row in equal
            if isinstance(row, list) and [type(part) for part in row] == [int, int]
        )
        for group in self._host.led.values():
            replicas = [peer for peer in group.core.peers if process_of(peer) == sender]
            if not group.is_leading or not replicas:
                continue
            for peer in replicas:
                if (group.number, replica_number(peer)) in heard:
                    group.core.peer_round(peer, sent_ns)
                    group.core.rounds_advanced(now_ns)
                else:
                    group.core.probe(now_ns, peer)
            self._host.mark(group)


def _row(group: Group, leading: int, following: int) -> Row:
    core = group.core
    return (group.number, group.epoch, core.term, core.membership_index, leading, following)


def _row_under(group: Group, leader: str) -> Row | None:
    """Return the row of a group that a replica of this process leads, as far as we know."""
    id = group.core.leader
    if id is None or process_of(id) != leader:
        return None
    return _row(group, replica_number(id), group.replica_number)


def _digest(rows: list[Row]) -> bytes:
    return blake2b(pack(sorted(rows)), digest_size=16).digest()
