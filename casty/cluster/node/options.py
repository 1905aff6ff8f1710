"""What a node is started with: taken from a configuration, and checked before anything is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from casty.address import NodeAddress, check_port, check_text
from casty.checks import shown
from casty.cluster.control.formation import Policy
from casty.config import SECOND_NS, CastyConfig, Settings
from casty.discovery import Contacts
from casty.errors import ConfigError
from casty.secret import Secrets
from casty.tls import Config
from casty.traits import Traits

__all__ = [
    "HasPath",
    "NodeOptions",
    "check_place",
    "check_quorum",
    "check_settings",
    "check_tls",
    "checked_data_dir",
    "options_of",
    "policy_of",
    "tls_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """What a node is told at its start; see `ClusteredActorSystem` for the meaning of each."""

    name: str
    host: str
    port: int
    node_id: str | None = None
    bind_host: str | None = None
    contacts: Contacts = field(default_factory=Contacts)
    required_quorum: int | None = None
    settings: Settings = field(default_factory=Settings)
    data_dir: str | None = None
    tls: Config | None = None
    secrets: Secrets | None = None
    traits: Traits = field(default_factory=Traits)


def options_of(config: CastyConfig, *, has_tls: bool) -> dict[str, Any]:
    """Return the parameters of `ClusteredActorSystem` that a configuration says; files only for TLS."""
    _check_config(config)
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
        "secret": section.secret,
        "data_dir": section.data_dir,
        "zone": section.zone,
        "weight": section.weight,
        "roles": frozenset(section.roles),
        "suppress_dead_letters_on_shutdown": config.suppress_dead_letters_on_shutdown,
    }
    if not has_tls:
        options["tls"] = tls_of(config)
    return options


def _check_config(config: object) -> None:
    if not isinstance(config, CastyConfig):
        raise TypeError(f"config: expected what casty.config.load_config() returns, found {shown(config)}")


def tls_of(config: CastyConfig) -> Config | None:
    """Return the TLS contexts of the files that a configuration names; None without a section ``[tls]``."""
    files = config.tls
    if files is None:
        return None
    return Config.from_paths(certfile=files.certfile, cafile=files.cafile, keyfile=files.keyfile)


def check_place(
    name: object, host: object, port: object, node_id: object = None, bind_host: object = None
) -> None:
    """Raise `TypeError` or `ConfigError` unless a node can be called and reached so."""
    check_text("name", name)
    check_text("host", host)
    check_port("port", port)
    for what, text in (("node_id", node_id), ("bind_host", bind_host)):
        if text is not None:
            check_text(what, text)


def check_quorum(quorum: object, contacts: Contacts, own: NodeAddress) -> None:
    """Raise `ConfigError` when fewer than a majority of the seeds could found."""
    if quorum is None and contacts.changes:
        raise ConfigError(
            "required_quorum: expected a number, as the seeds are no fixed list: how many nodes have to see each other "
            "before they found a cluster, more than half of those that are started; found None"
        )
    if quorum is None:
        return
    if isinstance(quorum, bool) or not isinstance(quorum, int):
        raise TypeError(f"required_quorum: expected an int or None, found {shown(quorum)}")
    if contacts.changes:
        if quorum < 1:
            raise ConfigError(f"required_quorum: expected 1 or more, found {quorum}")
        return
    founders = len(dict.fromkeys((*contacts.fixed, own)))
    if quorum < founders // 2 + 1:
        raise ConfigError(
            "required_quorum: expected at least a majority of the founders (the seeds and this node), "
            f"{founders // 2 + 1} of {founders}, found {quorum}; "
            "a smaller one would let two halves found a cluster each"
        )


def policy_of(options: NodeOptions, seeds: Sequence[NodeAddress], own: NodeAddress) -> Policy:
    """Return when this node may found, with these seeds and itself.

    Where the seeds are no fixed list the number that is needed is the one that was given, however few there are: who
    sees few of them yet must not found with these.
    """
    founders, quorum = sorted(dict.fromkeys((*map(str, seeds), str(own)))), options.required_quorum
    if not options.contacts.changes:
        quorum = len(founders) if quorum is None else min(quorum, len(founders))
    assert quorum is not None, "see `check_quorum`"
    return Policy(tuple(founders), quorum, int(options.settings.founding_listen_s * SECOND_NS))


def check_settings(config: object) -> None:
    """Raise `TypeError` unless these are settings, or None."""
    if isinstance(config, CastyConfig):
        raise TypeError(
            "config: expected Settings or None, found a whole CastyConfig; pass its `.settings`, or make the "
            "node with ClusteredActorSystem.from_config(...)"
        )
    if config is not None and not isinstance(config, Settings):
        raise TypeError(f"config: expected casty.Settings or None, found {shown(config)}")


def check_tls(tls: object, *, is_node: bool) -> None:
    """Raise `TypeError` unless these are the contexts that a node or a client needs, or None."""
    if tls is None:
        return
    if not isinstance(tls, Config):
        raise TypeError(
            f"tls: expected a casty.tls.Config or None, found {shown(tls)}; "
            "make one with casty.tls.Config.from_paths(certfile=..., cafile=...)"
        )
    if is_node and tls.server_context is None:
        raise TypeError(
            "tls: expected a server_context, found None; only a client does without, as a node takes links too"
        )


@runtime_checkable
class HasPath(Protocol):
    """A path that is no text, as those of ``pathlib``."""

    def __fspath__(self) -> str:
        """Return it as one."""
        ...


def checked_data_dir(data_dir: object) -> str | None:
    """Return the path as a text; `TypeError` or `ConfigError` for what can be no data directory."""
    if data_dir is None:
        return None
    path: object = data_dir.__fspath__() if isinstance(data_dir, HasPath) else data_dir
    if not isinstance(path, str):
        raise TypeError(
            f"data_dir: expected the path of a directory as a text or Path, or None, found {shown(data_dir)}"
        )
    if not path.strip() or "\0" in path:
        raise ConfigError(f"data_dir: expected the path of a directory, found {shown(data_dir)}")
    return path
