"""Queues on record: what waiting calls, reservations and dead letters leave in the journal."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty import Queue
from casty.distributed.recording.gateway import JournaledPort
from casty.errors import NotOnRecord
from tests.cluster.test_journaled import RunRecorder, run


def test_items_are_there_again_and_reservations_are_not() -> None:
    async def body(recorder: RunRecorder) -> None:
        jobs: Queue[str] = (await recorder.user("first")).queue[str]("jobs", maxsize=9, max_deliveries=2)
        waiting = asyncio.ensure_future(jobs.get(timeout=30.0))
        await asyncio.sleep(0.5)
        for name in ("got", "acked", "held", "poison", "free"):
            await jobs.put(name)
        assert await waiting == "got"
        acked, held = await jobs.reserve(), await jobs.reserve(visibility_s=600.0)
        assert (acked.item, held.item) == ("acked", "held")
        for _ in range(2):
            poison = await jobs.reserve()
            assert (poison.item, await poison.nack()) == ("poison", True)
        assert await acked.ack() is True
        assert [await jobs.size(), await jobs.reserved(), await jobs.dead_letters.size()] == [1, 1, 1]
        await recorder.lose_memory()
        again: Queue[str] = (await recorder.user("second")).queue[str]("jobs", maxsize=9, max_deliveries=2)
        assert [await again.size(), await again.reserved(), await again.dead_letters.peek()] == [
            2,
            0,
            "poison",
        ]
        back = await again.reserve()
        assert (back.item, back.deliveries) == ("held", 1), "deliveries are not on record"
        assert [await again.get(), await again.dequeue(), await again.dead_letters.dequeue()] == [
            "free",
            None,
            "poison",
        ]
        assert await held.ack() is False
        assert await back.ack() is True
        await recorder.lose_memory()
        third: Queue[str] = (await recorder.user("third")).queue[str]("jobs")
        assert [await third.size(), await third.dead_letters.size()] == [0, 0]

    run(body)


def test_an_item_that_is_not_confirmed_to_be_on_record_is_given_back() -> None:
    async def body(recorder: RunRecorder) -> None:
        jobs = (await recorder.user("first")).queue[str]("jobs", timeout=2.0)
        for name in ("a", "b"):
            await jobs.enqueue(name)
        recorder.journal.is_failing = True
        for call in (jobs.get, jobs.dequeue):
            with pytest.raises(NotOnRecord):
                await call()
        recorder.journal.is_failing = False

        async def there() -> list[str | None]:
            return [await jobs.dequeue(), await jobs.dequeue()]

        for _ in range(100):
            if await jobs.size() == 2:
                break
            await asyncio.sleep(0.1)
        assert await there() == ["a", "b"]

    run(body)


def test_others_than_its_users_change_it_as_well() -> None:
    """A client without the journal, and the end of a session, leave what they did in the tail."""

    async def body(recorder: RunRecorder) -> None:
        jobs = (await recorder.user("first")).queue[str]("jobs", max_deliveries=1)
        await jobs.enqueue("a")
        plain = await recorder.client("plain")
        queue = plain.distributed().queue[str]("jobs")
        await queue.enqueue("b")
        assert (await queue.reserve(visibility_s=600.0)).item == "a"
        recorder.world.crash("plain")
        assert await jobs.get(timeout=20.0) == "b"
        for _ in range(200):
            if await jobs.dead_letters.size():
                break
            await asyncio.sleep(0.1)
        assert await jobs.dead_letters.peek() == "a"
        await recorder.lose_memory()
        again = (await recorder.user("second")).queue[str]("jobs")
        assert [await again.size(), await again.dead_letters.size()] == [0, 1]

    run(body)


@pytest.mark.parametrize("call", ["put", "get"])
def test_what_a_lost_cluster_answered_is_not_confirmed_by_the_next_one(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cluster answers, and loses its memory before anything of that is on record."""

    async def body(recorder: RunRecorder) -> None:
        jobs = (await recorder.user("only")).queue[str]("jobs", timeout=60.0)
        await jobs.put("a")
        read, is_lost = JournaledPort.read, False

        async def lose(port: JournaledPort, *question: Any, timeout_s: float | None) -> Any:
            nonlocal is_lost
            if not is_lost:
                is_lost = True
                await recorder.lose_memory()
            return await read(port, *question, timeout_s=timeout_s)

        monkeypatch.setattr(JournaledPort, "read", lose)
        with pytest.raises(NotOnRecord, match="another one took its place"):
            await (jobs.put("b") if call == "put" else jobs.get())
        assert is_lost
        assert [await jobs.dequeue(), await jobs.dequeue()] == ["a", None]

    run(body)
