"""The part of a world that harms the network."""

from __future__ import annotations

from collections.abc import Sequence

from ..kernel.events import LinkFault
from ..kernel.trace import Trace
from ..net.network import Network, every_direction
from ..net.partitions import Partition, Undo
from ..net.path import Path

__all__ = ["LinkFaults"]

_SECOND_NS = 1_000_000_000


class LinkFaults:
    """Cuts, resets, half-open links, slow paths. Each method says in the trace what it did."""

    network: Network
    trace: Trace

    def partition(self, *sides: Sequence[str]) -> Undo:
        """Cut every direction between the sides; `Undo.heal` of what is returned mends it."""
        pairs = [
            pair
            for index, side in enumerate(sides)
            for other in sides[index + 1 :]
            for pair in every_direction(side, other)
        ]
        return self._sever(pairs)

    def cut(self, source: str, target: str) -> Undo:
        """Cut one direction."""
        return self._sever([(source, target)])

    def isolate(self, name: str) -> Undo:
        """Cut a machine off from all others, the test's included."""
        return self.partition([name], [other for other in self.network.machines() if other != name])

    def ring(self, names: Sequence[str]) -> Undo:
        """Leave to each machine only its two neighbours."""
        return self._sever(Partition.ring(names))

    def bridge(self, names: Sequence[str]) -> Undo:
        """Split the machines in two halves that only the middle one sees both of."""
        return self._sever(Partition.bridge(names))

    def reset_links(self, first: str, second: str) -> int:
        """Reset every link between two machines; returns how many there were."""
        self._note_link(first, LinkFault("reset", first, second))
        return self.network.reset_links(first, second)

    def half_open(self, first: str, second: str) -> int:
        """Make every link between two machines swallow bytes silently; returns how many there were."""
        self._note_link(first, LinkFault("half-open", first, second))
        return self.network.silence_links(first, second)

    def spike(self, source: str, target: str, delay_s: float, *, jitter_s: float = 0.0) -> Undo:
        """Add delay to one direction."""
        self._note_link(source, LinkFault("spike", source, target))
        return self.spoil(
            source, target, spike_ns=round(delay_s * _SECOND_NS), spike_jitter_ns=round(jitter_s * _SECOND_NS)
        )

    def slow(self, source: str, target: str, bytes_per_s: int) -> Undo:
        """Limit the throughput of one direction."""
        self._note_link(source, LinkFault("slow", source, target))
        return self.spoil(source, target, bytes_per_s=bytes_per_s)

    def spoil(self, source: str, target: str, **amounts: int) -> Undo:
        """Harm one direction in several ways at once, see `sim.net.path.SPOILT`; what is undone is this harm only."""
        path = self.network.path(source, target)
        numbers = [path.spoil(what, amount) for what, amount in amounts.items()]
        return Undo(lambda: self._restore(path, numbers))

    def _restore(self, path: Path, numbers: list[int]) -> None:
        path.restore(*numbers)
        self.network.hurry(path)

    def _sever(self, pairs: Sequence[tuple[str, str]]) -> Undo:
        for source, target in pairs:
            self._note_link(source, LinkFault("cut", source, target))
        self.network.sever(pairs)
        return Undo(lambda: self.network.mend(pairs))

    def _note_link(self, name: str, event: LinkFault) -> None:
        self.trace.add(self.network.loop.now_ns, name, event)
