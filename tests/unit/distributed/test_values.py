"""Values as structures take and give them: nothing is lost that cannot be decoded, and one notion of equality."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from casty.distributed.facade import Distributed
from casty.distributed.machines.base import MAP, QUEUE
from casty.distributed.machines.queue_shapes import ENQUEUE
from casty.distributed.recording.gateway import JournaledPort
from casty.errors import EncodingError, NotStarted, Unavailable, Undecodable
from casty.journal.memory import InMemoryJournal
from casty.wire.codec import default_codec
from tests.unit.distributed.machine import FakeGateway, FakePort, Slot

STRANGE = b"\x93\x05\xa9no:Class\x80"
"""A record of a class that nobody has."""


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway(Slot(), 1)


async def enqueued(gateway: FakeGateway) -> Any:
    jobs = Distributed(gateway).queue[Any]("jobs")
    await gateway.structures.command(QUEUE, b"jobs", [1, STRANGE], timeout_s=1)
    await jobs.enqueue("next")
    return jobs


async def test_an_item_that_cannot_be_decoded_stays_the_first(gateway: FakeGateway) -> None:
    jobs = await enqueued(gateway)
    for _ in range(2):
        with pytest.raises(EncodingError, match=r"queue 'jobs'.*nothing was changed.*no:Class") as caught:
            await jobs.dequeue()
        assert isinstance(caught.value, Undecodable)
        assert (caught.value.data, caught.value.was_applied) == (STRANGE, False)
        assert await jobs.size() == 2
    with pytest.raises(Undecodable):
        await jobs.peek()
    other = Distributed(gateway).queue[Any]("jobs")
    gateway.structures.decode = lambda data: (
        "known there" if data == STRANGE else default_codec().decode(data)
    )
    assert [await other.dequeue(), await other.dequeue(), await other.dequeue()] == [
        "known there",
        "next",
        None,
    ]


class NotToday(Exception):
    """An error of a user's own, of no kind that the library knows."""


@dataclass
class Checked:
    """Refuses to be made while `is_refused`, as a newer version of its class may."""

    a: int
    is_refused: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.is_refused:
            raise NotToday


