"""The book: one batch a turn, in order, and back again; nothing is told before it is durable."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from casty.cluster.multiraft.host import Write
from casty.consensus import Entry, Membership, Snapshot
from casty.durable.book import Book
from casty.durable.records import Corrupt, Manifest, decode_manifest, log_key
from casty.errors import DiskError, DiskFull
from casty.ports import Device
from casty.storage import MemoryStorage

MEMBERS = Membership(("a#1", "b#2"))
EMPTY = Manifest("shop", "a", "1", 1, 0, "", 0, {}, b"", (), {})


class Shelf(Device):
    """A device in memory that is as slow as the test wants."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.waiting: list[tuple[Any, Callable[[DiskError | None], None]]] = []
        self.batches = 0
        self.error: DiskError | None = None

    async def open(self) -> None:
        self.error = None

    def commit(
        self, changes: Sequence[tuple[bytes, bytes | None, bytes]], done: Callable[[DiskError | None], None]
    ) -> None:
        self.waiting.append((list(changes), done))

    def sync(self, count: int = 1_000) -> None:
        while self.waiting and count:
            changes, done = self.waiting.pop(0)
            count -= 1
            self.batches += 1
            for key, behind, value in changes if self.error is None else ():
                if behind is None:
                    self.rows[key] = value
                else:
                    self.rows = {known: row for known, row in self.rows.items() if not key <= known < behind}
            done(self.error)

    async def read(self, first: bytes, behind: bytes, most: int = 0) -> list[tuple[bytes, bytes]]:
        self.sync()
        keys = sorted(self.rows)
        keys = keys[bisect_left(keys, first) : bisect_left(keys, behind)]
        return [(key, self.rows[key]) for key in (keys[:most] if most else keys)]

    def close(self) -> None:
        self.sync()


class Bench:
    def __init__(self) -> None:
        self.device = Shelf()
        self.book = Book(self.device, EMPTY, MemoryStorage())
        self.done: list[str] = []

    def write(
        self, name: str, group: int = 1, *, hard: tuple[int, str | None] | None = None, first: int = 0,
        entries: Sequence[Entry] = (), snapshot: Snapshot | None = None,
    ) -> None:  # fmt: skip
        write = Write(group, 7, hard, first, entries, snapshot)
        self.book.persist([write], lambda: self.done.append(name))

    async def again(self) -> Book:
        """Start anew with what is on the disk."""
        self.device.waiting.clear()
        return Book(self.device, decode_manifest(self.device.rows[b"m"]), MemoryStorage())


def entries(term: int, count: int, size: int = 1) -> list[Entry]:
    return [Entry(term, 0, bytes(size)) for _ in range(count)]


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.book.begin(1, 7, 0, MEMBERS)
    return made


def test_nothing_is_told_before_it_is_durable_and_everything_in_order(bench: Bench) -> None:
    bench.write("vote", hard=(3, "b#2"))
    bench.write("entries", first=1, entries=entries(3, 2))
    bench.write("nothing of its own")
    assert not bench.done
    bench.device.sync(1)
    assert bench.done == ["vote"]
    bench.device.sync()
    assert bench.done == ["vote", "entries", "nothing of its own"]


def test_who_has_nothing_to_write_waits_for_nothing_but_what_is_on_its_way(bench: Bench) -> None:
    bench.write("begin")
    bench.device.sync()
    bench.write("free")
    assert bench.done == ["begin", "free"] and bench.device.batches == 1


async def test_a_group_comes_back_as_it_was(bench: Bench) -> None:
    bench.write("all", hard=(3, "b#2"), first=1, entries=entries(3, 3))
    bench.device.sync()
    stored = await (await bench.again()).load(1)
    assert (stored.restored.term, stored.restored.vote) == (3, "b#2")
    assert len(stored.restored.entries) == 3 and stored.row.membership == MEMBERS


async def test_what_was_not_synced_is_not_there_and_the_rest_is(bench: Bench) -> None:
    bench.write("first", hard=(1, None), first=1, entries=entries(1, 2))
    bench.device.sync()
    bench.write("second", hard=(2, "a#1"), first=3, entries=entries(2, 2))
    stored = await (await bench.again()).load(1)
    assert stored.restored.term == 1 and len(stored.restored.entries) == 2


async def test_entries_that_are_replaced_take_those_behind_them_along(bench: Bench) -> None:
    bench.write("old", hard=(1, None), first=1, entries=entries(1, 9))
    bench.write("new", hard=(2, None), first=4, entries=entries(2, 1))
    bench.device.sync()
    stored = await (await bench.again()).load(1)
    assert [one.term for one in stored.restored.entries] == [1, 1, 1, 2]


