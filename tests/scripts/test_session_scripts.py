"""Every script beside this file gives the transcript that it holds, and together they pass through every state."""

from __future__ import annotations

from pathlib import Path

import pytest

from casty.cluster.sessions.core.life import CallState
from tests.scripts.session_script import replay

SCRIPTS = sorted((Path(__file__).parent / "sessions").glob("*.txt"))
WITHIN_A_STEP = ("READY", "READY_IN_DOUBT", "READY_QUEUED", "READY_WITHDRAWING")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(path: Path) -> None:
    text = path.read_text()
    assert replay(text) == text


def test_the_scripts_are_found_and_show_every_state_that_lasts() -> None:
    text = "".join(path.read_text() for path in SCRIPTS)
    assert len(SCRIPTS) >= 11
    assert [state.name for state in CallState if f" {state.name}\n" not in text] == list(WITHIN_A_STEP)
