"""What a node is started with: taken from a configuration, and checked before anything is opened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from casty.address import NodeAddress
from casty.config import CastyConfig
from casty.errors import ConfigError
from casty.tls import Config

__all__ = ["check_place", "check_quorum", "check_supported", "options_of", "tls_of"]


def options_of(config: CastyConfig, *, has_tls: bool) -> dict[str, Any]:
    """Return the parameters of `ClusteredActorSystem` that a configuration says; files only for TLS."""
    section = config.cluster
    if section is None:
        raise ConfigError(
            f"{config.path or 'configuration'}: expected a section [cluster] with this node's place, "
            "found none; add it, or set CASTY_CLUSTER_HOST and CASTY_CLUSTER_PORT"
        )
    options: dict[str, Any] = {
        "name": config.name,
        "config": config.settings,
        "host": section.host,
        "port": section.port,
        "node_id": section.node_id,
        "bind_host": section.bind_host,
        "seed_nodes": section.seed_nodes,
        "required_quorum": section.required_quorum,
    }
    if not has_tls:
        options["tls"] = tls_of(config)
    return options


def tls_of(config: CastyConfig) -> Config | None:
    """Return the TLS contexts of the files that a configuration names; None without a section ``[tls]``."""
    files = config.tls
    if files is None:
        return None
    return Config.from_paths(certfile=files.certfile, cafile=files.cafile, keyfile=files.keyfile)


def check_place(name: str, host: str, port: int) -> None:
    """Raise `ValueError` unless a node can be called and reached so."""
    if not name or not host:
        raise ValueError("name and host: expected texts, found an empty one")
    if not 0 <= port <= 65535:
        raise ValueError(f"port: expected 0 to 65535, found {port}")


def check_quorum(quorum: int | None, seeds: Sequence[NodeAddress], own: NodeAddress) -> None:
    """Raise `ValueError` when fewer than a majority of the seeds could found."""
    founders = len(dict.fromkeys((*seeds, own)))
    if quorum is not None and quorum < founders // 2 + 1:
        raise ValueError(
            f"required_quorum: expected at least a majority of {founders} seeds, found {quorum}; "
            "a smaller one would let two halves found a cluster each"
        )


def check_supported(roles: Iterable[str], data_dir: str | None) -> None:
    """Refuse what is not there yet, rather than run without it."""
    names = list(roles)
    if names:
        raise ConfigError(
            f"roles: expected none, found {', '.join(sorted(map(str, names)))}; members do not carry roles yet"
        )
    if data_dir is not None:
        raise ConfigError(
            f"data_dir: expected None, found {data_dir!r}; nodes keep everything in memory yet, "
            "and nothing would be written there"
        )
