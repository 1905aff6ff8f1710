"""Whoever gives its session up was told so by a leader that gave it up before (18).

A session that is lost without need takes its holds and calls along, and nobody else sees more of it than that it ends
a little later, for its silence. So what gateways have is compared from look to look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from casty.cluster.sessions.core.call import Purpose

from ..violation import Violation, ViolationError

if TYPE_CHECKING:
    from casty.cluster.sessions.gateway import Gateway

__all__ = ["SessionKey", "Told"]

_EXPIRES = 18

SessionKey = tuple[int, int, int]
"""(slot, epoch, number)."""


class Told:
    """Who had which sessions at the last look: a row per running gateway.

    Parameters
    ----------
    lives
        Says whether a session is there in what is committed, and nobody meant to end it.
    """

    def __init__(self, lives: Callable[[SessionKey], bool]) -> None:
        self._lives = lives
        self._had: dict[str, tuple[Any, dict[SessionKey, bool]]] = {}
        """By process its gateway, and its sessions that named anything: whether that was a hold."""

    def look(self, name: str, gateway: Gateway | None) -> None:
        """Look at the gateway of a running process.

        A session without calls and holds may be closed by its own gateway, which asks for it then; one that has any is
        given up only when the slot says that it is gone. Calls may have ended since the last look.
        """
        if gateway is None or gateway.core.is_closed:
            self._had.pop(name, None)
            return
        known, had = self._had.get(name, (None, {}))
        sessions = gateway.sessions_by_slot.values()
        present = {key_of(one): one for one in sessions if one.number is not None}
        if known is gateway:
            for key, had_hold in had.items():
                if key in present or (not had_hold and key in closing(gateway)):
                    continue
                if self._lives(key):
                    text = f"{name} gave up its session {key[2]}, which lives and was not to end"
                    raise ViolationError(Violation(_EXPIRES, f"slot {key[0]}", text))
        self._had[name] = (
            gateway, {key: bool(one.held) for key, one in present.items() if not one.is_idle()}
        )  # fmt: skip


def closing(gateway: Gateway) -> list[SessionKey]:
    """Return the sessions that a gateway has asked to close, and that it has no answer about."""
    calls = gateway.core.table.calls.values()
    return [key_of(call.session) for call in calls if call.purpose is Purpose.CLOSE]


def key_of(client_session: Any) -> SessionKey:
    """Return which session a client session is of."""
    return client_session.slot, client_session.epoch, client_session.number
