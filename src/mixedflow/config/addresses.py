"""Web addresses that may be fetched."""

from __future__ import annotations

import ipaddress
import re
import urllib.parse

from mixedflow.errors import SourceError, quote


def check_address(url: str, where: str) -> urllib.parse.SplitResult:
    """The parts of an address that may be fetched; SourceError for any other."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise SourceError(where, f"{quote(url)} is no web address") from None
    if not host or re.search(r"[\s\x00-\x1f\x7f]", url) or not url.isascii():
        raise SourceError(where, f"{quote(url)} is no web address", "write https://host/file.dta")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise SourceError(where, f"{quote(url)} is not https", "only https addresses are fetched")
    if parts.username is not None or parts.password is not None:
        raise SourceError(where, "a web address with a user name or password in it is refused")
    return parts


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
