"""The way from one machine to another: how long bytes take on it and which faults it has. Made lazily."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..kernel.draws import Draws, mix

__all__ = ["NetworkProfile", "Path"]

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkProfile:
    """What the network is like when nothing is wrong.

    Parameters
    ----------
    latency_min_ns, latency_max_ns
        One way, drawn once for each direction of each pair of machines.
    jitter_ns
        At most this much more, drawn for each batch of bytes.
    loopback_ns
        One way on one machine.
    fragment_ppm
        How many of a million batches arrive in pieces.
    loss_ppm
        How many of a million batches are sent again, which costs `retransmit_ns`, doubling at each further
        loss.
    retransmit_ns
        The first retransmission time.
    """

    latency_min_ns: int = 100_000
    latency_max_ns: int = 600_000
    jitter_ns: int = 100_000
    loopback_ns: int = 20_000
    fragment_ppm: int = 0
    loss_ppm: int = 0
    retransmit_ns: int = 200_000_000


SPOILT = ("spike_ns", "spike_jitter_ns", "bytes_per_s", "fragment_ppm", "loss_ppm")
"""What a fault can do to a path. Times add up, of likelihoods the largest counts, of throughputs the smallest."""


class Sender(Protocol):
    """What a path needs of the end that sends on it."""

    label: str
    draw_key: int
    throttled_until_ns: int
    """When a limited throughput has let through all that this end wrote."""


class Path:
    """One direction between two machines. Faults come and go on it by `spoil` and `restore`, each by itself.

    Attributes
    ----------
    is_cut
        Nothing passes; bytes wait.
    spike_ns
        Added to every latency.
    spike_jitter_ns
        At most this much more, drawn for each batch.
    bytes_per_s
        A slow path's throughput; 0: unlimited.
    fragment_ppm, loss_ppm
        As in `NetworkProfile`.
    """

    __slots__ = (
        "_draws", "_jitter_ns", "_latency_ns", "_profile", "_spoils", "_spoils_made", "bytes_per_s",
        "cuts", "fragment_ppm", "label", "loss_ppm", "source", "spike_jitter_ns", "spike_ns", "target",
    )  # fmt: skip

    def __init__(self, draws: Draws, profile: NetworkProfile, source: str, target: str) -> None:
        self._draws = draws
        self._profile = profile
        self.source = source
        self.target = target
        self.label = f"{source}>{target}"
        low, high = profile.latency_min_ns, profile.latency_max_ns
        self._latency_ns = draws.between("latency", self.label, 0, low, high)
        self._jitter_ns = profile.jitter_ns
        if source == target:
            self._latency_ns, self._jitter_ns = profile.loopback_ns, 0
        self.cuts = 0
        self._spoils: dict[int, tuple[str, int]] = {}
        self._spoils_made = 0
        self._sum_up()

    def spoil(self, what: str, amount: int) -> int:
        """Begin a fault, one of `SPOILT`; returns the number that `restore` ends it by."""
        assert what in SPOILT, f"expected one of {SPOILT}, found {what!r}"
        self._spoils_made += 1
        self._spoils[self._spoils_made] = (what, amount)
        self._sum_up()
        return self._spoils_made

    def restore(self, *numbers: int) -> None:
        """End these faults and no others; harmless when they ended before."""
        for number in numbers:
            self._spoils.pop(number, None)
        self._sum_up()

    def mend(self) -> None:
        """Back to what the profile says; a cut is not touched."""
        self._spoils.clear()
        self._sum_up()

    def _sum_up(self) -> None:
        self.spike_ns = sum(self._amounts("spike_ns"))
        self.spike_jitter_ns = sum(self._amounts("spike_jitter_ns"))
        self.bytes_per_s = min(self._amounts("bytes_per_s"), default=0)
        self.fragment_ppm = max(self._profile.fragment_ppm, *self._amounts("fragment_ppm"), 0)
        self.loss_ppm = max(self._profile.loss_ppm, *self._amounts("loss_ppm"), 0)

    def _amounts(self, what: str) -> list[int]:
        return [amount for name, amount in self._spoils.values() if name == what]

    @property
    def is_cut(self) -> bool:
        """Whether nothing passes; several faults may cut one path, and each is undone by itself."""
        return self.cuts > 0

    def delay_ns(self, link: Sender, now_ns: int, sequence: int, size_bytes: int) -> int:
        """Return how long a batch takes that is sent now."""
        delay_ns = self._latency_ns
        spread_ns = self._jitter_ns + self.spike_jitter_ns
        if spread_ns:
            delay_ns += mix(link.draw_key, sequence) * (spread_ns + 1) >> 64
        delay_ns += self.spike_ns
        if self.loss_ppm:
            delay_ns += self._losses_ns(link.label, sequence)
        if self.bytes_per_s:
            start_ns = max(now_ns, link.throttled_until_ns)
            link.throttled_until_ns = start_ns + size_bytes * _SECOND_NS // self.bytes_per_s
            delay_ns += link.throttled_until_ns - now_ns
        return delay_ns

    def dial_delay_ns(self, label: str, sequence: int) -> int:
        """Return how long one half of a handshake takes."""
        delay_ns = self._latency_ns + self.spike_ns
        if self.loss_ppm:
            delay_ns += self._losses_ns("dial:" + label, sequence)
        return delay_ns + self._draws.below(
            "dial", label, sequence, self._jitter_ns + self.spike_jitter_ns + 1
        )

    def is_fragmenting(self, label: str, sequence: int) -> bool:
        """Return whether a batch arrives in pieces."""
        return bool(self.fragment_ppm) and self._draws.chance("fragment", label, sequence, self.fragment_ppm)

    def retransmission_ns(self, label: str, sequence: int) -> int:
        """Return how long after a cut healed the first bytes arrive."""
        waited_ns = self._draws.below("retransmit", label, sequence, self._profile.retransmit_ns + 1)
        return self._latency_ns + self.spike_ns + waited_ns

    def _losses_ns(self, label: str, sequence: int) -> int:
        delay_ns, wait_ns = 0, self._profile.retransmit_ns
        for attempt in range(6):
            if not self._draws.chance("loss", label, sequence * 8 + attempt, self.loss_ppm):
                break
            delay_ns += wait_ns
            wait_ns *= 2
        return delay_ns
