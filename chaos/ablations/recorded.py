"""Planted bugs of structures on record: what the gateway, the slot and the journal owe each other."""

from __future__ import annotations

from typing import Any

from casty.cluster.slots.records import SlotRecords
from casty.distributed.machines.counter import ADD, CounterStructure
from casty.distributed.machines.record import RecordStructure
from casty.distributed.recording import tokens
from casty.distributed.recording.gateway import JournaledPort
from casty.distributed.recording.recorder import Recorder
from casty.distributed.recording.whole_maps import WholeMaps
from casty.journal.memory import InMemoryJournal

from .bug import Planted, bug_in, shown

__all__ = ["RECORDED_BUGS"]

JOURNAL = "journal"
_JOURNALED = "tests/cluster/test_journaled.py"


async def _at_once(recorder: Any, number: int, own: Any, deadline: Any) -> None:
    """Whoever changed something hears of it before the journal does; the change follows, if its gateway lives."""
    del deadline
    if own is not None and number > recorder.recorded:
        recorder._known[number] = own


def _only_own(sound: Any) -> Any:
    async def until(recorder: Any, number: int, own: Any, deadline: Any) -> None:
        """Whoever only reads waits for nobody's changes."""
        if own is not None:
            await sound(recorder, number, own, deadline)

    return until


def _nothing_to_fetch(_sound: Any) -> Any:
    async def fetch(recorder: Any) -> None:
        """What others did is theirs to put on record: it is passed over."""
        recorder._passed(min(recorder._known, default=max(number for number, _ in recorder._waiting) + 1) - 1)

    return fetch


def _takes_any_number(sound: Any) -> Any:
    async def persist(journal: Any, entity_id: str, events: Any, _expected: int) -> None:
        """Whoever writes last is right, whatever it knows."""
        await sound(journal, entity_id, events, len(journal._events.get(entity_id, [])))

    return persist


def _untold(sound: Any) -> Any:
    async def told(port: Any, kind: int, entity: bytes, life: bytes, history: Any) -> Any:
        """A restoration that leaves no trace: gateways of an earlier life can go on writing."""
        return history if history.number else await sound(port, kind, entity, life, history)

    return told


def _read_afterwards(sound: Any) -> Any:
    async def told(port: Any, kind: int, entity: bytes, life: bytes, _history: Any) -> Any:
        """The history is read when the life began: what was done in it meanwhile is taken for an earlier life's."""
        return await sound(port, kind, entity, life, await port._history(kind, entity))

    return told


def _any_step(sound: Any) -> Any:
    def restore(records: Any, caller: Any, key: Any, command: Any, record: Any) -> Any:
        """A part is applied as often as it is sent."""
        if record.life == command[2]:
            record.is_live, record.step = False, command[3]
        return sound(records, caller, key, command, record)

    return restore


def _seen_half(sound: Any) -> Any:
    def query(records: Any, key: Any, asked: Any) -> Any:
        """An entity that is being restored is seen by everybody, as far as it is."""
        record = records._of(key)
        if record is None or record.is_live:
            return sound(records, key, asked)
        record.is_live = True
        try:
            return sound(records, key, asked)
        finally:
            record.is_live = False

    return query


def _without_tail(sound: Any) -> Any:
    def freeze(structure: Any, state: Any) -> Any:
        """A snapshot of a record without what is not on record yet."""
        frozen = sound(structure, state)
        return frozen._replace(tables=([],))

    return freeze


def _nobody_asks(_port: Any, _cluster: Any) -> None:
    """Whichever cluster is there now confirms what a former one answered."""


def _names_of_all(sound: Any) -> Any:
    async def pages(maps: Any, kind: int, prefix: bytes, with_values: bool, timeout_s: Any) -> Any:
        """Whatever has a name in the cluster or on record is a key."""
        if not with_values:
            yield [(name, None) for name in await maps.scan(kind, prefix, timeout_s)]
            return
        async for page in sound(maps, kind, prefix, with_values, timeout_s):
            yield page

    return pages


async def _nothing_restored(
    _maps: Any, _is_key: bool, _prefix: bytes, _cluster: Any, _timeout_s: Any
) -> None:
    """Who watches hears of what the cluster has."""


async def _noted_by_nobody(_port: Any, _kind: int, _entity: bytes, _number: int) -> None:
    """The slot is not told that the end of an entity is on record."""


def _added_up(_counters: Any, state: int) -> list[Any]:
    return [[ADD, state]]


def _own_generation(_last: Any, cluster: Any) -> int:
    return int(cluster[0])


RECORDED_BUGS = (
    Planted("reply-before-journal", "commit, journal, reply", JOURNAL, Recorder, "until", _at_once),
    bug_in("reads-off-the-record", "commit, journal, reply", JOURNAL, Recorder, "until", _only_own),
    bug_in("tail-not-fetched", "everybody's tail", JOURNAL, Recorder, "_fetch", _nothing_to_fetch),
    bug_in("stale-writer-accepted", "one writer of a number", JOURNAL, InMemoryJournal, "persist", _takes_any_number),
    bug_in("life-not-told", "one life at a time", JOURNAL, JournaledPort, "_told", _untold),
    bug_in("life-told-twice", "one beginning of a life", JOURNAL, JournaledPort, "_told", _read_afterwards, True),
    bug_in("restored-twice", "restored once", JOURNAL, SlotRecords, "_restore", _any_step),
    bug_in("half-restored-seen", "restored before it is seen", JOURNAL, SlotRecords, "query", _seen_half, is_hard=True),
    bug_in("tail-not-in-snapshot", "snapshot of records", JOURNAL, RecordStructure, "freeze", _without_tail),
    shown(
        Planted("floor-forgotten", "tokens over lives", JOURNAL, tokens, "next_floor", _own_generation),
        f"{_JOURNALED}::test_tokens_grow_though_the_wall_clock_went_back",
    ),
    shown(
        Planted("confirmed-by-the-next", "one cluster", JOURNAL, JournaledPort, "_check_still", _nobody_asks, True),
        "tests/cluster/test_journaled_queues.py::test_what_a_lost_cluster_answered_is_not_confirmed_by_the_next_one",
    ),
    shown(
        bug_in("keys-of-the-deleted", "keys of a map on record", JOURNAL, WholeMaps, "pages", _names_of_all),
        f"{_JOURNALED}::test_keys_that_were_deleted_or_ended_are_no_keys",
    ),
    shown(
        Planted("ends-kept-for-ever", "records go", JOURNAL, JournaledPort, "_note", _noted_by_nobody),
        f"{_JOURNALED}::test_nothing_is_kept_of_a_key_that_was_seen_to_have_ended",
    ),
    shown(
        Planted("watched-as-it-began", "watches on record", JOURNAL, WholeMaps, "_restore", _nothing_restored),
        f"{_JOURNALED}::test_a_watch_begins_with_what_is_on_record",
    ),
    shown(
        Planted("too-long-to-restore", "restored as it was", JOURNAL, CounterStructure, "rebuild", _added_up),
        "tests/unit/distributed/machines/test_decide.py::"
        "test_a_counter_that_is_longer_than_any_number_of_a_call_can_be_restored",
    ),
)  # fmt: skip
"""All of them."""
