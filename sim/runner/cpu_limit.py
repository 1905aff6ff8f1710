"""A limit of processor time for one seed: what hangs within one virtual instant ends as an error of that seed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

__all__ = ["SEED_LIMIT_S", "OutOfTime", "limited"]

SEED_LIMIT_S = 120.0
"""Hundreds of times what a seed takes, in processor time, so that a busy machine changes no verdict."""
_AGAIN_S = 1.0


class OutOfTime(KeyboardInterrupt):
    """The processor time of a seed is used up.

    A `KeyboardInterrupt`, because that is what loops and tasks let through wherever it meets them.
    """


@contextmanager
def limited(limit_s: float) -> Generator[None, None, None]:
    """Raise `OutOfTime` once the body has used so much processor time, and again each second until it ends.

    Outside of the main thread, where no signal can be had, nothing is limited.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise OutOfTime(f"used up {limit_s:g} s of processor time")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, limit_s, _AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
