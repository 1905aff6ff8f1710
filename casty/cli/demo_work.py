"""What the demonstration's workers do, what they write down, and how the end is checked against it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

from casty.cli.status import Place
from casty.client import ClusterClient
from casty.distributed.lock import Lock
from casty.distributed.machines.base import BARRIER, COUNTER, LOCK, MAP, QUEUE, SEMAPHORE, SET
from casty.errors import OutcomeUnknown, Unavailable

__all__ = ["PLACES", "Account", "Shop"]

WORKERS = 4
PERMITS = 2
TIMEOUT_S = 20.0
REST_S = 0.005
LATE_S = 0.1

PLACES = (
    Place(LOCK, "till"), Place(SEMAPHORE, "entrances"), Place(BARRIER, "opening"), Place(COUNTER, "sales"),
    Place(MAP, "stock", "shelf-0"), Place(SET, "customers"), Place(QUEUE, "parcels"),
)  # fmt: skip
"""Every structure in use, as ``casty status --locate`` names it."""

T = TypeVar("T")


@dataclass(slots=True)
class Account:
    """What the client was told, and what it saw go wrong; `unknown` calls may have been applied or not."""

    sales: int = 0
    unknown_sales: int = 0
    tokens: list[int] = field(default_factory=list)
    stock: dict[str, int] = field(default_factory=dict)
    customers: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    unknown: int = 0
    refused: int = 0
    violations: list[str] = field(default_factory=list)
    tried: dict[str, int] = field(default_factory=dict)
    most_inside: int = 0
    calls: int = 0
    last_s: dict[str, float] = field(default_factory=dict)
    silence_s: dict[str, float] = field(default_factory=dict)


class Shop:
    """Four workers who share every structure of the cluster through one client."""

    def __init__(self, client: ClusterClient) -> None:
        d = client.distributed()
        self.account = Account()
        self._d = d
        self._sales = d.counter("sales", timeout=TIMEOUT_S)
        self._stock = d.map[str, int]("stock", timeout=TIMEOUT_S)
        self._customers = d.set[str]("customers", timeout=TIMEOUT_S)
        self._parcels = d.queue[str]("parcels", timeout=TIMEOUT_S)
        self._entrances = d.semaphore("entrances", PERMITS, timeout=TIMEOUT_S)
        self._at_till = 0
        self._inside = 0
        self._is_open = True

    async def open(self) -> None:
        """All workers meet at a barrier; nobody begins before the last one is there."""
        here: list[int] = []
        await asyncio.gather(*(self._arrive(number, here) for number in range(WORKERS)))

    async def _arrive(self, number: int, here: list[int]) -> None:
        barrier = self._d.barrier("opening", node_id=f"worker-{number}", timeout=TIMEOUT_S)
        await asyncio.sleep(number * LATE_S)  # so that those who came early have to wait
        here.append(number)
        await barrier.arrive(WORKERS)
        if len(here) < WORKERS:
            self.account.violations.append(f"the barrier opened for {len(here)} of {WORKERS}")

    async def work(self) -> None:
        """Work until `close`."""
        await asyncio.gather(*(self._serve(number) for number in range(WORKERS)))

    def close(self) -> None:
        """Let every worker finish what it does."""
        self._is_open = False

    async def _serve(self, number: int) -> None:
        lock = self._d.lock("till", timeout=TIMEOUT_S)
        turn = 0
        while self._is_open:
            turn += 1
            await self._try(self._at_the_till(lock))
            await self._try(self._enter(f"worker-{number}/{turn}"))
            await self._try(self._keep_books(number, turn))
            await asyncio.sleep(REST_S)

    async def _try(self, step: Awaitable[None]) -> None:
        try:
            await step
        except OutcomeUnknown:
            self.account.unknown += 1
        except Unavailable:
            self.account.refused += 1

    async def _at_the_till(self, lock: Lock) -> None:
        account = self.account
        await self._timed("lock", lock.acquire())
        self._at_till += 1
        if self._at_till > 1:
            account.violations.append("two workers held the lock")
        if lock.token is not None:
            account.tokens.append(lock.token)
        try:
            try:
                await self._timed("counter", self._sales.increment())
                account.sales += 1
            except OutcomeUnknown:
                account.unknown_sales += 1
                raise
        finally:
            self._at_till -= 1
            await self._timed("lock", lock.release())

    async def _enter(self, name: str) -> None:
        account = self.account
        await self._timed("semaphore", self._entrances.acquire())
        self._inside += 1
        account.most_inside = max(account.most_inside, self._inside)
        try:
            await self._timed("set", self._customers.add(name))
            account.customers.append(name)
        finally:
            self._inside -= 1
            await self._timed("semaphore", self._entrances.release())

    async def _keep_books(self, number: int, turn: int) -> None:
        account = self.account
        shelf, name = f"shelf-{number}", f"worker-{number}/{turn}"
        account.tried[shelf] = turn
        await self._timed("map", self._stock.put(shelf, turn))
        account.stock[shelf] = turn
        await self._timed("queue", self._parcels.enqueue(name))
        account.sent.append(name)
        parcel = await self._timed("queue", self._parcels.dequeue())
        if parcel is not None:
            account.taken.append(parcel)

    async def _timed(self, structure: str, call: Awaitable[T]) -> T:
        """Count a call, and note how long the structure had answered nobody before."""
        result = await call
        account, now_s = self.account, time.monotonic()
        silence_s = now_s - account.last_s.get(structure, now_s)
        account.silence_s[structure] = max(account.silence_s.get(structure, 0.0), silence_s)
        account.last_s[structure] = now_s
        account.calls += 1
        return result

    def clear_silence(self) -> None:
        """Measure gaps from now on."""
        self.account.silence_s.clear()

    async def check(self) -> list[tuple[str, bool]]:
        """Compare what the cluster has now with what it told; returns (sentence, whether it is so)."""
        account = self.account
        total = await self._sales.get()
        while (parcel := await self._parcels.dequeue()) is not None:
            account.taken.append(parcel)
        missing = [name for name in account.customers if not await self._customers.contains(name)]
        shelves = {shelf: await self._stock.get(shelf) for shelf in account.stock}
        lost = [parcel for parcel in account.sent if parcel not in account.taken]
        return [
            (
                f"counter: {account.sales} increments, {account.unknown_sales} unknown, total {total}",
                account.sales <= total <= account.sales + account.unknown_sales,
            ),
            _tokens(account.tokens),
            (
                f"semaphore: at most {account.most_inside} inside at once, {PERMITS} permits",
                account.most_inside <= PERMITS,
            ),
            (
                "never two at the lock, nobody through the barrier before the last came",
                not account.violations,
            ),
            (f"map: {len(shelves)} keys have their last value", self._is_right(shelves)),
            (f"set: {len(account.customers)} members, {len(missing)} missing", not missing),
            (
                f"queue: {len(account.sent)} sent, {len(account.taken)} taken, none twice",
                len(set(account.taken)) == len(account.taken) and len(lost) <= account.unknown,
            ),
        ]

    def _is_right(self, shelves: dict[str, int | None]) -> bool:
        stock, tried = self.account.stock, self.account.tried
        return all(value in (stock[shelf], tried[shelf]) for shelf, value in shelves.items())


def _tokens(tokens: list[int]) -> tuple[str, bool]:
    if not tokens:
        return "lock: no hold at all", False
    sentence = f"lock: {len(tokens)} holds, tokens {tokens[0]} to {tokens[-1]}, each above the one before"
    return sentence, all(first < second for first, second in pairwise(tokens))
