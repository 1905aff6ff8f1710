"""Hands over what a survivor without a disk has, so that a new generation can be made of it. One per process.

``SALVAGE`` body, of a link of the role ``status`` only: the number of a page, from 0 on. ``SALVAGE_REPLY``: ``[number,
records, is_last]`` with records as a data directory has them, ``[[key, value], ...]``; or ``[number, text]``.

The first question ends the process for its cluster, in the same turn and for good: its groups are taken away from
whoever could ask or tell them something, and are only read from then on. So what is handed over is final: nothing is
acknowledged or promised after it. That costs the cluster a member, so it is refused while every group here is led.

Lost with its link, pages are asked for again from page 0 on, and made anew of the same frozen state. Some time after
the last page, or after the last question, the process stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Protocol

from casty.cluster.control.replica import ControlReplica
from casty.cluster.multiraft.host import Group, Host
from casty.cluster.node.group_health import GroupHealth
from casty.cluster.node.options import NodeOptions
from casty.config import SECOND_NS, Settings
from casty.consensus import Snapshot
from casty.durable.records import (
    MANIFEST,
    Batch,
    GroupRow,
    Head,
    Manifest,
    encode_entry,
    encode_hard_state,
    encode_head,
    encode_manifest,
    encode_part,
    hard_key,
    head_key,
    log_key,
    part_key,
)
from casty.errors import RemoteProtocolError
from casty.ports import Runtime, Timer
from casty.transport.connection import Connection
from casty.wire import frames
from casty.wire.pack import pack, unpack

__all__ = ["Salvage"]

IDLE_NS = 30 * SECOND_NS
DONE_NS = 5 * SECOND_NS
"""So long the last page may be asked for again."""
PAGE_BYTES = 256 * 1024
SERIAL = 1

Rows = list[list[bytes]]


class Salvaged(Protocol):
    """The node; see `Node`."""

    options: NodeOptions
    settings: Settings
    runtime: Runtime
    node_id: str
    host: Host
    group_health: GroupHealth
    control: ControlReplica

    def give_up(self, reason: str) -> None:
        """Never serve again."""

    @property
    def replica_id(self) -> str:
        """Under which key it takes part in groups."""
        ...


class Salvage:
    """The end of one process that survived.

    Parameters
    ----------
    node
        The process.
    slots
        Its replicas of slots, of which it is to have none any more.
    on_over
        Called when nothing is left to hand over.
    """

    def __init__(
        self, node: Salvaged, slots: MutableMapping[int, Any], on_over: Callable[[], object]
    ) -> None:
        self._node = node
        self._slots = slots
        self._groups: list[Group] | None = None
        """What is handed over; None while the process serves."""
        self._pages: Iterator[tuple[Rows, bool]] = iter(())
        self._next = 0
        self._timer: Timer | None = None
        self._on_over = on_over

    def on_question(self, link: Connection, body: bytes) -> None:
        """Take a question; raises `RemoteProtocolError` for what is none."""
        number = unpack(body)
        if type(number) is not int or number < 0:
            raise RemoteProtocolError("salvage: expected the number of a page")
        link.send(frames.SALVAGE_REPLY, pack([number, *self._answer(number)]))

    def _answer(self, number: int) -> list[Any]:
        if number == 0:
            text = self._begin()
            if text is not None:
                return [text]
        if self._groups is None or number != self._next:
            return [f"page {number} is not the next one; begin with page 0"]
        self._next += 1
        rows, is_last = next(self._pages)
        self._wait(DONE_NS if is_last else IDLE_NS)
        return [rows, is_last]

    def _begin(self) -> str | None:
        node = self._node
        if self._groups is None:
            if node.host.book is not None:
                return f"node {node.node_id} has a data directory: stop it, and name that"
            if not node.group_health.texts:
                return f"every group of node {node.node_id} has a leader: nothing is lost that it could save"
            self._groups = node.host.give_up()
            self._slots.clear()
            node.give_up("it was given up, and its replicas are handed over")
        self._pages, self._next = _pages(self._records(self._groups)), 0
        return None

    def _wait(self, while_ns: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        clock = self._node.runtime.clock
        self._timer = clock.call_at(clock.now() + while_ns, self._over)

    def _over(self) -> None:
        self._on_over()

    def _records(self, groups: list[Group]) -> Iterator[Batch]:
        rows: dict[int, GroupRow] = {}
        for group in groups:
            _, membership = group.core.history.items[0] if group.core.history.items else (0, None)
            rows[group.number] = GroupRow(group.epoch, group.replica_number, membership)
            yield from _group_records(group)
        machine = self._node.control.machine
        last = Batch()
        manifest = Manifest(
            self._node.options.name, self._node.node_id, self._node.replica_id.rpartition("#")[2], 1,
            int(self._node.settings.election_max_s * SECOND_NS), machine.cluster_id, machine.generation,
            machine.settings, b"", tuple((row.host, row.port) for row in machine.members.values()), rows,
        )  # fmt: skip
        last.put(MANIFEST, encode_manifest(manifest))
        yield last

    def close(self) -> None:
        """Wait for nothing more."""
        if self._timer is not None:
            self._timer.cancel()


def _group_records(group: Group) -> Iterator[Batch]:
    """Return the records of one replica, as its disk would have them: its state now, and all of its log."""
    number, core = group.number, group.core
    first = Batch()
    first.put(hard_key(number), encode_hard_state(number, core.term, core.vote))
    yield first
    log, index = core.log, group.applied_index
    since, membership = core.history.item_at(index)
    if membership is not None and index >= max(1, log.offset):
        dump, parts, size_bytes, is_last = group.replica.begin_dump(), 0, 0, False
        while not is_last:
            data, is_last = dump.next_part()
            batch, key = Batch(), part_key(number, SERIAL, parts)
            batch.put(key, encode_part(key, data))
            parts, size_bytes = parts + 1, size_bytes + len(data)
            yield batch
        dump.close()
        snapshot = Snapshot(index, log.term_at(index), membership, since)
        last, head = Batch(), Head(SERIAL, parts, size_bytes, snapshot, log.offset, log.offset_term)
        last.put(head_key(number), encode_head(number, head))
        yield last
    for at, entry in enumerate(log.entries, log.offset + 1):
        batch, key = Batch(), log_key(number, at)
        batch.put(key, encode_entry(key, entry))
        yield batch


def _pages(batches: Iterator[Batch]) -> Iterator[tuple[Rows, bool]]:
    """Join records to pages; the last one is marked."""
    page: Rows = []
    size_bytes = 0
    for batch in batches:
        if page and size_bytes + batch.size_bytes > PAGE_BYTES:
            yield page, False
            page, size_bytes = [], 0
        page += [[key, value] for key, _, value in batch.changes]
        size_bytes += batch.size_bytes
    yield page, True
