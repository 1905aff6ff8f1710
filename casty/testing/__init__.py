"""For tests of programs that use casty: a behaviour alone, probes, and the conformance suite of journals."""

from casty.testing.kit import BehaviorTestKit, Piped, Scheduled, Spawned, Stopped, Told, Unwatched, Watched
from casty.testing.probe import TestProbe

__all__ = [
    "BehaviorTestKit",
    "Piped",
    "Scheduled",
    "Spawned",
    "Stopped",
    "TestProbe",
    "Told",
    "Unwatched",
    "Watched",
]
