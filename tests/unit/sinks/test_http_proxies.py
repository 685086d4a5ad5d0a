"""What the environment says of proxies, and what keeps a host from them."""

from __future__ import annotations

import pytest

from holdfast.sinks.http.proxies import proxy_of, without_proxy


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on what this machine says of proxies."""
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("before", [None, "db.internal, .example"])
def test_a_host_gets_no_proxy_and_what_had_none_has_none_still(
    monkeypatch: pytest.MonkeyPatch, name: str, before: str | None
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.internal:3128")
    if before is not None:
        monkeypatch.setenv(name, before)
    assert proxy_of("http", "10.0.0.1") == "http://proxy.internal:3128"
    for variable, value in without_proxy("10.0.0.1").items():
        monkeypatch.setenv(variable, value)
    assert proxy_of("http", "10.0.0.1") is None
    assert (proxy_of("http", "db.internal") is None) is (before is not None)
    assert proxy_of("http", "elsewhere.internal") is not None


@pytest.mark.parametrize("value", ["*", "10.0.0.1"])
def test_nothing_changes_where_a_host_has_no_proxy(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """After a comma `*` would stand for nothing."""
    monkeypatch.setenv("no_proxy", value)
    assert without_proxy("10.0.0.1") == {}
