"""A check without a planted bug proves nothing: each of these has to be found, and soon."""

from __future__ import annotations

import logging

import pytest

from chaos.ablations.__main__ import seeds_to_find
from chaos.ablations.planted import PLANTED, Planted


@pytest.mark.slow
@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_planted_bug_is_found(planted: Planted, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1)
    assert seeds_to_find(planted, 8) is not None, (
        f"{planted.name} breaks {planted.safeguard}, and nobody noticed"
    )
