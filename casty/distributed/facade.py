"""The facade: structures by name, over a system, a client, or any other way to sharded entities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

from casty import runtime
from casty.checks import check_count, check_name, shown
from casty.distributed.barrier import Barrier
from casty.distributed.counter import Counter
from casty.distributed.election import Election
from casty.distributed.fence import Fence
from casty.distributed.handle import check_gateway, has_port
from casty.distributed.lock import Lock
from casty.distributed.machines.base import (
    BARRIER,
    COUNTER,
    ELECTION,
    FENCE,
    KIND_NAMES,
    LOCK,
    MAP,
    QUEUE,
    RW_LOCK,
    SEMAPHORE,
    SET,
)
from casty.distributed.map import Dict
from casty.distributed.port import EntityGateway, RegionRef
from casty.distributed.queue import Queue
from casty.distributed.recording.gateway import JournaledGateway
from casty.distributed.rw_lock import RwLock
from casty.distributed.semaphore import Semaphore
from casty.distributed.set import Set
from casty.errors import JournalError
from casty.events import SettingDiffered
from casty.journal.base import EventJournal
from casty.limits import MAX_NUMBER

__all__ = ["Distributed", "MapAccessor", "QueueAccessor", "SetAccessor"]

K = TypeVar("K")
V = TypeVar("V")

Make = Callable[[int, str, int], tuple[EntityGateway, RegionRef | None]]

MAX_RECORDED = 1024
"""How many names a system or client remembers the number of shards of; it only serves a warning."""


class Distributed:
    """Creates distributed structures by name.

    Parameters
    ----------
    gateway
        A `ClusteredActorSystem`, a `ClusterClient`, or any other `EntityGateway`. The first two apply every
        call exactly once; any other at most once, to entities that live only as long as it keeps them.
    journal
        Where changes go on record before calls return; None for none. A structure of which the cluster knows nothing
        is restored from it. See docs/journals.md.

    Raises
    ------
    JournalError
        A journal was given, and the gateway is neither a system nor a client.
    TypeError
        The gateway or the journal is none.

    Examples
    --------
    >>> async def main(system: ClusteredActorSystem) -> None:
    ...     d = Distributed(system)
    ...     counter = d.counter("hits", shards=50)
    ...     users = d.map[str, int]("users", shards=10)
    ...     tags = d.set[str]("tags")
    ...     jobs = d.queue[str]("jobs")
    """

    def __init__(self, gateway: EntityGateway, *, journal: EventJournal | None = None) -> None:
        check_gateway(gateway)
        self._gateway = gateway if journal is None else _journaled(gateway, journal)
        self._shards = _shards_of(gateway)

    def counter(self, name: str, *, shards: int = 100, timeout: float | None = 5.0) -> Counter:
        """Return a distributed counter.

        Parameters
        ----------
        name
            The counter's name, not empty.
        shards
            At least 1. Placement follows the name alone; kept for a region behind another gateway.
        timeout
            Deadline of each call, in seconds; None waits for ever.

        Returns
        -------
        Counter

        Examples
        --------
        >>> async def visit(d: Distributed) -> int:
        ...     return await d.counter("page-views").increment()
        """
        region = self._region(COUNTER, name, shards)
        return Counter(gateway=self._gateway, region_ref=region, name=name, timeout=timeout)

    def lock(self, name: str, *, shards: int = 100, timeout: float | None = 5.0) -> Lock:
        """Return a new owner of a distributed lock; parameters as for `counter`.

        Examples
        --------
        >>> async def alone(d: Distributed) -> None:
        ...     async with d.lock("my-resource") as lock:
        ...         print(lock.token)
        """
        region = self._region(LOCK, name, shards)
        return Lock(gateway=self._gateway, region_ref=region, name=name, timeout=timeout)

    def rw_lock(self, name: str, *, shards: int = 100, timeout: float | None = 5.0) -> RwLock:
        """Return a new owner of a distributed read-write lock; parameters as for `counter`.

        Examples
        --------
        >>> async def look(d: Distributed) -> None:
        ...     async with d.rw_lock("prices").read:
        ...         print("nobody writes")
        """
        region = self._region(RW_LOCK, name, shards)
        return RwLock(gateway=self._gateway, region_ref=region, name=name, timeout=timeout)

    def election(
        self, name: str, *, candidate: str | None = None, shards: int = 100, timeout: float | None = 5.0
    ) -> Election:
        """Return a candidate of an election, which may also only look who leads.

        Parameters
        ----------
        name
            The election's name, not empty.
        candidate
            Under which name it is elected. None is ``host:port`` of a `ClusteredActorSystem`; behind any other gateway
            a name is drawn.
        shards, timeout
            As for `counter`; to campaign and to watch wait for ever unless told otherwise.

        Examples
        --------
        >>> async def lead(d: Distributed) -> None:
        ...     async with d.election("cron", candidate="host-1") as election:
        ...         print("term", election.token)
        """
        region = self._region(ELECTION, name, shards)
        name_of = self._label_or_none() if candidate is None else candidate
        return Election(
            gateway=self._gateway, region_ref=region, name=name, candidate=name_of, timeout=timeout
        )

    def semaphore(
        self, name: str, permits: int, *, shards: int = 100, timeout: float | None = 5.0
    ) -> Semaphore:
        """Return a new owner of permits of a distributed semaphore.

        Parameters
        ----------
        name
            The semaphore's name, not empty.
        permits
            How many permits there are, at least 1. Its first user fixes that; with another value calls raise
            `Mismatch`, until nobody holds or waits any more.
        shards, timeout
            As for `counter`.

        Returns
        -------
        Semaphore

        Examples
        --------
        >>> async def limited(d: Distributed) -> None:
        ...     async with d.semaphore("pool", permits=5):
        ...         print("at most five at a time")
        """
        count = check_count("permits", permits, 1, MAX_NUMBER)
        region = self._region(SEMAPHORE, name, shards, count)
        return Semaphore(gateway=self._gateway, region_ref=region, name=name, permits=count, timeout=timeout)

    def barrier(
        self, name: str, *, node_id: str | None = None, shards: int = 10, timeout: float | None = 60.0
    ) -> Barrier:
        """Return one party of a distributed barrier.

        Parameters
        ----------
        name
            The barrier's name, not empty.
        node_id
            Which party this is. None is ``host:port`` of a `ClusteredActorSystem`; any other gateway needs
            it.
        shards, timeout
            As for `counter`; the default deadline is 60 s.

        Returns
        -------
        Barrier

        Raises
        ------
        TypeError
            No `node_id`, and the gateway has no address of its own; or it is no text.

        Examples
        --------
        >>> async def start(d: Distributed) -> None:
        ...     await d.barrier("init-sync", node_id="worker-1").arrive(expected=3)
        """
        region = self._region(BARRIER, name, shards)
        party = self._own_label() if node_id is None else node_id
        return Barrier(gateway=self._gateway, region_ref=region, name=name, node_id=party, timeout=timeout)

    def fence(self, name: str, *, shards: int = 100, timeout: float | None = 5.0) -> Fence[Any]:
        """Return a register that accepts no token lower than the highest it has seen.

        Parameters are those of `counter`.

        Examples
        --------
        >>> async def store(d: Distributed, token: int) -> bool:
        ...     return await d.fence("settings").write(token, "value")
        """
        region = self._region(FENCE, name, shards)
        return Fence(gateway=self._gateway, region_ref=region, name=name, timeout=timeout)

    @property
    def map(self) -> MapAccessor:
        """Creates maps: ``d.map[K, V]("name", shards=10)`` is a ``Dict[K, V]``."""
        return MapAccessor(self._make)

    @property
    def set(self) -> SetAccessor:
        """Creates sets: ``d.set[V]("name", shards=10)`` is a ``Set[V]``."""
        return SetAccessor(self._make)

    @property
    def queue(self) -> QueueAccessor:
        """Creates queues: ``d.queue[V]("name", shards=10)`` is a ``Queue[V]``."""
        return QueueAccessor(self._make)

    def _make(self, kind: int, name: str, shards: int) -> tuple[EntityGateway, RegionRef | None]:
        return self._gateway, self._region(kind, name, shards)

    def _region(self, kind: int, name: str, shards: int, permits: int = 0) -> RegionRef | None:
        check_name(name)
        count = check_count("shards", shards, 1)
        self._record(kind, name, count)
        if has_port(self._gateway):
            return None
        from casty.distributed.plain_port import plain_entities  # most programs never need it

        key = f"casty.{KIND_NAMES[kind]}.{name}"
        return self._gateway.region_ref(key, plain_entities(kind, permits), num_shards=count)

    def _record(self, kind: int, name: str, shards: int) -> None:
        recorded = self._shards.setdefault((kind, name), shards)
        if recorded != shards:
            observe = runtime.current().observe
            if observe:
                observe(SettingDiffered(name, recorded, shards))
        if len(self._shards) > MAX_RECORDED:
            del self._shards[next(iter(self._shards))]

    def _own_label(self) -> str:
        label = self._label_or_none()
        if label is None:
            raise TypeError(
                "node_id: required with a gateway that is no member of the cluster, found None; "
                "give each party a text of its own"
            )
        return label

    def _label_or_none(self) -> str | None:
        """Return ``host:port`` of a gateway that is a member."""
        address = getattr(self._gateway, "self_node", None)
        if address is not None:
            return f"{address.host}:{address.port}"
        label = getattr(getattr(self._gateway, "structures", None), "host_label", None)
        return None if label is None else str(label)


def _journaled(gateway: EntityGateway, journal: object) -> EntityGateway:
    if not isinstance(journal, EventJournal):
        raise TypeError(f"journal: expected an EventJournal, found {shown(journal)}")
    if not has_port(gateway):
        raise JournalError(
            "journal: expected a ClusteredActorSystem or a ClusterClient as the gateway of structures that go on "
            f"record, found {shown(gateway)}"
        )
    return JournaledGateway(gateway, journal)


def _shards_of(gateway: EntityGateway) -> dict[tuple[int, str], int]:
    """Return what all facades of a system or client share; another gateway's facade has a table of its own."""
    recorded: dict[tuple[int, str], int] | None = getattr(gateway, "recorded_shards", None)
    return {} if recorded is None else recorded


