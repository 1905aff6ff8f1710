"""``casty.toml`` and ``CASTY_*`` variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from casty.config import CastyConfig, discover_config, load_config
from casty.config_file import parse_address
from casty.errors import CastyError, ConfigError

FULL = """
[system]
name = "shop"

[cluster]
host = "10.0.0.1"
port = 4000
node_id = "a"
seed_nodes = ["10.0.0.1:4000", "[::1]:4001"]
required_quorum = 2

[tls]
certfile = "node.pem"
cafile = "/etc/ca.pem"

[settings]
slots = 16
heartbeat_s = 0.2
session_ttl_s = 20
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "casty.toml"
    path.write_text(text)
    return path


def test_a_full_file(tmp_path: Path) -> None:
    path = write(tmp_path, FULL)
    config = load_config(path, environ={})
    assert config.name == "shop"
    assert config.path == path
    assert config.cluster is not None
    assert config.cluster.seed_nodes == (("10.0.0.1", 4000), ("::1", 4001))
    assert (config.cluster.node_id, config.cluster.required_quorum) == ("a", 2)
    assert config.tls is not None
    assert config.tls.certfile == str(tmp_path / "node.pem"), "relative paths count from the file"
    assert (config.tls.cafile, config.tls.keyfile) == ("/etc/ca.pem", None)
    assert (config.settings.slots, config.settings.session_ttl_s) == (16, 20.0)


def test_nothing_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(environ={}) == CastyConfig()
    assert load_config(environ={}).cluster is None


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    variables = {
        "CASTY_SYSTEM_NAME": "other",
        "CASTY_CLUSTER_PORT": "5000",
        "CASTY_CLUSTER_SEED_NODES": "a:1, b:2,",
        "CASTY_SETTINGS_DRIFT": "0.02",
        "CASTY_SEED": "7",
        "PATH": "anything",
    }
    config = load_config(write(tmp_path, FULL), environ=variables)
    assert config.name == "other"
    assert config.cluster is not None
    assert (config.cluster.port, config.cluster.host) == (5000, "10.0.0.1")
    assert config.cluster.seed_nodes == (("a", 1), ("b", 2))
    assert config.settings.drift == 0.02


def test_a_variable_names_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, FULL)
    assert load_config(environ={"CASTY_CONFIG": str(path)}).name == "shop"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[sytem]\n", r"unknown section \[sytem\]; did you mean 'system'\?"),
        ("[cluster]\nprot = 1\n", r"unknown key 'prot' in \[cluster\]; did you mean 'port'\?"),
        ("[settings]\nzzzz = 1\n", r"unknown key 'zzzz' in \[settings\]; known are .*slots"),
        ("[cluster]\nport = '1'\n", "port in .cluster.: expected int, found '1'"),
        ("[cluster]\nport = true\n", "expected int, found True"),
        ("[cluster]\nseed_nodes = 'a:1'\n", "expected a list of host:port"),
        ("[cluster]\nseed_nodes = [1]\n", "expected a host:port text, found 1"),
        ("[cluster]\nseed_nodes = ['a']\n", "expected host:port, found 'a'"),
        ("[tls]\ncertfile = 'x'\n", r"missing cafile in \[tls\]"),
        ("[settings]\nslots = 0\n", "slots: expected 1 to 4096"),
        ("[settings]\nreplication = 2\n", "expected an odd number"),
        ("cluster = 3\n", r"expected a section \[cluster\]"),
        ("[", "casty.toml"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        load_config(write(tmp_path, text), environ={})
    assert isinstance(caught.value, CastyError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"CASTY_CLUSTER_PROT": "1"}, "did you mean 'CASTY_CLUSTER_PORT'"),
        ({"CASTY_CLUSTER_PORT": "x"}, "CASTY_CLUSTER_PORT: expected a number, found 'x'"),
        ({"CASTY_CLUSTER_SEED_NODES": "x"}, "CASTY_CLUSTER_SEED_NODES: expected host:port, found 'x'"),
    ],
)
def test_mistakes_in_variables_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=expected):
        load_config(environ=variables)


def test_a_missing_file_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_config(tmp_path / "none.toml", environ={})


