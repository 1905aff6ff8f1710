"""The words of the command line."""

from __future__ import annotations

import pytest

from casty.cli.main import main
from casty.version import __version__


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip() == f"casty {__version__}"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nothing"],
        ["status"],
        ["status", "--contact", "nowhere"],
        ["node", "--seed", "x"],
        ["node", "--port", "x"],
    ],
)
def test_wrong_usage_is_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["status", "--contact", "127.0.0.1:1", "--locate", "lok:a"], "expected KIND:NAME"),
        (["node", "--name", "x"], "needs --host and --port"),
        (["node", "--host", "h", "--port", "1", "--app", "nothing"], "expected module:function"),
        (["node", "--host", "h", "--port", "1", "--app", "no.such.module:f"], "no.such.module"),
        (["node", "--host", "h", "--port", "1", "--app", "os:name"], "expected a function"),
    ],
)
def test_wrong_values_are_two(
    words: list[str],
    expected: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    assert main(words) == 2
    assert expected in capsys.readouterr().err
