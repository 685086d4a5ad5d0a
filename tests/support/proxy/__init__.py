"""A TCP proxy between clients and brokers that knows Kafka's protocol well enough to hurt chosen requests."""

from __future__ import annotations

from tests.support.proxy.listeners import ProxiedListeners
from tests.support.proxy.proxy import Proxy
from tests.support.proxy.rules import Fault, Rule
from tests.support.proxy.wire import Api, Request

__all__ = ["Api", "Fault", "ProxiedListeners", "Proxy", "Request", "Rule"]
