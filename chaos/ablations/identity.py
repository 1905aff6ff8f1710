"""Planted bugs in who is who: a process that nobody names moves a founding, or has a say in a group."""

from __future__ import annotations

from typing import Any

from casty.cluster.arrival import Arrival

from .bug import Planted

__all__ = ["IDENTITY"]

_WHO = "who is who"


def _anybody(*_: Any) -> bool:
    return True


IDENTITY = (Planted("founding-of-strangers", _WHO, "rogue", Arrival, "_is_named", _anybody, True),)
"""Of what is judged by names, a process that forges frames sees the founding; the rest is tested on real links, see
`tests/unit/systems/test_identity.py`."""
