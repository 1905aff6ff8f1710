"""The demonstration ends well, and says so only because it checked."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest

from casty.cli.demo_work import Shop


@pytest.mark.live
@pytest.mark.slow
def test_the_demonstration() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "casty.cli", "demo"], capture_output=True, text=True, timeout=90, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "nothing lost, nothing doubled"
    assert "FAIL" not in result.stdout


class Counter:
    """A counter that lost one increment."""

    async def get(self) -> int:
        return 4


class Nothing:
    """Any other structure, empty."""

    async def dequeue(self) -> None:
        return None


def test_a_lost_increment_is_told() -> None:
    distributed: Any = SimpleNamespace(
        counter=lambda name, timeout: Counter(),
        map={(str, int): lambda name, timeout: Nothing()},
        set={str: lambda name, timeout: Nothing()},
        queue={str: lambda name, timeout: Nothing()},
        semaphore=lambda name, permits, timeout: Nothing(),
    )
    shop = Shop(cast("Any", SimpleNamespace(distributed=lambda: distributed)))
    shop.account.sales = 5
    shop.account.tokens = [1, 3, 2]
    shop.account.sent = ["a", "b"]
    shop.account.taken = ["a", "a"]
    shop.account.violations = ["two workers held the lock"]
    found = dict(asyncio.run(shop.check()))
    wrong = [sentence.partition(":")[0] for sentence, is_so in found.items() if not is_so]
    assert wrong[:2] == ["counter", "lock"]
    assert wrong[-1] == "queue"
    assert len(wrong) == 4
