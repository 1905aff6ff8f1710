"""Which hosts a certificate speaks for.

The dialling side leaves this to OpenSSL, which looks at the certificate of the end that was dialled. Nothing of the
standard library looks at the certificate of an end that dialled, so the rules of RFC 6125 are here: alternative names
only, an address equals an address, and ``*`` stands for one whole label, the first of at least three.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

__all__ = ["names_host"]


def names_host(certificate: Mapping[str, Any] | None, host: str) -> bool:
    """Return whether a certificate names a host.

    Parameters
    ----------
    certificate
        What `ssl.SSLObject.getpeercert` gave: None or empty where there is none, or none that was verified.
    host
        A name or an address, without brackets.

    Examples
    --------
    >>> names_host({"subjectAltName": (("DNS", "*.shop.example"),)}, "a.shop.example")
    True
    >>> names_host({"subjectAltName": (("DNS", "job.example"),)}, "10.0.0.1")
    False
    """
    names = () if certificate is None else certificate.get("subjectAltName", ())
    try:
        address = ip_address(host)
    except ValueError:
        wanted = _ascii(host)
        return any(kind == "DNS" and _fits(str(name), wanted) for kind, name in names)
    return any(kind == "IP Address" and ip_address(str(name).strip()) == address for kind, name in names)


def _ascii(host: str) -> str:
    """Return a name as certificates have it; the empty text, which none has, for what is no name."""
    try:
        return host.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        return ""


def _fits(pattern: str, host: str) -> bool:
    pattern = pattern.rstrip(".").lower()
    if not pattern.startswith("*."):
        return pattern == host and bool(host)
    first, dot, rest = host.partition(".")
    return bool(first and dot) and "." in rest and pattern[2:] == rest
