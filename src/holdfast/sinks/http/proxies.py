"""The proxies that the environment names for services: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.

They are read as Python's `urllib` reads them: the name in small letters wins.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping


def proxy_of(scheme: str, host: str) -> str | None:
    """The proxy through which a host is called; None if there is none. It may hold a password."""
    if urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(scheme)


def without_proxy(host: str) -> Mapping[str, str]:
    """The variables with which a host has no proxy, and all others have theirs."""
    if urllib.request.proxy_bypass(host):
        return {}
    others = urllib.request.getproxies().get("no")
    value = f"{others},{host}" if others else host
    return {"no_proxy": value, "NO_PROXY": value}
