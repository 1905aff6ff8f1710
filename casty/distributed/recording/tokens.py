"""Fencing tokens that grow over the loss of a whole cluster.

A token is the cluster's generation and a count. Generations follow the founders' clock, so those of a later cluster are
higher unless that clock went back. The journal keeps the highest generation that its users were granted a token of, and
of which cluster that was; every request for a hold says below which generation no token may be drawn. So nothing is
written for a grant: once per cluster, by whoever is the first.
"""

from __future__ import annotations

from typing import Any

from casty.distributed.recording.names import TOKENS
from casty.distributed.recording.recorder import Journal
from casty.errors import JournalConflict, JournalError

__all__ = ["Cluster", "Tokens", "next_floor"]

COUNT_BITS = 33
"""How many bits of a token are a count; the generation is above them."""

Cluster = tuple[int, str]


def next_floor(last: Cluster | None, cluster: Cluster) -> int:
    """Return the lowest generation of tokens of a cluster, given what is on record last.

    Examples
    --------
    >>> next_floor(None, (100, "a")), next_floor((100, "a"), (100, "a")), next_floor((100, "a"), (40, "b"))
    (100, 100, 101)
    """
    generation, cluster_id = cluster
    if last is None:
        return generation
    return max(generation, last[0] if last[1] == cluster_id else last[0] + 1)


class Tokens:
    """What the journal says of tokens, as far as this process knows.

    Parameters
    ----------
    journal
        The journal.
    """

    __slots__ = ("_cluster_id", "_floor", "_journal")

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._cluster_id: str | None = None
        self._floor = 0
        """The highest generation on record, of `_cluster_id`."""

    def covers(self, token: int, cluster: Cluster | None) -> bool:
        """Whether a token of that cluster is not above what is on record, and not below what must be."""
        return cluster is not None and cluster[1] == self._cluster_id and token >> COUNT_BITS == self._floor

    def known_floor(self, cluster: Cluster) -> int | None:
        """Return the lowest generation that a token of the cluster may be of; None where it is not known here."""
        is_known = cluster[1] == self._cluster_id and cluster[0] <= self._floor
        return self._floor if is_known else None

    async def floor(self, cluster: Cluster) -> int:
        """Return the same, after it was put on record."""
        await self._record(cluster)
        return self._floor

    async def cover(self, token: int, cluster: Cluster) -> None:
        """See that the token is on record; raises `JournalError` where it is below what others were granted."""
        generation = token >> COUNT_BITS
        await self._record((max(generation, cluster[0]), cluster[1]))
        if generation < self._floor:
            raise JournalError(
                "a hold was granted by another cluster than the request was made for, under a token lower than those "
                "on record; it is given back: ask again"
            )

    async def _record(self, cluster: Cluster) -> None:
        while True:
            last, number = await self._last()
            floor = next_floor(last, cluster)
            if last != (floor, cluster[1]):
                try:
                    await self._journal.persist(TOKENS, [[floor, cluster[1]]], number)
                except JournalConflict:
                    continue  # somebody else was faster: what it wrote is there now
            self._cluster_id, self._floor = cluster[1], floor
            return

    async def _last(self) -> tuple[Cluster | None, int]:
        """Return what is on record last, and its number. There is one event for each cluster there ever was."""
        last: Cluster | None = None
        number = 0
        while rows := await self._journal.load(TOKENS, number + 1, 1_000):
            number = rows[-1].sequence_nr
            event: Any = rows[-1].event
            last = (int(event[0]), str(event[1]))
        return last, number
