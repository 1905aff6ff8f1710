"""``casty.toml`` and ``CASTY_*`` variables: read, checked, turned into one value.

Every key is known by name and type; an unknown one is refused with the nearest known one, because a
setting that silently does nothing is found out during the outage it was meant to prevent.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from casty.address import check_port, check_text
from casty.errors import ConfigError
from casty.secret import Secrets
from casty.settings import Settings
from casty.traits import USUAL_WEIGHT, checked_traits

__all__ = ["CastyConfig", "ClusterSection", "TlsSection", "discover_config", "load_config", "parse_address"]

_URL = re.compile(r"(tcp|udp|sctp)://")
_OF_A_SERVICE = re.compile(
    r"_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$"
)

FILE_NAME = "casty.toml"
PREFIX = "CASTY_"
PATH_VARIABLE = "CASTY_CONFIG"


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSection:
    """``[system]``: what all nodes have in common, and how each of them says what it does."""

    name: str = "casty-system"
    suppress_dead_letters_on_shutdown: bool = False

    def __post_init__(self) -> None:
        check_text("name in [system]", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSection:
    """``[cluster]``: this node's place; its keys are parameters of `ClusteredActorSystem`.

    ``seed_nodes`` are texts, ``"host:port"`` or ``"dns://name:port"``; in a variable they are separated by commas.
    ``secret`` is a text or a list of texts; in a variable several are separated by commas, so none has one in it.
    ``data_dir`` counts from the file that names it. ``roles`` are texts; in a variable they are separated by commas.
    """

    host: str = "127.0.0.1"
    port: int = 25520
    node_id: str | None = None
    bind_host: str | None = None
    seed_nodes: tuple[tuple[str, int], ...] = ()
    required_quorum: int | None = None
    secret: Secrets | None = None
    data_dir: str | None = None
    zone: str | None = None
    weight: int = USUAL_WEIGHT
    roles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checked_traits(self.zone, self.weight, self.roles)
        check_text("host in [cluster]", self.host)
        check_port("port in [cluster]", self.port)
        for name, text in (("node_id", self.node_id), ("bind_host", self.bind_host)):
            if text is not None:
                check_text(f"{name} in [cluster]", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSection:
    """``[tls]``: PEM files for `casty.tls.Config.from_paths`; paths count from the file that names them."""

    certfile: str
    cafile: str
    keyfile: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CastyConfig:
    """Everything a configuration file and the environment may say.

    Parameters
    ----------
    name
        The system's name, key ``name`` of ``[system]``.
    cluster
        ``[cluster]``, or None when neither file nor environment has that section.
    tls
        ``[tls]``, or None.
    settings
        ``[settings]``: what every node of the cluster agrees on.
    suppress_dead_letters_on_shutdown
        Key of ``[system]``: whether messages for actors that are gone since their system began to stop are only
        counted, not logged and not published as `DeadLetter`. Whoever asked is told all the same.
    path
        The file it was read from.

    Examples
    --------
    >>> CastyConfig().settings.replication
    3
    """

    name: str = "casty-system"
    cluster: ClusterSection | None = None
    tls: TlsSection | None = None
    settings: Settings = field(default_factory=Settings)
    suppress_dead_letters_on_shutdown: bool = False
    path: Path | None = None


Tables = dict[str, dict[str, Any]]

SECTIONS: dict[str, type[object]] = {
    "system": SystemSection,
    "cluster": ClusterSection,
    "tls": TlsSection,
    "settings": Settings,
}


def discover_config(start: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the nearest ``casty.toml`` in `start` or a folder above it.

    Parameters
    ----------
    start
        Where to begin; None means the working directory.

    Raises
    ------
    ConfigError
        The working directory is gone.
    """
    try:
        folder = Path(start if start is not None else ".").resolve()
    except FileNotFoundError:
        raise ConfigError(
            f"the working directory is gone: begin in one that is there, or name the {FILE_NAME} ({PATH_VARIABLE})"
        ) from None
    for candidate in (folder, *folder.parents):
        if (candidate / FILE_NAME).is_file():
            return candidate / FILE_NAME
    return None


def load_config(
    path: str | os.PathLike[str] | None = None, *, environ: Mapping[str, str] | None = None
) -> CastyConfig:
    """Read a configuration file, then let the environment override it.

    Parameters
    ----------
    path
        The file; None means what ``CASTY_CONFIG`` names, or else what `discover_config` finds. Without
        any, the environment alone counts.
    environ
        The variables; None means those of this process. ``CASTY_CLUSTER_PORT`` is ``port`` of ``[cluster]``,
        and so on for ``CASTY_SYSTEM_``, ``CASTY_TLS_`` and ``CASTY_SETTINGS_``.

    Raises
    ------
    ConfigError
        A key is unknown (the nearest known one is named), has the wrong type, or is out of range.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> load_config(environ={"CASTY_SETTINGS_SLOTS": "16"}).settings.slots
    16
    """
    variables = os.environ if environ is None else environ
    chosen = path if path is not None else variables.get(PATH_VARIABLE) or discover_config()
    found = None if chosen is None else Path(chosen)
    tables = {} if found is None else _tables(found)
    _override(tables, variables)
    return _assemble(tables, found)


def parse_address(text: str) -> tuple[str, int]:
    """Read ``host:port`` or ``[host]:port``; raises `ConfigError`.

    Examples
    --------
    >>> parse_address("10.0.0.1:25520")
    ('10.0.0.1', 25520)
    >>> parse_address("[::1]:1")
    ('::1', 1)
    """
    host, colon, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"expected host:port, found {text!r}")
    return host, int(port)


