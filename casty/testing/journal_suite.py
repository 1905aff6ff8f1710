"""What every `EventJournal` has to do, as checks that anybody can run over one of their own.

Each check is a coroutine function that takes an empty journal and raises `AssertionError` where it does not do what
`EventJournal` says. `CHECKS` are all of them::

    @pytest.mark.parametrize("check", journal_suite.CHECKS)
    async def test_my_journal(check: journal_suite.Check) -> None:
        await check(MyJournal())
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from casty.errors import EncodingError, JournalConflict
from casty.journal.base import EventJournal, JournalKind, Snapshot

__all__ = ["CHECKS", "Check"]

Check = Callable[[EventJournal], Awaitable[None]]


async def _events(journal: EventJournal, entity_id: str) -> list[tuple[int, object]]:
    return [(row.sequence_nr, row.event) for row in await journal.load(entity_id)]


async def _conflict(writing: Awaitable[None], at: int) -> None:
    """Expect a `JournalConflict` at that number."""
    found: object = "success"
    try:
        await writing
    except JournalConflict as error:
        found = error.sequence_nr
    assert found == at, f"expected JournalConflict at {at}, found {found}"


async def _refused(call: Awaitable[object], kind: type[Exception]) -> None:
    """Expect an error of bad arguments that says what was expected and what was found."""
    text = "success"
    try:
        await call
    except kind as error:
        text = str(error)
    assert "expected" in text and "found" in text, (
        f"expected {kind.__name__} that says all of it, found {text!r}"
    )


async def check_kind(journal: EventJournal) -> None:
    """It says where it stands, and has all methods."""
    assert isinstance(journal, EventJournal)
    assert isinstance(journal.kind, JournalKind)


async def check_empty(journal: EventJournal) -> None:
    """An entity nobody wrote to has no events and no snapshot."""
    assert await journal.load("nobody") == []
    assert await journal.load_snapshot("nobody") is None
    assert await journal.entity_ids() == []


async def check_order(journal: EventJournal) -> None:
    """Events are numbered from 1 without gaps, in the order they were appended."""
    await journal.persist("a", ["one", "two"], 0)
    await journal.persist("a", ["three"], 2)
    assert await _events(journal, "a") == [(1, "one"), (2, "two"), (3, "three")]


async def check_range(journal: EventJournal) -> None:
    """`load` begins with the number it is given, and stops at its limit."""
    await journal.persist("a", list(range(1, 11)), 0)
    assert [row.event for row in await journal.load("a", 8)] == [8, 9, 10]
    assert [row.event for row in await journal.load("a", 3, limit=2)] == [3, 4]
    assert await journal.load("a", 0, limit=1) == await journal.load("a", 1, limit=1)
    assert await journal.load("a", 11) == []


async def check_apart(journal: EventJournal) -> None:
    """Entities do not see each other, whatever their ids look like."""
    ids = ["a", "A", "a ", "a/b", "a\x00b", "á", "a%", "a_", "\U0001f512", "x" * 1_000]
    for number, entity_id in enumerate(ids):
        await journal.persist(entity_id, [number], 0)
    assert [await _events(journal, entity_id) for entity_id in ids] == [
        [(1, number)] for number in range(len(ids))
    ]


async def check_values(journal: EventJournal) -> None:
    """Values come back as what they were, and changing one afterwards changes nothing on record."""
    event: list[Any] = [None, True, -(2**70), 1.5, "text", b"bytes", (1, 2), {"key": [3]}, {4, 5}]
    kept = list(event)
    await journal.persist("a", [event], 0)
    event.append("later")
    (row,) = await journal.load("a")
    assert row.event == kept
    assert type(row.event) is list and type(row.event[6]) is tuple
    assert row.timestamp > 0


async def check_stale_writer(journal: EventJournal) -> None:
    """A writer that does not know of an event is refused, and changes nothing."""
    await journal.persist("a", ["one", "two"], 0)
    await _conflict(journal.persist("a", ["other"], 0), 1)
    await _conflict(journal.persist("a", ["other"], 1), 2)
    await _conflict(journal.persist("a", ["two", "other"], 0), 1)
    await _conflict(journal.persist("a", ["one", "other", "three"], 0), 2)
    assert await _events(journal, "a") == [(1, "one"), (2, "two")]


async def check_gap(journal: EventJournal) -> None:
    """A writer that knows of events that are not there is refused."""
    await _conflict(journal.persist("a", ["three"], 2), 2)
    await journal.persist("a", ["one"], 0)
    await _conflict(journal.persist("a", ["three"], 2), 2)
    assert await _events(journal, "a") == [(1, "one")]


async def check_repeated(journal: EventJournal) -> None:
    """What is there already under the same numbers with the same bytes is success, once."""
    await journal.persist("a", ["one", "two"], 0)
    await journal.persist("a", ["one", "two"], 0)
    await journal.persist("a", ["one"], 0)
    await journal.persist("a", ["two", "three"], 1)
    assert await _events(journal, "a") == [(1, "one"), (2, "two"), (3, "three")]


async def check_nothing(journal: EventJournal) -> None:
    """To append nothing is success where the writer is not ahead, and leaves no trace."""
    await journal.persist("a", [], 0)
    assert await journal.entity_ids() == []


async def check_all_or_none(journal: EventJournal) -> None:
    """A batch of which one event cannot be encoded is not written at all."""
    await _raises(journal.persist("a", ["one", object()], 0), EncodingError)
    assert await journal.load("a") == []


async def _raises(call: Awaitable[object], kind: type[Exception]) -> None:
    try:
        await call
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__}, found success")


async def check_racing_writers(journal: EventJournal) -> None:
    """Of writers that know the same and append at the same time one succeeds, and the others are told."""
    writes = [journal.persist("a", [f"writer {number}"], 0) for number in range(8)]
    results = await asyncio.gather(*writes, return_exceptions=True)
    winners = [number for number, result in enumerate(results) if result is None]
    assert len(winners) == 1, f"expected one winner, found {winners}"
    assert all(result is None or isinstance(result, JournalConflict) for result in results), results
    assert await _events(journal, "a") == [(1, f"writer {winners[0]}")]


async def check_racing_repeats(journal: EventJournal) -> None:
    """Writers that append the same at the same time all succeed, and it is there once."""
    writes = [journal.persist("a", ["one", "two"], 0) for _ in range(8)]
    await asyncio.gather(*writes)
    assert await _events(journal, "a") == [(1, "one"), (2, "two")]


async def check_many(journal: EventJournal) -> None:
    """Many entities at a time, each in its own order."""
    for number in range(3):
        await asyncio.gather(*[journal.persist(f"e{entity}", [number], number) for entity in range(40)])
    for entity in range(40):
        assert await _events(journal, f"e{entity}") == [(1, 0), (2, 1), (3, 2)]


async def check_large(journal: EventJournal) -> None:
    """An event of a megabyte, and a thousand of them in one batch of small ones."""
    large = bytes(range(256)) * 4_096
    await journal.persist("large", [large], 0)
    await journal.persist("long", list(range(1_000)), 0)
    assert await _events(journal, "large") == [(1, large)]
    assert [row.event for row in await journal.load("long")] == list(range(1_000))


async def check_cancelled(journal: EventJournal) -> None:
    """A cancelled write was done once or not at all, and may be repeated."""
    task = asyncio.ensure_future(journal.persist("a", ["one", "two"], 0))
    await asyncio.gather(journal.persist("b", ["other"], 0))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await _events(journal, "a") in ([], [(1, "one"), (2, "two")])
    await journal.persist("a", ["one", "two"], 0)
    assert await _events(journal, "a") == [(1, "one"), (2, "two")]


async def check_snapshots(journal: EventJournal) -> None:
    """The latest snapshot is kept; an older one changes nothing."""
    await journal.persist("a", ["one", "two", "three"], 0)
    await journal.save_snapshot("a", Snapshot(2, {"total": 2}, 1_000.0))
    assert await journal.load_snapshot("a") == Snapshot(2, {"total": 2}, 1_000.0)
    await journal.save_snapshot("a", Snapshot(3, {"total": 3}, 1_001.0))
    await journal.save_snapshot("a", Snapshot(1, {"total": 1}, 1_002.0))
    assert await journal.load_snapshot("a") == Snapshot(3, {"total": 3}, 1_001.0)
    assert await journal.load_snapshot("b") is None
    assert len(await journal.load("a")) == 3


async def check_snapshot_ahead(journal: EventJournal) -> None:
    """A snapshot of events that are not on record is refused."""
    await _conflict(journal.save_snapshot("a", Snapshot(1, "state", 0.0)), 1)
    await journal.persist("a", ["one"], 0)
    await _conflict(journal.save_snapshot("a", Snapshot(2, "state", 0.0)), 2)
    assert await journal.load_snapshot("a") is None


async def check_ids(journal: EventJournal) -> None:
    """Ids are listed by prefix, in pages, sorted by code points."""
    ids = [
        "counter:a",
        "map:users:00",
        "map:users:01",
        "map:users:ff",
        "map:users",
        "map:usert:00",
        "q\U0001f512",
        "é",
    ]
    for entity_id in reversed(ids):
        await journal.persist(entity_id, ["event"], 0)
    assert await journal.entity_ids() == sorted(ids)
    assert await journal.entity_ids("map:users:") == ["map:users:00", "map:users:01", "map:users:ff"]
    assert await journal.entity_ids("map:users:", limit=2) == ["map:users:00", "map:users:01"]
    assert await journal.entity_ids("map:users:", after="map:users:01", limit=2) == ["map:users:ff"]
    assert await journal.entity_ids("map:users:", after="z") == []
    assert await journal.entity_ids("none") == []
    assert await journal.entity_ids("m", after="a", limit=1) == ["map:users"]


async def check_arguments(journal: EventJournal) -> None:
    """Bad arguments are refused before anything is written, and the text says what was expected."""
    wrong: Any = 5
    await _refused(journal.persist(wrong, ["one"], 0), TypeError)
    await _refused(journal.persist("", ["one"], 0), ValueError)
    await _refused(journal.persist("a", wrong, 0), TypeError)
    await _refused(journal.persist("a", "text", 0), TypeError)
    await _refused(journal.persist("a", ["one"], -1), ValueError)
    await _refused(journal.load("a", -1), ValueError)
    await _refused(journal.load("a", limit=0), ValueError)
    await _refused(journal.load(""), ValueError)
    await _refused(journal.save_snapshot("a", wrong), TypeError)
    await _refused(journal.save_snapshot("a", Snapshot(0, "state", 0.0)), ValueError)
    await _refused(journal.load_snapshot(""), ValueError)
    await _refused(journal.entity_ids(wrong), TypeError)
    await _refused(journal.entity_ids(limit=0), ValueError)
    assert await journal.load("a") == []


CHECKS: tuple[Check, ...] = (
    check_kind, check_empty, check_order, check_range, check_apart, check_values, check_stale_writer, check_gap,
    check_repeated, check_nothing, check_all_or_none, check_racing_writers, check_racing_repeats, check_many,
    check_large, check_cancelled, check_snapshots, check_snapshot_ahead, check_ids, check_arguments,
)  # fmt: skip
"""All checks; each wants an empty journal of its own."""
