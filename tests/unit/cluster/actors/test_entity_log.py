"""The log of an entity in its slot: what becomes of a write that is in doubt."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from casty import runtime
from casty.actor.event_store import PersistRefused
from casty.cluster.actors.entity_log import Appender, SlotLog
from casty.cluster.multiraft.proposals import UNKNOWN
from casty.distributed.machines.base import NOT_NEXT, OK, OVERLOADED
from casty.distributed.machines.events import APPEND, OPEN, Home
from casty.errors import JournalConflict, OutcomeUnknown, Overloaded

FULL = [OVERLOADED, "events beside the snapshot", 10_000]


class Slot:
    """A port to a slot that answers as a test says."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[list[Any]] = []

    def slot_of(self, kind: int, entity: bytes) -> int:
        return 0

    def encode(self, value: object) -> bytes:
        return str(value).encode()

    async def command(self, kind: int, entity: bytes, command: Any, *, timeout_s: float) -> Any:
        self.asked.append(list(command))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def log(self) -> SlotLog:
        def propose(slot: int, entry: list[Any], answers: Any, call_id: int) -> bool:
            answers.add(call_id, [UNKNOWN])
            return True

        return SlotLog(cast(Any, self), runtime.current(), Appender(propose), Home("region", 0, "a", "a"))


async def persisted(slot: Slot) -> None:
    await asyncio.wait_for(slot.log().persist(3, ["x"]), 5.0)


async def test_a_write_in_doubt_that_finds_the_log_full_is_refused_and_not_repeated_for_ever() -> None:
    for answers in ((FULL,), (OutcomeUnknown("late"), FULL)):
        slot = Slot(*answers)
        with pytest.raises(PersistRefused) as refused:
            await persisted(slot)
        assert isinstance(refused.value.error, Overloaded)
        assert [asked[0] for asked in slot.asked] == [APPEND] * len(answers)


async def test_a_write_in_doubt_is_repeated_until_the_log_says_what_became_of_it() -> None:
    slot = Slot(Overloaded("no memory now"), OutcomeUnknown("late"), [OK, 4])
    await persisted(slot)
    assert [asked[0] for asked in slot.asked] == [APPEND] * 3
    with pytest.raises(JournalConflict):
        await persisted(Slot(OutcomeUnknown("late"), [NOT_NEXT, 9]))


async def test_an_opening_that_finds_no_room_fails_with_that() -> None:
    slot = Slot(OutcomeUnknown("late"), [OVERLOADED, "max_entities", 5])
    with pytest.raises(Overloaded):
        await asyncio.wait_for(slot.log().open(), 5.0)
    assert [asked[0] for asked in slot.asked] == [OPEN] * 2
