"""What surrounds ``casty node``: pipes that nobody reads, directories that are gone."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from casty.cli.node import say_ready
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
