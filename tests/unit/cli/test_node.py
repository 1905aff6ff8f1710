"""What surrounds ``casty node``: pipes that nobody reads, directories that are gone."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from casty.cli.main import main
from casty.cli.node import SWITCH_S, say_ready
from casty.config_file import load_config
from casty.errors import ConfigError


def test_a_pipe_that_nobody_reads_does_not_end_a_node(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        with caplog.at_level(logging.WARNING, "casty.cli"):
            say_ready("ready a")
        assert "nobody could be told" in caplog.text
        stream.flush()  # as at the end of the process


def test_a_working_directory_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match="working directory is gone"):
        load_config(environ={})


@pytest.mark.parametrize(("before_s", "after_s"), [(0.005, SWITCH_S), (SWITCH_S / 2, SWITCH_S / 2)])
def test_threads_take_turns_often_in_a_node(
    before_s: float, after_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk's thread waits for its turn twice for each transaction; whoever set less keeps that."""
    seen: list[float] = []

    def run(serving: Coroutine[Any, Any, int]) -> int:
        serving.close()
        seen.append(sys.getswitchinterval())
        return 0

    monkeypatch.setattr("casty.cli.node.asyncio.run", run)
    monkeypatch.setattr("casty.cli.node.logging.basicConfig", lambda **_: None)
    present_s = sys.getswitchinterval()
    sys.setswitchinterval(before_s)
    try:
        assert main(["node", "--name", "shop", "--host", "127.0.0.1", "--port", "25520"]) == 0
    finally:
        sys.setswitchinterval(present_s)
    assert seen == [pytest.approx(after_s)]
