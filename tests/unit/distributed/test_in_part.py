"""Calls of several steps: an error that says that nothing was applied is raised only where no step was."""

from __future__ import annotations

from typing import Any

import pytest

from casty.distributed.facade import Distributed
from casty.distributed.machines.base import DESTROY, MAP, QUEUE
from casty.distributed.machines.map import map_label
from casty.distributed.machines.queue_shapes import MAX_REQUEUED, REQUEUE
from casty.distributed.map import SWEEP
from casty.errors import JournalError, NotStarted, OutcomeUnknown, Unavailable
from casty.wire.pack import pack
from tests.unit.distributed.machine import FakeGateway, Slot


class Failing:
    """Makes the commands of one kind and operation fail, but for the first few."""

    def __init__(
        self, gateway: FakeGateway, kind: int, operation: int, works: int, *errors: Exception
    ) -> None:
        self._inner = gateway.structures.command
        self._of = (kind, operation)
        self._works = works
        self._errors = list(errors)
        gateway.structures.command = self.command  # type: ignore[method-assign]

    async def command(self, kind: int, entity: bytes, command: Any, *, timeout_s: float | None) -> Any:
        if (kind, command[0]) == self._of:
            self._works -= 1
            if self._works < 0:
                raise self._errors.pop(0) if len(self._errors) > 1 else self._errors[0]
        return await self._inner(kind, entity, command, timeout_s=timeout_s)


@pytest.mark.parametrize("works", [1, SWEEP], ids=["of a sweep", "of the sweep before"])
@pytest.mark.parametrize(
    "error", [Unavailable("no route"), NotStarted("left"), JournalError("refused")], ids=repr
)
async def test_a_map_that_is_destroyed_in_part_is_not_said_to_be_untouched(
    works: int, error: Exception
) -> None:
    gateway = FakeGateway(Slot(), 1)
    users = Distributed(gateway).map[int, int]("users")
    for key in range(SWEEP + 1):
        await users.put(key, key)
    Failing(gateway, MAP, DESTROY, works, error)
    with pytest.raises(OutcomeUnknown, match="map 'users': some keys are deleted, others are not") as caught:
        await users.clear()
    assert caught.value.__cause__ is error
    assert not await users.contains(0)


async def test_a_map_of_which_no_key_was_deleted_is_untouched() -> None:
    gateway = FakeGateway(Slot(), 1)
    users = Distributed(gateway).map[int, int]("users")
    for key in range(3):
        await users.put(key, key)
    Failing(gateway, MAP, DESTROY, 0, Unavailable("no route"))
    with pytest.raises(Unavailable, match="no route"):
        await users.destroy()


async def test_a_key_in_doubt_makes_the_whole_map_be_so() -> None:
    gateway = FakeGateway(Slot(), 1)
    users = Distributed(gateway).map[int, int]("users")
    for key in range(3):
        await users.put(key, key)
    unknown = OutcomeUnknown("no answer")
    Failing(gateway, MAP, DESTROY, 0, Unavailable("no route"), unknown)
    with pytest.raises(OutcomeUnknown) as caught:
        await users.destroy()
    assert caught.value is unknown


@pytest.mark.parametrize("works", [0, 1])
async def test_dead_letters_that_are_requeued_in_part_are_not_said_to_be_where_they_were(works: int) -> None:
    gateway = FakeGateway(Slot(), 1)
    dead = Distributed(gateway).queue[int]("jobs").dead_letters
    error = Unavailable("no route")

    async def moves(kind: int, entity: bytes, command: Any, *, timeout_s: float | None) -> Any:
        return [0, command[1]]

    gateway.structures.command = moves  # type: ignore[method-assign]
    Failing(gateway, QUEUE, REQUEUE, works, error)
    with pytest.raises(OutcomeUnknown if works else Unavailable) as caught:
        await dead.requeue(2 * MAX_REQUEUED)
    assert (caught.value.__cause__ if works else caught.value) is error


@pytest.mark.parametrize("name", ["users", "a" * 40, "a" * 300, "Straße"])
def test_errors_name_a_map_whether_one_key_is_asked_for_or_all(name: str) -> None:
    of_all = pack([name, b""])[: -len(pack(b""))]
    assert map_label(of_all + pack(b"key")) == map_label(of_all) == f"{name!r:.100}"
    assert map_label(b"\xc1") == "b'\\xc1'", "what is no map's is shown as it is"
