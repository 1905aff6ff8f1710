"""Planted bugs in what one link may cost: work that is left over is lost.

Processing takes no time in the simulator, so that floods which only take time show in `benchmarks/floods.py` alone, and
each bound in `tests/unit/transport/test_intake.py` and `tests/unit/cluster/test_floods.py`.
"""

from __future__ import annotations

from typing import Any

from casty.cluster.node.replies import LinkReplySink
from casty.transport.connection import Connection
from casty.transport.intake import Intake

from .bug import Planted, bug_in, shown

__all__ = ["SHARES"]

_SHARES = "shares of a turn"


def _never(*_: Any) -> None:
    """What is left of a share is never served."""


def _dropped(right: Any) -> Any:
    """What does not fit into a share is dropped."""

    def serve(connection: Any, *units: int) -> None:
        right(connection, *units)
        connection._inbox.clear()

    return serve


def _unread(right: Any) -> Any:
    """A link that was not read for a while is not read again."""

    def rest(connection: Any, intake: Any) -> None:
        was_paused = connection._is_paused
        right(connection, intake)
        if was_paused and not connection._is_paused:
            connection._pause()

    return rest


def _not_drained(_connection: Any) -> None:
    """Nobody notes that the other end took what waited for it."""


_TEST = "tests/cluster/test_floods.py::test_who_asks_for_very_much_at_once_gets_it"

SHARES = tuple(
    shown(bug, _TEST)
    for bug in (
        Planted("rotation-stops", _SHARES, "", Intake, "_see_to_it", _never),
        bug_in("rest-of-a-share-dropped", _SHARES, "", Connection, "_serve", _dropped),
        bug_in("never-read-again", _SHARES, "", Connection, "_rest", _unread),
        Planted("never-drained", _SHARES, "", Connection, "_drained", _not_drained),
        Planted("reads-put-off-for-good", _SHARES, "", LinkReplySink, "put_off", _never),
    )
)
"""What needs many calls of one client at once, more than any scenario has."""
