"""The error tree."""

from __future__ import annotations

import pytest

from casty import errors

BASES: dict[str, type[BaseException]] = {
    "Unavailable": TimeoutError,
    "OutcomeUnknown": TimeoutError,
    "AlreadyHeld": RuntimeError,
    "NotStarted": RuntimeError,
    "Mismatch": ValueError,
    "ConfigError": ValueError,
    "EncodingError": TypeError,
    "LocalProtocolError": errors.ProtocolError,
    "RemoteProtocolError": errors.ProtocolError,
}


@pytest.mark.parametrize("name", errors.__all__)
def test_one_tree(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, errors.CastyError)
    assert kind.__doc__
    assert issubclass(kind, BASES.get(name, errors.CastyError))


def test_all_names_are_exported() -> None:
    found = [name for name, value in vars(errors).items() if isinstance(value, type)]
    assert sorted(found) == sorted(errors.__all__) == errors.__all__
