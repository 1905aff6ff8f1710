"""Which hosts a certificate speaks for."""

from __future__ import annotations

import pytest

from casty.transport.certificates import names_host


def certificate(*names: str) -> dict[str, object]:
    """Return what `getpeercert` says of a certificate with these alternative names."""
    return {
        "subject": ((("commonName", "a.example"),),),
        "subjectAltName": tuple(
            ("IP Address", name[3:]) if name.startswith("ip:") else ("DNS", name) for name in names
        ),
    }


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("a.example", "a.example"),
        ("A.Example", "a.eXAMPLE"),
        ("a.example", "a.example."),
        ("localhost", "localhost"),
        ("*.shop.example", "a.shop.example"),
        ("xn--bcher-kva.example", "b\u00fccher.example"),
        ("ip:10.0.0.1", "10.0.0.1"),
        ("ip:0:0:0:0:0:0:0:1\n", "::1"),
        ("ip:2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
    ],
)
def test_it_names(name: str, host: str) -> None:
    assert names_host(certificate("other.example", name), host)


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("job.example", "a.example"),
        ("*.shop.example", "shop.example"),
        ("*.shop.example", "a.b.shop.example"),
        ("*.shop.example", ".shop.example"),
        ("*.example", "a.example"),
        ("*", "a"),
        ("a*.shop.example", "ab.shop.example"),
        ("10.0.0.1", "10.0.0.1"),
        ("*.0.0.1", "10.0.0.1"),
        ("ip:10.0.0.1", "10.0.0.2"),
        ("ip:10.0.0.1", "a.example"),
        ("", ""),
        ("", "."),
        ("a.example", "x" * 70 + ".example"),
        ("", "\ud800"),
    ],
)
def test_it_does_not_name(name: str, host: str) -> None:
    assert not names_host(certificate(name), host)


def test_nothing_is_proved_without_one_or_by_its_subject() -> None:
    assert not names_host(None, "a.example")
    assert not names_host({}, "a.example")
    assert not names_host(certificate(), "a.example")
