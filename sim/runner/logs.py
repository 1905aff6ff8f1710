"""The log of simulated nodes, for as long as a command runs."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["logged"]


@contextmanager
def logged(level: int) -> Generator[None, None, None]:
    """Let the library log from `level` on, and leave its logger as it was."""
    logger = logging.getLogger("casty")
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
