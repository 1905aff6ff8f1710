"""What processes ask and tell the entities of the scenario ``entities``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from casty.actor.sharding import ShardEnvelope
from casty.errors import CastyError, EncodingError

from .ledgers import LEDGERS, VISITS, Ledgers
from .recorder import OperationContext

__all__ = ["LEDGER_PERFORMERS"]


async def _tell_ledger(context: OperationContext) -> None:
    ledgers = _ledgers(context)
    region = ledgers.region(context.process, LEDGERS)
    if region is None:
        return
    for _ in range(context.number("count", 1)):
        what = str(context.planned.args.get("what"))
        entity_id, own = ledgers.message(
            context.process, LEDGERS, context.number("which"), what, context.number("ms")
        )
        region.tell(ShardEnvelope(entity_id, own))


async def _ask(context: OperationContext, region: str, what: str) -> None:
    began_ns = context.process.clock.now()
    try:
        await _ledgers(context).ask(
            context.process, region, context.number("which"), what, context.number("ms"), context.timeout_s()
        )
        context.recorder.goal(f"one of the {region} answered")
    except (TimeoutError, CastyError) as error:
        context.recorder.goal(f"one of the {region} did not answer")
        if isinstance(error, EncodingError):
            context.violate(51, f"a question ended for its words: {error!r:.200}")
    context.check_end(began_ns, context.timeout_s(), context.planned.kind, f"ask of {context.process.name}")


async def _ask_ledger(context: OperationContext) -> None:
    await _ask(context, LEDGERS, str(context.planned.args.get("what")))


async def _ask_visit(context: OperationContext) -> None:
    await _ask(context, VISITS, "")


def _ledgers(context: OperationContext) -> Ledgers:
    ledgers: Ledgers | None = context.recorder.ledgers
    assert ledgers is not None, "the executor makes them for these operations"
    return ledgers


LEDGER_PERFORMERS: dict[str, Callable[[OperationContext], Awaitable[None]]] = {
    "ledger.ask": _ask_ledger, "ledger.tell": _tell_ledger, "visit.ask": _ask_visit,
}  # fmt: skip
"""Kind of operation -> what it does."""
