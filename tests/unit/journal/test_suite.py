"""The journals without a server, over the public suite."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from casty.errors import JournalError
from casty.journal.base import EventJournal
from casty.journal.memory import InMemoryJournal
from casty.journal.postgres import PostgresJournal
from casty.journal.sqlite import SqliteJournal
from casty.testing.journal_suite import CHECKS, Check


@pytest.fixture(params=["memory", "sqlite", "sqlite in memory"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventJournal]:
    if request.param == "memory":
        yield InMemoryJournal()
        return
    async with SqliteJournal(tmp_path / "journal.db" if request.param == "sqlite" else ":memory:") as sqlite:
        yield sqlite


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_suite(check: Check, journal: EventJournal) -> None:
    await check(journal)


async def test_without_asyncpg(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is asked for by name; what needs no server works without it."""
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    async with PostgresJournal("postgresql:///nowhere") as journal:
        with pytest.raises(JournalError, match=r"pip install casty\[postgres\]"):
            await journal.load("a")
