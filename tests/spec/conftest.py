"""The worlds, each made once for all tests that leave it whole, and over when these tests are."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import pytest
import trustme

from casty.tls import Config
from tests.spec.places import HOST, Body, RealCluster, run_simulated, run_together

Run = Callable[[Body], None]


def certified(folder: Path) -> list[str]:
    """Write a certificate chain with its key, and the authority that signed it."""
    authority = trustme.CA()
    certificate, signer = folder / "node.pem", folder / "authority.pem"
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(signer))
    return [str(certificate), str(signer)]


def cluster_of(world: str, folder: Path) -> RealCluster:
    """Start a real cluster."""
    if world == "tcp":
        return RealCluster()
    paths = certified(folder)
    return RealCluster(Config.from_paths(certfile=paths[0], cafile=paths[1]), paths)


@pytest.fixture(scope="package")
def tcp() -> Generator[RealCluster, None, None]:
    cluster = RealCluster()
    yield cluster
    cluster.close()


@pytest.fixture(scope="package")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Generator[RealCluster, None, None]:
    cluster = cluster_of("tls", tmp_path_factory.mktemp("certificates"))
    yield cluster
    cluster.close()


@pytest.fixture(params=["sim", "tcp", "tls"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a body in a cluster that other tests use as well: nothing in it may be killed."""
    if request.param == "sim":
        return run_simulated
    cluster: RealCluster = request.getfixturevalue(request.param)
    return cluster.run


@pytest.fixture
def run_everywhere(tcp: RealCluster, tls: RealCluster) -> Run:
    """Like `run`, for what takes long: the real worlds go side by side."""
    return partial(run_together, [tcp, tls])


@pytest.fixture
def run_alone(tmp_path: Path) -> Generator[Run, None, None]:
    """Like `run_everywhere`, in clusters that no other test uses: the body may kill."""
    clusters = [cluster_of(world, tmp_path) for world in ("tcp", "tls")]
    yield partial(run_together, clusters)
    for cluster in clusters:
        cluster.close()
