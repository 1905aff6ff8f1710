"""Planted bugs in what goes when it is over: calls, numbers, proposals and outcomes."""

from __future__ import annotations

from typing import Any

from casty.cluster.multiraft.proposals import Proposals
from casty.cluster.sessions.core.call_table import CallTable
from casty.cluster.slots.leader import SlotLeader

from .bug import bug_in

__all__ = ["REMAINS"]


def _call_kept(right: Any) -> Any:
    """A call that is over stays in the table of calls."""

    def end(table: Any, call: Any, *event: Any) -> None:
        right(table, call, *event)
        table.calls[call.call_id] = call

    return end


def _number_kept(_right: Any) -> Any:
    """The number of a call that is over stays its own."""

    def unnumber(_table: Any, _call: Any) -> None:
        """Nothing is given back."""

    return unnumber


def _slot_kept(right: Any) -> Any:
    """The table of calls by slot keeps those that are over."""

    def end(table: Any, call: Any, *event: Any) -> None:
        right(table, call, *event)
        table._by_slot.setdefault(call.slot, {})[-call.call_id] = call

    return end


def _proposal_kept(_right: Any) -> Any:
    """Who waited for an entry stays in the table when it was applied."""

    def take(proposals: Any, index: int, term: int) -> Any:
        proposed_in, waiting, _ = proposals.rows.get(index, (None, None, None))
        return waiting if proposed_in == term else None

    return take


def _outcome_kept(_right: Any) -> Any:
    """Who waited for an outcome stays in the table when it was told."""

    def take(leader: Any, session: int, seq: int) -> Any:
        return leader.waiting.get(session, {}).get(seq)

    return take


REMAINS = (
    bug_in("call-kept", "rows of calls", "mixed", CallTable, "end", _call_kept),
    bug_in("number-kept", "rows of numbers", "mixed", CallTable, "unnumber", _number_kept),
    bug_in("slot-kept", "rows of slots", "mixed", CallTable, "end", _slot_kept),
    bug_in("proposal-kept", "rows of proposals", "mixed", Proposals, "take", _proposal_kept),
    bug_in("outcome-kept", "rows of waiting calls", "mixed", SlotLeader, "_take", _outcome_kept),
)