class MapFactory(Generic[K, V]):
    """Makes maps of these types; see `Distributed.map`."""

    __slots__ = ("_make",)

    def __init__(self, make: Make) -> None:
        self._make = make

    def __call__(self, name: str, *, shards: int = 10, timeout: float | None = 5.0) -> Dict[K, V]:
        """Return the map of that name; parameters as for `Distributed.counter`."""
        gateway, region_ref = self._make(MAP, name, shards)
        return Dict(gateway=gateway, region_ref=region_ref, name=name, timeout=timeout)


class MapAccessor(MapFactory[Any, Any]):
    """Subscript it with the types of key and value, then call it with a name."""

    __slots__ = ()

    @overload
    def __getitem__(self, types: tuple[type[K], type[V]]) -> MapFactory[K, V]: ...
    @overload
    def __getitem__(self, types: tuple[object, object]) -> MapFactory[Any, Any]: ...
    def __getitem__(self, types: object) -> MapFactory[Any, Any]:
        """Return a maker of typed maps. The types serve type checkers; values travel as what they are."""
        return MapFactory(self._make)


class SetFactory(Generic[V]):
    """Makes sets of these types; see `Distributed.set`."""

    __slots__ = ("_make",)

    def __init__(self, make: Make) -> None:
        self._make = make

    def __call__(self, name: str, *, shards: int = 10, timeout: float | None = 5.0) -> Set[V]:
        """Return the set of that name; parameters as for `Distributed.counter`."""
        gateway, region_ref = self._make(SET, name, shards)
        return Set(gateway=gateway, region_ref=region_ref, name=name, timeout=timeout)


