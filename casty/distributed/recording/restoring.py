"""From a journal's history of an entity to the commands that give its state. Pure.

A history is a snapshot, which is a list of commands as well, and the changes after it. Between them stand the events
that begin a life of the entity in some cluster; they change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from casty.distributed.machines.base import Caller, Command, Context
from casty.distributed.machines.record import MAX_PART, command_bytes
from casty.distributed.machines.registry import STRUCTURES
from casty.distributed.recording.names import LIFE
from casty.errors import JournalError

__all__ = ["History", "parts_of"]

PART_BYTES = 256 * 1024
"""About how long a part of a restoration may be, but for one of a single command."""


def _no_token() -> int:
    """Stand for what tells the lives of a queue apart in a slot: here there is one."""
    return 0


class History:
    """The state that a history gives, folded as it is read.

    Parameters
    ----------
    kind
        The entity's kind.
    entity_id
        Its id in the journal, for errors.
    """

    __slots__ = ("_context", "_entity_id", "_structure", "life", "number", "state")

    def __init__(self, kind: int, entity_id: str) -> None:
        self._structure = STRUCTURES[kind]
        self._entity_id = entity_id
        self._context = Context(Caller(0, 0), _no_token)
        self.state: Any = None
        """None where the entity does not exist."""
        self.number = 0
        """Of the last event or snapshot that was read."""
        self.life: bytes | None = None
        """Of the last event, where that begins a life."""

    def begin(self, number: int, commands: Any) -> None:
        """Take a snapshot; first of all."""
        self.number = number
        for command in self._checked(commands, number):
            self._apply(command, number)

    def take(self, number: int, event: Any) -> None:
        """Take the next event."""
        if number != self.number + 1:
            raise JournalError(
                f"journal: expected event {self.number + 1} of {self._entity_id!r} next, found {number}"
            )
        self.number = number
        if isinstance(event, list) and len(event) == 2 and event[0] == LIFE:
            self.life = event[1]
            return
        self.life = None
        self._apply(event, number)

    def _checked(self, commands: Any, number: int) -> list[Any]:
        if not isinstance(commands, list):
            raise JournalError(
                f"journal: expected a list of changes in the snapshot {number} of {self._entity_id!r}, "
                f"found {type(commands).__qualname__}"
            )
        return list(commands)

    def _apply(self, command: Any, number: int) -> None:
        try:
            self._structure.check(command)
        except ValueError as error:
            raise JournalError(
                f"journal: event {number} of {self._entity_id!r} is no change of a {self._structure.name}: {error}; "
                "it was written by something else, or by a later version"
            ) from error
        self.state = self._structure.decide(self.state, command, self._context).state

    def commands(self) -> list[Command]:
        """Return commands that give the state where there is none."""
        return [] if self.state is None else self._structure.rebuild(self.state)


def parts_of(commands: Sequence[Command], step: int) -> tuple[list[Command], bool]:
    """Return the part of a restoration that begins at a step, and whether it is the last one."""
    part: list[Command] = []
    room_bytes = PART_BYTES
    for command in commands[step : step + MAX_PART]:
        room_bytes -= command_bytes(command)
        if part and room_bytes < 0:
            break
        part.append(command)
    return part, step + len(part) >= len(commands)
