"""The same plan gives the same digest: fresh process or not, any hash seed, any heap, any CPython."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import msgpack
import pytest

from tests.sim import cluster_probe
from tests.sim.probe import digest_of

ROOT = Path(__file__).parents[2]
SEED = 7

pytestmark = pytest.mark.slow


def run_probe(
    python: str, seeds: str, *, hash_seed: str = "0", noise: int = 0, probe: str = "probe"
) -> list[str]:
    places = [str(ROOT), str(Path(msgpack.__file__).parents[1])]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(places)}
    done = subprocess.run(
        [python, "-m", f"tests.sim.{probe}", seeds, str(noise)],
        capture_output=True, text=True, env=environment, cwd=ROOT, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def runs(python: str) -> bool:
    done = subprocess.run([python, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True)
    return done.returncode == 0


@cache
def interpreter(version: str) -> str | None:
    found = shutil.which(f"python{version}")
    if found and runs(found):
        return found
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in sorted(versions.glob(f"{version}.*/bin/python")):
        if runs(str(candidate)):
            return str(candidate)
    return None


@cache
def expected() -> str:
    return digest_of(SEED)


def test_seeds_differ() -> None:
    assert digest_of(1) != digest_of(2)


def test_alone_and_after_others() -> None:
    before = expected()
    for seed in range(4):
        digest_of(seed)
    assert digest_of(SEED) == before
    assert run_probe(sys.executable, "0,1,2,7")[-1] == before


@pytest.mark.parametrize("hash_seed", ["0", "1", "random"])
@pytest.mark.parametrize("noise", [0, 1, 2])
def test_fresh_process(hash_seed: str, noise: int) -> None:
    assert run_probe(sys.executable, str(SEED), hash_seed=hash_seed, noise=noise) == [expected()]


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_versions(version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no python{version} here")
    assert run_probe(python, str(SEED), hash_seed="random", noise=1) == [expected()]


@cache
def expected_of_cluster() -> str:
    return cluster_probe.digest_of(SEED)


def test_cluster_again() -> None:
    before = expected_of_cluster()
    cluster_probe.digest_of(1)
    assert cluster_probe.digest_of(SEED) == before


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_cluster_on_versions(version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no python{version} here")
    found = run_probe(python, str(SEED), hash_seed="random", noise=2, probe="cluster_probe")
    assert found == [expected_of_cluster()]