async def test_an_item_whose_class_raises_an_error_of_its_own_stays_the_first(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Distributed(gateway).queue[Any]("jobs")
    await jobs.enqueue(Checked(1))
    monkeypatch.setattr(Checked, "is_refused", True)
    with pytest.raises(Undecodable, match="NotToday"):
        await jobs.dequeue()
    monkeypatch.undo()
    assert await jobs.dequeue() == Checked(1)


async def test_what_cannot_be_put_back_is_in_the_error(gateway: FakeGateway) -> None:
    jobs = await enqueued(gateway)

    def cut_off(data: bytes) -> object:
        gateway.structures.cut_off()
        return default_codec().decode(data)

    gateway.structures.decode = cut_off
    with pytest.raises(Undecodable, match="not put back") as caught:
        await jobs.dequeue()
    assert (caught.value.data, caught.value.was_applied) == (STRANGE, True)
    assert isinstance(caught.value.__cause__, Undecodable)
    assert isinstance(caught.value.__context__, Unavailable)


async def test_a_previous_value_that_cannot_be_decoded_is_in_the_error(gateway: FakeGateway) -> None:
    users = Distributed(gateway).map[str, Any]("users")
    await users.put("a", 1)
    entity = next(key for kind, key in gateway.structures.slot.entities if kind == MAP)
    await gateway.structures.command(MAP, entity, [1, STRANGE], timeout_s=1)
    with pytest.raises(Undecodable, match="nothing was changed") as read:
        await users.get("a")
    assert (read.value.data, read.value.was_applied) == (STRANGE, False)
    with pytest.raises(Undecodable, match="the call was applied") as written:
        await users.put("a", 2)
    assert (written.value.data, written.value.was_applied) == (STRANGE, True)
    assert await users.get("a") == 2


async def test_a_fenced_value_that_cannot_be_decoded(gateway: FakeGateway) -> None:
    fence = Distributed(gateway).fence("f")
    await fence.write(1, "x")
    gateway.structures.decode = lambda data: default_codec().decode(STRANGE)
    with pytest.raises(Undecodable):
        await fence.read()


def test_the_error_travels() -> None:
    error = pickle.loads(pickle.dumps(Undecodable("text", b"data", True)))
    assert (str(error), error.data, error.was_applied) == ("text", b"data", True)


@dataclass(frozen=True)
class Tagged:
    tags: frozenset[str]
    extra: dict[str, int]


EQUAL = [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    (Tagged(frozenset("ab"), {"x": 1, "y": 2}), Tagged(frozenset("ba"), {"y": 2, "x": 1})),
    (0.0, -0.0),
    ([{"k": {1: "x", 2: "y"}}], [{"k": {2: "y", 1: "x"}}]),
]


@pytest.mark.parametrize(("stored", "expected"), EQUAL)
async def test_values_are_compared_as_keys_are(gateway: FakeGateway, stored: Any, expected: Any) -> None:
    values = Distributed(gateway).map[str, Any]("values")
    await values.put("key", stored)
    assert await values.compare_and_set("key", expected, "new") is True
    assert await values.get("key") == "new"


@pytest.mark.parametrize("expected", [1.0, True, "1", None, [1]])
async def test_values_of_other_types_are_others(gateway: FakeGateway, expected: Any) -> None:
    values = Distributed(gateway).map[str, Any]("values")
    await values.put("key", 1)
    assert await values.compare_and_set("key", expected, "new") is False
    assert await values.compare_and_set("absent", expected, "new") is False
    assert await values.get("key") == 1


async def test_a_value_that_changes_while_it_is_compared(gateway: FakeGateway) -> None:
    values = Distributed(gateway).map[str, Any]("values")
    await values.put("key", {"a": 1, "b": 2})
    port = gateway.structures
    read, changes = port.read, [{"b": 2, "a": 1, "c": 3}, {"a": 1, "b": 2}]

    async def reading(kind: int, entity: bytes, query: Any, *, timeout_s: float | None) -> Any:
        reply = await read(kind, entity, query, timeout_s=timeout_s)
        if changes:
            await port.command(MAP, entity, [1, port.encode(changes.pop())], timeout_s=1)
        return reply

    port.read = reading  # type: ignore[method-assign]
    assert await values.compare_and_set("key", {"b": 2, "a": 1}, "new") is True
    await values.put("key", {"a": 1})
    changes.append({"z": 1})
    assert await values.compare_and_set("key", {"b": 2, "a": 1}, "new") is False


async def test_nothing_equals_a_nan(gateway: FakeGateway) -> None:
    values = Distributed(gateway).map[str, Any]("values")
    await values.put("key", float("nan"))
    with pytest.raises(EncodingError, match="NaN"):
        await values.compare_and_set("key", float("nan"), 1)
    assert await values.compare_and_set("key", 1.0, 1) is False


class Left:
    """A gateway whose owner leaves as soon as a call was answered, before the caller goes on."""

    def __init__(self) -> None:
        self.slot = Slot()
        self.port = FakePort(self.slot, 1)
        self.is_left = False
        self._command, self.port.command = self.port.command, self._leaving  # type: ignore[method-assign]

    async def _leaving(self, *args: Any, **more: Any) -> Any:
        reply = await self._command(*args, **more)
        self.is_left = True
        return reply

    @property
    def structures(self) -> FakePort:
        if self.is_left:
            raise NotStarted("the gateway is closed")
        return self.port


async def test_a_call_that_was_answered_before_its_client_was_left_returns_its_value() -> None:
    """The item is gone: an error that says that nothing was applied would lose it."""
    gateway: Any = Left()
    jobs = Distributed(gateway).queue[str]("jobs")
    gateway.slot.apply(2, 1, (QUEUE, b"jobs"), [ENQUEUE, gateway.port.encode("a")])
    assert await jobs.dequeue() == "a"
    assert gateway.is_left
    with pytest.raises(NotStarted):
        await jobs.dequeue()


async def test_a_port_with_a_journal_decodes_what_came_before_its_client_was_left() -> None:
    gateway: Any = Left()
    port = JournaledPort(gateway, InMemoryJournal())
    data = port.encode("a")
    gateway.is_left = True
    assert port.decode(data) == "a"
    with pytest.raises(NotStarted):
        port.encode("b")
