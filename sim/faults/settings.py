"""Which faults a run of `simulate` may have: what is drawn from the seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..kernel.draws import Draws
from ..net.path import NetworkProfile

__all__ = ["FAMILIES", "LINK_FAMILIES", "PROCESS_FAMILIES", "Faults"]

_MILLISECOND_NS = 1_000_000
_HALF = 500_000

LINK_FAMILIES = (
    "delay", "clog", "one_way_cut", "link_loss", "split", "ring", "bridge", "reset", "half_open",
)  # fmt: skip
PROCESS_FAMILIES = ("pause", "crash", "clock_drift", "wall_step")
"""Both: kinds of `sim.plans.fault_kinds.FAULTS`, which come and go while a run goes on."""
PROFILE_FAMILIES = ("fragment", "loss", "jitter", "latency")
"""What the whole network is like from the beginning to the end of a run."""
FAMILIES = LINK_FAMILIES + PROCESS_FAMILIES + PROFILE_FAMILIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Which faults a run may have, and how often. What happens, when and to whom is drawn from the seed.

    Parameters
    ----------
    families
        Names out of `FAMILIES`.
    is_swarm
        Each seed switches each family off with one half: a bug that one fault hides is found by the runs
        without it.
    gap_s
        Virtual seconds between two faults, on average.
    duration_s
        The longest a fault lasts.
    crash_gap_s
        At least this long between two crashes; a memory-only cluster must replace the replicas that it lost
        before the next.
    max_drift_ppm
        The fastest and slowest that a clock runs.

    Examples
    --------
    >>> Faults.none().families
    ()
    """

    families: tuple[str, ...] = FAMILIES
    is_swarm: bool = False
    gap_s: float = 3.0
    duration_s: float = 5.0
    crash_gap_s: float = 40.0
    max_drift_ppm: int = 2_000

    def __post_init__(self) -> None:
        unknown = [name for name in self.families if name not in FAMILIES]
        if unknown:
            raise ValueError(f"families: expected names out of {FAMILIES}, found {unknown}")

    @staticmethod
    def none() -> Faults:
        """No fault at all."""
        return Faults(families=())

    @staticmethod
    def swarm(*families: str) -> Faults:
        """Each seed with its own half of the families (of all, when none is named)."""
        return Faults(families=families or FAMILIES, is_swarm=True)

    def chosen(self, draws: Draws) -> list[str]:
        """Return the families of one seed."""
        return [name for name in self.families if not self.is_swarm or draws.chance("family", name, 0, _HALF)]

    def profile(self, draws: Draws) -> NetworkProfile:
        """Return the network of one seed."""
        profile = NetworkProfile()
        families = self.chosen(draws)
        if "fragment" in families:
            profile = replace(profile, fragment_ppm=draws.below("range", "fragment", 0, _HALF))
        if "loss" in families:
            profile = replace(profile, loss_ppm=draws.below("range", "loss", 0, 30_000))
        if "jitter" in families:
            profile = replace(profile, jitter_ns=draws.below("range", "jitter", 0, 20 * _MILLISECOND_NS))
        if "latency" in families:
            latency_ns = draws.below("range", "latency", 0, 50 * _MILLISECOND_NS)
            profile = replace(profile, latency_max_ns=profile.latency_max_ns + latency_ns)
        return profile
