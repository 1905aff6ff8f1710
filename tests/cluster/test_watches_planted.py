"""Each bug that is planted in watches and refs fails a test by name, whatever the simulator's luck."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from casty.actor.local import Origin
from chaos.ablations.bug import planted
from chaos.ablations.watches import WATCHES
from tests.unit.actor import test_lives, test_watch_protocol, test_watch_table

from . import test_watches

PROOFS: dict[str, tuple[Callable[..., Any], tuple[object, ...]]] = {
    "said-once": (test_watch_table.test_an_end_in_a_cut_is_told_when_the_wire_is_back, ()),
    "down-is-forgotten": (
        test_watch_table.test_a_watcher_that_was_judged_down_hears_of_the_end_after_it, (),
    ),
    "missing-is-gone": (test_watches.test_a_client_whose_links_are_gone_for_less_than_the_ttl_is_not_lost, ()),
    "blind-judge": (test_watches.test_a_node_that_was_taken_for_lost_loses_nothing_of_its_own, ("cut",)),
    "no-detour": (test_watches.test_an_end_goes_around_a_cut_that_lasts, (6, "both ways")),
    "no-guardian": (test_watches.test_each_end_is_told_once, ("c1", "c2", "crash")),
    "down-is-waited-for": (test_watches.test_each_end_is_told_once, ("node-1", "node-3", "crash")),
    "lost-unawares": (test_watch_table.test_who_is_judged_down_is_told_once_and_lets_go_when_it_is_back, ()),
    "rows-kept": (test_watches.test_at_rest_no_process_has_a_row, ()),
    "any-life": (test_watch_protocol.test_a_known_life_is_asked_for_again_not_its_successor, ()),
    "late-tick": (test_watch_table.test_a_client_that_is_missing_has_a_grace_that_counts_only_what_was_seen, ()),
    "mail-of-another": (test_lives.test_a_name_that_is_used_again_is_another_life, (Origin("h", 1, "me", "1"),)),
    "inexact-services": (test_lives.test_the_end_of_a_service_does_not_unlist_its_successor, ()),
}  # fmt: skip


def prove(name: str) -> None:
    proof, args = PROOFS[name]
    if inspect.iscoroutinefunction(proof):
        asyncio.run(proof(*args))
    else:
        proof(*args)


@pytest.mark.slow
@pytest.mark.parametrize("bug", WATCHES, ids=lambda bug: bug.name)
def test_a_planted_bug_fails_its_test(bug: Any) -> None:
    with planted(bug), pytest.raises(AssertionError):
        prove(bug.name)
    prove(bug.name)
