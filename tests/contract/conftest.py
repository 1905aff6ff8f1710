"""The environments in which the contract holds: the same coroutines run in each."""

from __future__ import annotations

import pytest
import trustme

from casty.tls import Config
from tests.contract.environments import HOST, Environment, contexts_of, run_for_real, run_simulated


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def tls(authority: trustme.CA) -> Config:
    return contexts_of(authority, HOST)


@pytest.fixture(params=["tcp", "tls", "sim"])
def environment(request: pytest.FixtureRequest) -> Environment:
    name: str = request.param
    if name == "sim":
        return Environment(name, HOST, None, run_simulated)
    return Environment(name, HOST, request.getfixturevalue("tls") if name == "tls" else None, run_for_real)
