"""The cluster of a plan: machines, settings within their bounds, network and clocks.

Small bounds, short timings and quick compaction are where bookkeeping goes wrong; so they are drawn, not constant.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..plan import ClusterShape, FaultEvent
from .actors import ACTOR_SETTINGS, ACTORS, silences_of
from .dice import DRIFT_PPM, SECOND_US, TTLS_S, Cast, Dice
from .ledgers import ENTITIES

__all__ = ["draw_nodes", "draw_shape", "draw_silences", "window_of"]

_NODES = (3, 3, 3, 3, 5, 5, 5, 1, 2, 4, 7)
_NODES_MIXED = (3, 3, 3, 3, 3, 5, 5, 5, 3, 4, 7)
"""Where everything has to happen somebody must be able to die, and to come back to its places."""

_USUAL = (0.25, 1.0, 1.5)
_TIMINGS = (_USUAL, _USUAL, _USUAL, _USUAL, (0.125, 0.5, 0.75), (0.25, 0.5, 0.8), (0.4, 1.0, 1.5))
"""(heartbeat, shortest and longest election timeout) in seconds; a session outlives four of the longest."""

_SILENCES = ((3.0, 10.0), (3.0, 10.0), (3.0, 10.0), (1.5, 3.0), (1.0, 1.5))
"""(unreachable, down) after so many seconds of silence."""

_MANY_REPLICAS = 5


def draw_nodes(dice: Dice) -> int:
    """Draw how many nodes there are."""
    return dice.choice("nodes", 0, _NODES_MIXED if dice.scenario in ("mixed", ACTORS, ENTITIES) else _NODES)


def draw_shape(dice: Dice, cast: Cast, families: Sequence[str]) -> ClusterShape:
    """Draw the cluster.

    Parameters
    ----------
    dice, cast
        The plan's.
    families
        The fault families that take part; ``clock_offset`` is one of the cluster's own.
    """
    clocks: dict[str, tuple[int, int]] = {}
    if "clock_offset" in families:
        for number, name in enumerate(cast.nodes + cast.clients):
            offset_us = dice.between("clock-offset", number, -3600, 3600) * SECOND_US
            clocks[name] = (offset_us, _ppm(dice, number))
    latency_us = dice.choice("latency", 0, (1, 2, 10, 50))
    network = {"latency_min_ns": 100_000, "latency_max_ns": latency_us * 500_000}
    settings = {**_rare(dice), **_of_actors(dice), **_limits(dice, cast), **_usual(dice, len(cast.nodes))}
    ttls = _ttls(dice, cast, float(settings["session_ttl_s"]), float(settings["election_max_s"]))
    return ClusterShape(len(cast.nodes), len(cast.clients), settings, network, clocks, ttls=ttls)


def draw_silences(dice: Dice, cast: Cast, shape: ClusterShape) -> list[FaultEvent]:
    """Draw, for half of these runs, that a client whose sessions live longer is silent for the usual time."""
    usual_us = round(float(shape.settings["session_ttl_s"]) * SECOND_US)
    patient = [name for name, ttl_ms in shape.ttls.items() if 1000 * ttl_ms > usual_us]
    if not patient or dice.scenario == "memory" or not dice.one_in("own-ttl-silence", 0, 2):
        return []
    latest_us = max(SECOND_US, cast.duration_us - 2 * usual_us)
    at_us = dice.between("own-ttl-silent-at", 0, SECOND_US, latest_us)
    client = dice.choice("own-ttl-silent", 0, patient)
    return [FaultEvent(at_us, "client_pause", (client,), usual_us * 5 // 4)]


def _ttls(dice: Dice, cast: Cast, usual_s: float, election_max_s: float) -> dict[str, int]:
    """Draw, for a third of the runs of structures, which clients have a time to live of their own."""
    if dice.scenario == ACTORS or not dice.one_in("own-ttls", 0, 3):
        return {}
    usual_ms, least_ms = round(1000 * usual_s), round(4000 * election_max_s)
    choices = (0, least_ms, least_ms, 3 * usual_ms // 2, 2 * usual_ms)
    drawn = {name: dice.choice("own-ttl", number, choices) for number, name in enumerate(cast.clients)}
    return {name: ttl_ms for name, ttl_ms in drawn.items() if ttl_ms}


def _ppm(dice: Dice, number: int) -> int:
    """Draw how fast a clock runs: a third of them at the bound, where leases are shortest."""
    if dice.one_in("clock-extreme", number, 3):
        return dice.choice("clock-end", number, (-DRIFT_PPM, DRIFT_PPM))
    return dice.between("clock-ppm", number, -DRIFT_PPM, DRIFT_PPM)


def _usual(dice: Dice, nodes: int) -> dict[str, int | float | str]:
    """Draw what every run has a value of its own for."""
    is_mixed = dice.scenario == "mixed"
    heartbeat_s, election_min_s, election_max_s = dice.choice("timing", 0, _TIMINGS)
    return {
        "slots": dice.choice("slots", 0, (2, 3, 4, 6, 8)),
        "replication": dice.choice("replication", 0, (3, 5)) if nodes >= _MANY_REPLICAS else 3,
        "session_ttl_s": float(dice.choice("ttl", 0, TTLS_S)),
        "heartbeat_s": heartbeat_s,
        "election_min_s": election_min_s,
        "election_max_s": election_max_s,
        "reads": dice.choice("reads", 0, ("lease", "lease", "lease", "quorum")),
        "snapshot_entries": dice.choice("snapshot", 0, (4, 8, 12) if is_mixed else (8, 20, 60, 1000)),
        "snapshot_chunk_bytes": dice.choice("chunk", 0, (64, 512, 4096)),
        "retained_entries": dice.choice("retained", 0, (0, 1, 3, 8) if is_mixed else (0, 3, 16, 256)),
    }


def _limits(dice: Dice, cast: Cast) -> dict[str, int | float | str]:
    """Draw, for some of the runs that have everything, limits of slots that calls reach.

    All processes have their sessions at once, but not with those of processes that died and are not given up yet.
    """
    if dice.scenario not in ("mixed", "membership") or not dice.one_in("limits", 0, 4):
        return {}
    return {
        "max_waiters": dice.choice("max-waiters", 0, (100_000, 1, 2, 4)),
        "max_entities": dice.choice("max-entities", 0, (1_000_000, 3, 6)),
        "max_sessions": dice.choice("max-sessions", 0, (100_000, len(cast.nodes) + len(cast.clients))),
    }


def window_of(dice: Dice) -> int:
    """Draw how many answered requests a slot remembers of a session; small where small bounds are drawn."""
    return dice.choice("window", 0, (1024, 64, 16)) if dice.is_on("settings", "small") else 1024


def _of_actors(dice: Dice) -> dict[str, int | float | str]:
    """Draw what decides about silent processes in a run of actors."""
    if dice.scenario != ACTORS:
        return {}
    unreachable_s, down_s = silences_of(dice)
    small = {name: dice.choice(f"small-{name}", 0, values) for name, values in ACTOR_SETTINGS.items()}
    return {"unreachable_after_s": unreachable_s, "down_after_s": down_s, **small}


def _rare(dice: Dice) -> dict[str, int | float | str]:
    """Draw, for half of the runs, bounds so small that they are met."""
    if not dice.is_on("settings", "small"):
        return {}
    unreachable_s, down_s = dice.choice("silence", 0, _SILENCES)
    return {
        "unreachable_after_s": unreachable_s,
        "down_after_s": down_s,
        "max_window_replies": window_of(dice),
        "max_window_bytes": dice.choice("window-bytes", 0, (1024 * 1024, 4096, 1024)),
        "max_uncommitted_bytes": dice.choice("uncommitted", 0, (64 * 1024 * 1024, 65536)),
        "retained_bytes": dice.choice("retained-bytes", 0, (2 * 1024 * 1024, 64 * 1024, 4_096, 1_024)),
        "max_mailbox": dice.choice("mailbox", 0, (10_000, 100, 4)),
    }
