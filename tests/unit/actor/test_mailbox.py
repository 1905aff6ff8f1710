"""The mailbox by itself."""

from __future__ import annotations

import asyncio

import pytest

from casty.actor.mailbox import Mailbox, MailboxClosed, MailboxOverflowStrategy
from casty.actor.unread import MESSAGE_BYTES, Unread

pytestmark = pytest.mark.asyncio


async def test_put_get_size_empty() -> None:
    mailbox = Mailbox[int]()
    assert mailbox.empty()
    mailbox.put(1)
    mailbox.put(2)
    assert mailbox.size() == 2
    assert [await mailbox.get(), await mailbox.get()] == [1, 2]


async def test_overflow() -> None:
    for overflow, left in (
        (MailboxOverflowStrategy.drop_new, [1]),
        (MailboxOverflowStrategy.drop_oldest, [2]),
    ):
        mailbox = Mailbox[int](1, overflow)
        mailbox.put(1)
        mailbox.put(2)
        assert [item for item, _ in mailbox.drain()] == left
    mailbox = Mailbox[int](1, MailboxOverflowStrategy.reject)
    mailbox.put(1)
    with pytest.raises(asyncio.QueueFull):
        mailbox.put(2)
    with pytest.raises(ValueError, match="capacity"):
        Mailbox[int](0)


async def test_put_async_waits_for_room_in_order_and_survives_cancellation() -> None:
    mailbox = Mailbox[int](1)
    mailbox.put(0)
    puts = [asyncio.ensure_future(mailbox.put_async(number)) for number in (1, 2, 3)]
    await asyncio.sleep(0)
    puts[0].cancel()
    assert [await mailbox.get() for _ in range(3)] == [0, 2, 3]
    assert puts[0].cancelled()


async def test_get_wakes_for_put_and_for_close() -> None:
    mailbox = Mailbox[int]()
    getting = asyncio.ensure_future(mailbox.get())
    await asyncio.sleep(0)
    mailbox.put(1)
    assert await getting == 1
    getting = asyncio.ensure_future(mailbox.get())
    await asyncio.sleep(0)
    mailbox.close()
    with pytest.raises(MailboxClosed):
        await getting


async def test_a_mailbox_belongs_to_one_actor() -> None:
    mailbox = Mailbox[int]()
    mailbox.bind(2, lambda message: None, Unread())
    with pytest.raises(ValueError, match="no other actor"):
        mailbox.bind(2, lambda message: None, Unread())


async def test_what_is_unread_counts_until_it_is_read_dropped_or_drained() -> None:
    unread = Unread()
    mailbox = Mailbox[int](2, MailboxOverflowStrategy.drop_oldest)
    mailbox.put(1, 1_000)
    mailbox.bind(2, lambda message: None, unread)
    assert unread.size_bytes == 1_000, "what it had before it was bound"
    mailbox.put(2)
    mailbox.put(3, 10_000)
    assert unread.size_bytes == MESSAGE_BYTES + 10_000, "the oldest one was dropped"
    assert await mailbox.get() == 2
    assert unread.size_bytes == 10_000
    mailbox.put_beyond(4)
    mailbox.close()
    assert [item for item, _ in mailbox.drain()] == [3, 4]
    assert unread.size_bytes == 0
    mailbox.put(6)
    assert unread.size_bytes == 0, "its actor is gone, and nobody will ever read it"


async def test_what_the_system_says_comes_beyond_the_bound() -> None:
    mailbox = Mailbox[int](2, MailboxOverflowStrategy.drop_new)
    for item in (1, 2, 3):
        mailbox.put(item)
    mailbox.put_beyond(4)
    assert [item for item, _ in mailbox.drain()] == [1, 2, 4]


async def test_sizes_are_kept_only_while_one_is_another_than_usual() -> None:
    unread = Unread()
    mailbox = Mailbox[int]()
    mailbox.bind(100, lambda message: None, unread)
    # Size by size, as they come: usual ones before, between and behind the others, and after all were read.
    for sizes in ([256, 256], [256, 256, 1_000, 256, 0, 256], [256], [1_000], [256, 7]):
        for number, size in enumerate(sizes):
            mailbox.put(number, size)
            assert unread.size_bytes == sum(sizes[: number + 1])
        for number in range(len(sizes)):
            assert await mailbox.get() == number
            assert unread.size_bytes == sum(sizes[number + 1 :])
        assert not mailbox._sizes, "an empty mailbox keeps none"
    for size in (256, 1_000, 256):
        mailbox.put(0, size)
    assert len(mailbox.drain()) == 3
    assert unread.size_bytes == 0
    mailbox.put(0)
    mailbox.put(0)
    assert len(mailbox.drain()) == 2
    assert unread.size_bytes == 0
