"""A check without a planted bug proves nothing: each of the easy ones has to be found, and soon."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import Any

import pytest

from chaos.ablations.actors import ACTORS
from chaos.ablations.boundary import BOUNDARY
from chaos.ablations.bug import Planted, find, planted
from chaos.ablations.clients import CLIENTS
from chaos.ablations.lives import LIVES
from chaos.ablations.memory import MEMORY
from chaos.ablations.planted import FIRST, PLANTED
from chaos.ablations.recorded import RECORDED_BUGS
from chaos.ablations.remains import REMAINS
from chaos.ablations.watched import WATCHED
from chaos.ablations.watches import WATCHES
from sim.plans.generate import ROGUE, SCENARIOS

SOON = 12
ROOT = Path(__file__).parents[2]
EASY = [
    bug
    for bug in (
        *FIRST,
        *CLIENTS,
        *ACTORS,
        *MEMORY,
        *REMAINS,
        *BOUNDARY,
        *LIVES,
        *WATCHED,
        *WATCHES,
        *RECORDED_BUGS,
    )
    if not bug.is_hard and not bug.shown_by
]

FOUND_BY = {
    "one-permit-more": 1, "redirect-numbers-anew": 1, "a full node refuses deletions": 1,
    "a full node refuses releases": 1, "removals count at the next measurement only": 1,
    "a restored state is counted twice": 1, "goes on without memory to apply": 2,
    "goes on without memory to ask": 4, "proposal-kept": 1, "outcome-kept": 4,
    "any-session-proves": 4, "kept-alive-by-anybody": 3, "control-from-clients": 2, "asker-by-its-word": 5,
    "client-before-its-node": 3, "replies-of-strangers": 1, "acks-of-strangers": 1, "founding-of-clients": 1,
    "consensus-of-clients": 2, "replies-of-clients": 2, "ids-are-paths": 3, "forgotten-when-down": 3,
    "watches-on": 11, "no-guardian": 2, "rows-kept": 1, "reply-before-journal": 1, "reads-off-the-record": 1,
    "tail-not-fetched": 1, "stale-writer-accepted": 1, "life-not-told": 1, "restored-twice": 2,
    "tail-not-in-snapshot": 2,
}  # fmt: skip
"""Which of the first `SOON` seeds finds a bug that the very first does not: it is tried first, and the others where it
does not find it any more."""


@pytest.mark.slow
@pytest.mark.parametrize("bug", EASY, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Planted, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1)
    first = FOUND_BY.get(bug.name, 0)
    finding = find(bug, [first, *(seed for seed in range(SOON) if seed != first)])
    assert finding is not None, f"{bug.name} breaks {bug.safeguard}, and nobody noticed"


def test_every_bug_replaces_something_and_is_taken_out_again() -> None:
    assert len({bug.name for bug in PLANTED}) == len(PLANTED) >= 30
    for bug in PLANTED:
        sound = vars(bug.owner)[bug.attribute]
        with planted(bug):
            assert vars(bug.owner)[bug.attribute] is bug.broken is not sound
        assert vars(bug.owner)[bug.attribute] is sound


def test_every_bug_is_called_as_what_it_replaces() -> None:
    """Whatever raises for its arguments alone is found by anything, and shows nothing."""
    wrong = [
        f"{bug.name}: {error}"
        for bug in PLANTED
        for error in _misfits(vars(bug.owner)[bug.attribute], bug.broken)
    ]
    assert wrong == []


def _misfits(sound: Any, broken: Any) -> list[str]:
    """Return what is wrong when a replacement is called with the least and with the most that the original takes."""
    sound, broken = _function(sound), _function(broken)
    if not (inspect.isfunction(sound) and inspect.isfunction(broken)):
        return []
    taken, found = list(inspect.signature(sound).parameters.values()), []
    for is_most in (False, True):
        given = [one for one in taken if is_most or one.default is one.empty]
        places = [None for one in given if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
        names = {one.name: None for one in given if one.kind is one.KEYWORD_ONLY}
        try:
            inspect.signature(broken).bind(*places, **names)
        except TypeError as error:
            found.append(str(error))
    return found


def _function(value: Any) -> Any:
    value = value.fget if isinstance(value, property) else value
    return value.__func__ if isinstance(value, staticmethod | classmethod) else value


def test_what_no_scenario_shows_names_a_test_that_is_there() -> None:
    for bug in PLANTED:
        assert bug.shown_by or bug.scenario in SCENARIOS, bug.name
        if bug.shown_by:
            path, _, case = bug.shown_by.partition("::")
            assert f"def {case.partition('[')[0]}(" in (ROOT / path).read_text(), bug.name


def test_every_bug_has_a_row_with_how_soon_it_was_found() -> None:
    rows = (ROOT / "docs" / "planted-bugs.md").read_text()
    assert [bug.name for bug in PLANTED if f"| {bug.name} " not in rows] == []


@pytest.mark.slow
def test_a_test_that_fails_with_its_bug_only_shows_it() -> None:
    (bug,) = [bug for bug in PLANTED if bug.name == "any-announcement"]
    assert find(bug, []) is not None
    harmless = bug._replace(
        shown_by="tests/unit/cluster/control/test_control.py::test_a_second_founding_changes_nothing"
    )
    assert find(harmless, []) is None
    with pytest.raises(RuntimeError, match="pytest ended with 4"):
        find(bug._replace(shown_by="tests/unit/cluster/control/test_control.py::test_nothing"), [])


def test_a_third_of_them_need_a_coincidence() -> None:
    # What a node lets in takes one frame that it should not: nothing has to coincide.
    inside = [bug for bug in PLANTED if bug.scenario != ROGUE]
    assert sum(bug.is_hard for bug in inside) >= len(inside) // 4
    assert len({bug.safeguard for bug in PLANTED}) >= 10
