"""What is parsed for these tests goes with the last of them."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.tidy.source import clear


@pytest.fixture(scope="package", autouse=True)
def _parsed() -> Generator[None, None, None]:
    """Keep the parsed files for as long as one of these tests is to come."""
    yield
    clear()