def test_discovery_walks_up(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    path = write(tmp_path, "")
    assert discover_config(deep) == path.resolve()


@pytest.mark.parametrize("text", ["", "a", ":1", "a:", "a:b", "a:70000", "a:-1"])
def test_bad_addresses(text: str) -> None:
    with pytest.raises(ConfigError, match="expected host:port"):
        parse_address(text)


def test_a_data_directory_counts_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "casty.toml").write_text("[cluster]\ndata_dir = 'data/a'\n")
    config = load_config(tmp_path / "casty.toml", environ={})
    assert config.cluster is not None and config.cluster.data_dir == str(tmp_path / "data" / "a")
    config = load_config(
        environ={"CASTY_CLUSTER_DATA_DIR": "/var/b", "CASTY_CONFIG": str(tmp_path / "casty.toml")}
    )
    assert config.cluster is not None and config.cluster.data_dir == "/var/b"


def test_traits_of_a_node(tmp_path: Path) -> None:
    path = write(tmp_path, '[cluster]\nzone = "rack-1"\nweight = 200\nroles = ["web", "batch"]\n')
    cluster = load_config(path, environ={}).cluster
    assert cluster is not None and (cluster.zone, cluster.weight, cluster.roles) == (
        "rack-1",
        200,
        ("web", "batch"),
    )
    variables = {"CASTY_CLUSTER_ROLES": "a, b", "CASTY_CLUSTER_WEIGHT": "50", "CASTY_CLUSTER_ZONE": "z"}
    cluster = load_config(path, environ=variables).cluster
    assert cluster is not None and (cluster.zone, cluster.weight, cluster.roles) == ("z", 50, ("a", "b"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("weight = 0", "weight: expected 1 to 10000"),
        ("weight = 1.5", "weight in .cluster.: expected int"),
        ('roles = "web"', "roles in .cluster.: expected a list of texts"),
        ("roles = [3]", "roles in .cluster.: expected texts, found 3"),
        ('roles = ["a,b"]', "roles: expected a text that can be printed"),
        ('zone = ""', "zone: expected a text that can be printed"),
        ('zones = "a"', "did you mean 'zone'"),
    ],
)
def test_traits_that_cannot_be(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        load_config(write(tmp_path, f"[cluster]\n{text}\n"), environ={})


def test_what_kubernetes_says_of_a_service_is_no_setting(tmp_path: Path) -> None:
    variables = {
        "CASTY_CLUSTER_PORT": "tcp://10.0.0.9:25520",
        "CASTY_CLUSTER_SERVICE_HOST": "10.0.0.9",
        "CASTY_CLUSTER_SERVICE_PORT": "25520",
        "CASTY_CLUSTER_SERVICE_PORT_METRICS": "9000",
        "CASTY_CLUSTER_PORT_25520_TCP": "tcp://10.0.0.9:25520",
        "CASTY_CLUSTER_PORT_25520_TCP_PROTO": "tcp",
        "CASTY_CLUSTER_PORT_25520_TCP_PORT": "25520",
        "CASTY_CLUSTER_PORT_25520_TCP_ADDR": "10.0.0.9",
        "CASTY_CLUSTER_WEB_PORT": "udp://10.0.0.8:53",
        "CASTY_SETTINGS_SERVICE_HOST": "10.0.0.7",
    }
    assert load_config(write(tmp_path, ""), environ=variables) == CastyConfig(path=tmp_path / "casty.toml")
    cluster = load_config(write(tmp_path, "[cluster]\nport = 7\n"), environ=variables).cluster
    assert cluster is not None and cluster.port == 7
    cluster = load_config(write(tmp_path, ""), environ={**variables, "CASTY_CLUSTER_PORT": "25521"}).cluster
    assert cluster is not None and cluster.port == 25521, "a number is ours"


@pytest.mark.parametrize(
    "variable", ["CASTY_CLUSTER_SERVICE", "CASTY_CLUSTER_PORTS", "CASTY_CLUSTER_PORT_X_TCP"]
)
def test_other_variables_are_still_refused(variable: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown variable {variable}"):
        load_config(environ={variable: "1"})


def test_seeds_may_be_names(tmp_path: Path) -> None:
    path = write(tmp_path, '[cluster]\nseed_nodes = ["dns://casty.default.svc:25520", "10.0.0.1:1"]\n')
    cluster = load_config(path, environ={}).cluster
    assert cluster is not None
    assert cluster.seed_nodes == (("dns://casty.default.svc", 25520), ("10.0.0.1", 1))
