"""HTTP services: what handlers return for them, and what they ask them with. Needs no client library."""

from holdfast.sinks.http.calls import HttpAnswer, HttpCall
from holdfast.sinks.http.client import HttpClient

__all__ = ["HttpAnswer", "HttpCall", "HttpClient"]
