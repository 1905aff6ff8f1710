"""Every script beside this file gives the transcript that it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scripts.raft_script import replay

SCRIPTS = sorted((Path(__file__).parent / "raft").glob("*.txt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(path: Path) -> None:
    text = path.read_text()
    assert replay(text) == text


def test_the_scripts_are_found() -> None:
    assert len(SCRIPTS) >= 14