def _tables(path: Path) -> Tables:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    tables: Tables = {}
    for section, table in document.items():
        known = SECTIONS.get(section)
        if known is None:
            raise ConfigError(f"{path}: unknown section [{section}]{_nearest(section, SECTIONS)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: expected a section [{section}], found {section} = {table!r}")
        tables[section] = {
            key: _typed(f"{path}: {key} in [{section}]", _type_of(path, section, key), value)
            for key, value in table.items()
        }
    _resolve_paths(tables.get("tls", {}), path.parent)
    if "data_dir" in tables.get("cluster", {}):
        tables["cluster"]["data_dir"] = str(path.parent / str(tables["cluster"]["data_dir"]))
    return tables


def _type_of(path: Path, section: str, key: str) -> object:
    hints = get_type_hints(SECTIONS[section])
    if key not in hints:
        raise ConfigError(f"{path}: unknown key {key!r} in [{section}]{_nearest(key, hints)}")
    return hints[key]


def _resolve_paths(table: dict[str, Any], folder: Path) -> None:
    for key, value in table.items():
        table[key] = str(folder / str(value))


def _override(tables: Tables, variables: Mapping[str, str]) -> None:
    for section, known in SECTIONS.items():
        prefix = f"{PREFIX}{section.upper()}_"
        hints = get_type_hints(known)
        names = {prefix + key.upper(): key for key in hints}
        for variable in sorted(variables):
            if not variable.startswith(prefix) or _is_of_kubernetes(variable, variables[variable]):
                continue
            if variable not in names:
                raise ConfigError(f"unknown variable {variable}{_nearest(variable, names)}")
            key = names[variable]
            value = _from_text(variable, hints[key], variables[variable])
            tables.setdefault(section, {})[key] = value


def _is_of_kubernetes(variable: str, value: str) -> bool:
    """Whether a variable tells of a Service: a pod has these of each one, also of those that are called like a section.

    Of a Service ``casty-cluster`` they are ``CASTY_CLUSTER_PORT=tcp://10.0.0.9:25520``, ``CASTY_CLUSTER_SERVICE_HOST``,
    ``CASTY_CLUSTER_PORT_25520_TCP_ADDR`` and more. What says a port by a number is ours.
    """
    return (variable.endswith("_PORT") and _URL.match(value) is not None) or _OF_A_SERVICE.search(
        variable
    ) is not None


def _from_text(name: str, expected: object, text: str) -> object:
    expected = _without_none(expected)
    if expected is Secrets:
        return Secrets.of(name, [part for part in text.split(",") if part.strip()])
    if get_origin(expected) is tuple:
        return _typed(name, expected, [part for part in text.split(",") if part.strip()])
    if expected is bool:
        return _truth(name, text)
    if expected is int or expected is float:
        try:
            return int(text) if expected is int else float(text)
        except ValueError:
            raise ConfigError(f"{name}: expected a number, found {text!r}") from None
    return text


def _truth(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ConfigError(f"{name}: expected true or false, found {text!r}")
    return text.lower() == "true"


def _typed(name: str, expected: object, value: object) -> object:
    expected = _without_none(expected)
    if expected is Secrets:
        return _secrets(name, value)
    if get_origin(expected) is tuple:
        if not isinstance(value, list):
            what = "texts" if get_args(expected)[0] is str else "host:port texts"
            raise ConfigError(f"{name}: expected a list of {what}, found {value!r}")
        if get_args(expected)[0] is str:
            return tuple(_word(name, item) for item in value)
        return tuple(_address(name, item) for item in value)
    if expected is float and type(value) is int:
        return float(value)
    assert isinstance(expected, type)
    if type(value) is not expected:
        raise ConfigError(f"{name}: expected {expected.__name__}, found {value!r}")
    return value


def _secrets(name: str, value: object) -> Secrets | None:
    """Return the secrets of a file; no error shows any of them."""
    try:
        return Secrets.of(name, value)
    except TypeError as error:
        raise ConfigError(str(error)) from None


def _word(name: str, item: object) -> str:
    if not isinstance(item, str):
        raise ConfigError(f"{name}: expected texts, found {item!r}")
    return item.strip()


def _address(name: str, item: object) -> tuple[str, int]:
    if isinstance(item, str):
        try:
            return parse_address(item)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from None
    raise ConfigError(f"{name}: expected a host:port text, found {item!r}")


def _without_none(expected: object) -> object:
    if get_origin(expected) in (types.UnionType, Union):
        return next(part for part in get_args(expected) if part is not type(None))
    return expected


def _nearest(word: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(names))}"


def _assemble(tables: Tables, path: Path | None) -> CastyConfig:
    system = _section(SystemSection, tables.get("system", {}), path)
    cluster, tls = tables.get("cluster"), tables.get("tls")
    return CastyConfig(
        name=system.name,
        cluster=None if cluster is None else _section(ClusterSection, cluster, path),
        tls=None if tls is None else _section(TlsSection, tls, path),
        settings=_section(Settings, tables.get("settings", {}), path),
        suppress_dead_letters_on_shutdown=system.suppress_dead_letters_on_shutdown,
        path=path,
    )


def _name_of(kind: type[object]) -> str:
    return next(name for name, known in SECTIONS.items() if known is kind)


S = TypeVar("S", SystemSection, ClusterSection, TlsSection, Settings)


def _section(kind: type[S], values: dict[str, Any], path: Path | None) -> S:
    missing = [
        item.name
        for item in fields(kind)
        if item.name not in values and item.default is MISSING and item.default_factory is MISSING
    ]
    where = path or "environment"
    if missing:
        raise ConfigError(f"{where}: missing {', '.join(missing)} in [{_name_of(kind)}]")
    try:
        return kind(**values)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