async def test_a_state_that_comes_in_stands_for_the_log_once_it_is_whole(bench: Bench) -> None:
    bench.write("log", hard=(2, None), first=1, entries=entries(1, 3))
    bench.book.keep_part(1, "incoming", b"one")
    bench.book.keep_part(1, "incoming", b"two")
    bench.write("parts")
    bench.device.sync()
    assert len((await (await bench.again()).load(1)).restored.entries) == 3, "it is not whole"
    bench.write("whole", snapshot=Snapshot(8, 2, MEMBERS))
    bench.write("more", first=9, entries=entries(2, 1))
    bench.device.sync()
    book = await bench.again()
    stored = await book.load(1)
    assert stored.head is not None and stored.restored.snapshot == Snapshot(8, 2, MEMBERS)
    assert stored.restored.offset == 8 and len(stored.restored.entries) == 1
    assert [part async for part in book.parts(1, stored.head)] == [b"one", b"two"]


async def test_an_own_state_takes_the_place_of_the_log_with_its_last_part(bench: Bench) -> None:
    bench.book.limit(4, 1 << 20)
    bench.write("log", hard=(1, None), first=1, entries=entries(1, 6))
    assert bench.book.is_log_long(1)
    bench.book.keep_part(1, "own", b"state")
    bench.book.flush(lambda: None)
    bench.device.sync()
    assert len((await (await bench.again()).load(1)).restored.entries) == 6
    bench.book.finish_own(1, "own", Snapshot(5, 1, MEMBERS), 3, 1)
    bench.book.flush(lambda: None)
    assert not bench.book.is_log_long(1)
    bench.device.sync()
    stored = await (await bench.again()).load(1)
    assert stored.restored.offset == 3 and len(stored.restored.entries) == 3
    assert stored.restored.snapshot == Snapshot(5, 1, MEMBERS)


def test_a_long_state_is_not_written_again_for_a_short_log(bench: Bench) -> None:
    bench.book.limit(4, 1_000)
    bench.book.keep_part(1, "own", bytes(50_000))
    bench.book.finish_own(1, "own", Snapshot(5, 1, MEMBERS), 5, 1)
    bench.write("log", first=6, entries=entries(1, 20, 500))
    assert not bench.book.is_log_long(1), "to write it costs more than to read the log"
    bench.write("log", first=26, entries=entries(1, 80, 500))
    assert bench.book.is_log_long(1)


async def test_a_missing_part_is_found(bench: Bench) -> None:
    bench.book.keep_part(1, "in", b"one")
    bench.book.keep_part(1, "in", b"two")
    bench.write("whole", hard=(2, None), snapshot=Snapshot(8, 2, MEMBERS))
    bench.device.sync()
    gone = next(key for key in bench.device.rows if key[5:6] == b"p")
    del bench.device.rows[gone]
    book = await bench.again()
    head = (await book.load(1)).head
    assert head is not None
    with pytest.raises(Corrupt, match="part 0 is missing"):
        [part async for part in book.parts(1, head)]


async def test_a_replica_that_begins_anew_leaves_nothing_of_the_former_one(bench: Bench) -> None:
    bench.write("log", hard=(3, "b#2"), first=1, entries=entries(3, 3))
    bench.book.begin(1, 7, 1, None)
    bench.book.begin(2, 9, 0, None)
    bench.write("anew")
    bench.device.sync()
    book = await bench.again()
    stored = await book.load(1)
    assert (stored.restored.term, len(stored.restored.entries)) == (0, 0)
    assert stored.row.replica_number == 1 and stored.row.membership is None
    assert list(book.manifest.groups) == [1, 2]


async def test_after_an_error_nobody_is_told_anything_until_it_is_opened_again(bench: Bench) -> None:
    halted: list[DiskError] = []
    bench.book.on_halted = halted.append
    bench.write("good", hard=(1, None))
    bench.device.sync()
    bench.device.error = DiskFull("no room")
    bench.write("lost", hard=(2, None))
    bench.write("too")
    bench.book.begin(5, 9, 0, None)
    synced = asyncio.ensure_future(bench.book.synced())
    await asyncio.sleep(0)
    bench.device.sync()
    assert bench.done == ["good"] and len(halted) == 1
    with pytest.raises(DiskFull):
        await synced
    with pytest.raises(DiskFull):
        bench.write("refused")
    await bench.book.open_again()
    assert list(bench.book.manifest.groups) == [1], "what was not written is not claimed"
    assert (await bench.book.load(1)).restored.term == 1
    bench.write("again", hard=(4, None))
    bench.device.sync()
    assert bench.done == ["good", "again"]


def test_keys_of_a_group_are_its_own(bench: Bench) -> None:
    bench.book.begin(2, 7, 0, MEMBERS)
    bench.write("one", 1, first=1, entries=entries(1, 1))
    bench.write("two", 2, first=1, entries=entries(1, 1))
    bench.book.begin(1, 7, 1, None)
    bench.write("anew", 1)
    bench.device.sync()
    assert log_key(2, 1) in bench.device.rows and log_key(1, 1) not in bench.device.rows
