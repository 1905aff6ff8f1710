"""The README's Python blocks are run as they stand; only hosts and ports are those of this machine."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from casty import ClusterClient, ClusteredActorSystem

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)

pytestmark = [pytest.mark.live, pytest.mark.slow]


def block(word: str) -> str:
    """Return the one block that has a word in it."""
    (found,) = [one for one in BLOCKS if word in one]
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run(*words: str) -> str:
    result = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_first_example_sells_once(tmp_path: Path) -> None:
    script = tmp_path / "first.py"
    script.write_text(block("ClusteredActorSystem(").replace("25520", str(free_port())))
    assert re.fullmatch(r"sale 1, fencing token \d+\n", run(str(script)))


async def test_the_client_example_works_on_a_cluster() -> None:
    async with ClusteredActorSystem(name="shop", host="127.0.0.1", port=0) as system:
        text = block("ClusterClient(").replace("10.0.0.1", "127.0.0.1")
        names: dict[str, object] = {}
        exec(text.replace("25520", str(system.self_node.port)), names)
        work = names["work"]
        assert callable(work)
        await work()
        assert await system.distributed().map[str, int]("users").get("alice") == 30
        assert await system.distributed().queue[str]("jobs").dequeue() == "invoice-1"


async def test_the_journal_example_sells_on_in_the_next_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block("SqliteJournal("), names)
    for sold in (1, 2):
        async with (
            ClusteredActorSystem(name="shop", host="127.0.0.1", port=0) as system,
            ClusterClient(contact_points=[system.self_node], system_name="shop") as client,
        ):
            assert await names["sell"](client) == sold


def test_the_simulation_example_passes_under_pytest(tmp_path: Path) -> None:
    script = tmp_path / "test_readme_simulation.py"
    script.write_text(block("@simulate("))
    assert "20 passed" in run(
        "-m", "pytest", "-q", "-n", "0", "-c", str(ROOT / "pyproject.toml"), str(script)
    )
