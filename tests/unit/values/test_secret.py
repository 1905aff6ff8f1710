"""Shared secrets as values: what can be one, who is accepted, and that nothing shows them."""

from __future__ import annotations

import copy
import pickle
from dataclasses import asdict
from pathlib import Path

import pytest

from casty.config import load_config
from casty.errors import ConfigError
from casty.secret import MAX_SECRETS, Secrets

OLD, NEW = "o" * 16, "n" * 32


def of(value: object) -> Secrets:
    secrets = Secrets.of("secret", value)
    assert secrets is not None
    return secrets


def test_the_first_proves_and_any_is_accepted() -> None:
    old, both, new = of(OLD), of([OLD, NEW]), of((NEW, OLD))
    for prover, judges in ((old, [old, both, new]), (both, [old, both, new]), (new, [both, new])):
        proof = prover.prove(b"said")
        assert [secrets.accepts(b"said", proof) for secrets in judges] == [True] * len(judges)
    assert not old.accepts(b"said", new.prove(b"said"))
    assert not old.accepts(b"said", old.prove(b"something else"))
    assert not old.accepts(b"said", b"")


def test_none_is_none_and_secrets_stay_what_they_are() -> None:
    assert Secrets.of("secret", None) is None
    assert Secrets.of("secret", of(OLD)).__class__ is Secrets
    assert of(of(OLD)).prove(b"x") == of(OLD).prove(b"x")


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ("hush", ConfigError, "expected 16 to 1024 bytes, found 4; make one with"),
        ("h" * 1025, ConfigError, "found 1025"),
        ("\ud800" * 20, ConfigError, "UTF-8"),
        ([], ConfigError, f"expected 1 to {MAX_SECRETS} secrets, found 0"),
        ([OLD] * 9, ConfigError, "found 9"),
        (b"hush" * 8, TypeError, "expected a text, a list of texts, or None, found bytes"),
        ([OLD, 5], TypeError, "expected a text, found int"),
    ],
)
def test_what_cannot_be_one_is_not_shown(value: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        Secrets.of("secret", value)
    assert "hush" not in str(caught.value)
    assert OLD not in str(caught.value)


def test_nothing_shows_or_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "casty.toml"
    path.write_text(f'[cluster]\nhost = "h"\nsecret = ["{NEW}", "{OLD}"]\n')
    config = load_config(path, environ={})
    assert config.cluster is not None
    secrets = config.cluster.secret
    assert secrets is not None
    assert secrets.accepts(b"x", of(OLD).prove(b"x"))
    for shown in (repr(config), str(secrets), str(asdict(config))):
        assert NEW not in shown
        assert OLD not in shown
    assert copy.deepcopy(secrets) is secrets is copy.copy(secrets)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(secrets)


def test_the_environment_gives_several_by_commas() -> None:
    config = load_config("/dev/null", environ={"CASTY_CLUSTER_SECRET": f"{NEW},{OLD}"})
    assert config.cluster is not None
    assert repr(config.cluster.secret) == "<Secrets: 2>"


@pytest.mark.parametrize("secret", ['"hush"', "5", '["hush"]', "[5]", "{a = 'hush'}"])
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, secret: str) -> None:
    path = tmp_path / "casty.toml"
    path.write_text(f"[cluster]\nsecret = {secret}\n")
    with pytest.raises(ConfigError, match=r"secret in \[cluster\]: expected") as caught:
        load_config(path, environ={})
    assert "hush" not in str(caught.value)
    with pytest.raises(ConfigError, match="CASTY_CLUSTER_SECRET") as caught:
        load_config("/dev/null", environ={"CASTY_CLUSTER_SECRET": "hush"})
    assert "hush" not in str(caught.value)


def test_a_file_of_lines() -> None:
    assert repr(Secrets.of_lines("f", f"\n {NEW} \n\n{OLD}\n")) == "<Secrets: 2>"
    with pytest.raises(ConfigError, match="f: expected 1 to"):
        Secrets.of_lines("f", "\n\n")
