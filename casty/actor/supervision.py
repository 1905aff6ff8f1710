"""What becomes of an actor whose code raised: strategies, which restart it, stop it, or ask further out."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from casty import runtime as runtimes
from casty.actor.ref import ActorRef
from casty.checks import check_callable, check_count, check_seconds, shown
from casty.config import SECOND_NS

__all__ = [
    "ChildFailed",
    "Directive",
    "OneForOneStrategy",
    "SupervisionStrategy",
    "directive_of",
]


class Directive(Enum):
    """What a strategy says about an exception."""

    restart = "restart"
    """Run the spawned behaviour anew, with the mail of before; the message in hand is not handled again."""
    stop = "stop"
    """Stop the actor, as without a strategy."""
    escalate = "escalate"
    """Let the next strategy outwards decide. After the outermost one the actor stops, and its parent fails with the
    same exception, which the parent's own strategies decide on."""


class SupervisionStrategy(Protocol):
    """Decides on the exceptions of the actors that it supervises."""

    def decide(self, exception: Exception, *, child_id: str) -> Directive:
        """Say what becomes of the actor whose path is `child_id`, whose code raised `exception`."""
        ...


class OneForOneStrategy:
    """Restart the actor that failed and no other, unless it fails too often.

    One strategy may supervise any number of actors, which are counted apart.

    Parameters
    ----------
    max_restarts
        So many restarts of one actor within `within`, at least 0; the next failure stops it.
    within
        Seconds, on the process's clock.
    decider
        Says which directive an exception gets; None restarts on every `Exception`. What it answers with is obeyed,
        except for a restart too many.

    Bounds: a row per actor that was restarted within the last `within` seconds; it goes when it is older and another
    actor fails.

    Examples
    --------
    >>> strategy = OneForOneStrategy(max_restarts=1, within=60.0)
    >>> strategy.decide(ValueError(), child_id="a"), strategy.decide(ValueError(), child_id="a")
    (<Directive.restart: 'restart'>, <Directive.stop: 'stop'>)
    """

    __slots__ = ("_decider", "_restarts_ns", "max_restarts", "within")

    def __init__(
        self,
        max_restarts: int = 3,
        within: float = 60.0,
        decider: Callable[[Exception], Directive] | None = None,
    ) -> None:
        self.max_restarts = check_count("max_restarts", max_restarts, 0)
        check_seconds(within, "within")
        self.within = within
        if decider is not None:
            check_callable(decider, "decider")
        self._decider = decider
        self._restarts_ns: OrderedDict[str, deque[int]] = OrderedDict()
        """When each actor was restarted; who was restarted longest ago comes first."""

    def decide(self, exception: Exception, *, child_id: str) -> Directive:
        """Ask the decider, and count the restarts."""
        directive = Directive.restart if self._decider is None else self._decider(exception)
        if directive is not Directive.restart:
            return directive
        now_ns = runtimes.current().clock.now()
        since_ns = now_ns - int(self.within * SECOND_NS)
        self._drop_before(since_ns)
        restarts_ns = self._restarts_ns.setdefault(child_id, deque())
        while restarts_ns and restarts_ns[0] < since_ns:
            restarts_ns.popleft()
        if len(restarts_ns) >= self.max_restarts:
            del self._restarts_ns[child_id]
            return Directive.stop
        restarts_ns.append(now_ns)
        self._restarts_ns.move_to_end(child_id)
        return Directive.restart

    def _drop_before(self, since_ns: int) -> None:
        while self._restarts_ns:
            restarts_ns = next(iter(self._restarts_ns.values()))
            if restarts_ns[-1] >= since_ns:
                return
            self._restarts_ns.popitem(last=False)


@dataclass(frozen=True, slots=True)
class ChildFailed:
    """A child's exception that was escalated, on its way to the parent; a dead letter where the parent stops first."""

    ref: ActorRef[Any]
    exception: Exception


def directive_of(strategy: SupervisionStrategy, exception: Exception, child_id: str) -> Directive:
    """Return what a strategy says.

    Raises
    ------
    TypeError
        It says something else than a `Directive`.
    """
    return _checked(strategy.decide(exception, child_id=child_id), strategy)


def _checked(directive: object, strategy: SupervisionStrategy) -> Directive:
    if not isinstance(directive, Directive):
        raise TypeError(f"supervision: expected a Directive from {shown(strategy)}, found {shown(directive)}")
    return directive
