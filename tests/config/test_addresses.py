"""Web addresses that are refused before anything is asked of them."""

from __future__ import annotations

import pytest

from mixedflow.config.addresses import check_address
from mixedflow.errors import SourceError


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.org/data.csv", "is not https"),
        ("http://127.0.0.1.example.org/data.csv", "is not https"),
        ("http://localhost.example.org/data.csv", "is not https"),
        ("ftp://127.0.0.1/data.csv", "is not https"),
        ("file:///etc/hostname", "no web address"),
        ("data:text/csv,1", "no web address"),
        ("/etc/hostname", "no web address"),
        ("https://[::1/data.csv", "no web address"),
        ("https://host:port/data.csv", "no web address"),
        ("https://host/a b.csv", "no web address"),
        ("https://user:secret@host/data.csv", "user name or password"),
    ],
)
def test_refused_addresses(url: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        check_address(url, "datasets.d.source.url")
    assert "secret" not in str(caught.value)