class SetAccessor(SetFactory[Any]):
    """Subscript it with the type of the values, then call it with a name."""

    __slots__ = ()

    @overload
    def __getitem__(self, types: type[V]) -> SetFactory[V]: ...
    @overload
    def __getitem__(self, types: object) -> SetFactory[Any]: ...
    def __getitem__(self, types: object) -> SetFactory[Any]:
        """Return a maker of typed sets. The types serve type checkers; values travel as what they are."""
        return SetFactory(self._make)


class QueueFactory(Generic[V]):
    """Makes queues of these types; see `Distributed.queue`."""

    __slots__ = ("_make",)

    def __init__(self, make: Make) -> None:
        self._make = make

    def __call__(
        self,
        name: str,
        *,
        shards: int = 10,
        timeout: float | None = 5.0,
        maxsize: int | None = None,
        max_deliveries: int | None = None,
    ) -> Queue[V]:
        """Return the queue of that name; `maxsize` and `max_deliveries` as for `Queue`, others as for `counter`."""
        gateway, region_ref = self._make(QUEUE, name, shards)
        return Queue(
            gateway=gateway,
            region_ref=region_ref,
            name=name,
            timeout=timeout,
            maxsize=maxsize,
            max_deliveries=max_deliveries,
        )


class QueueAccessor(QueueFactory[Any]):
    """Subscript it with the type of the values, then call it with a name."""

    __slots__ = ()

    @overload
    def __getitem__(self, types: type[V]) -> QueueFactory[V]: ...
    @overload
    def __getitem__(self, types: object) -> QueueFactory[Any]: ...
    def __getitem__(self, types: object) -> QueueFactory[Any]:
        """Return a maker of typed queues. The types serve type checkers; values travel as what they are."""
        return QueueFactory(self._make)
