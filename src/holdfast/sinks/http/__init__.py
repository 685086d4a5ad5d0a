"""HTTP services as sinks: what handlers return for them. Importing this needs no client."""

from holdfast.sinks.http.calls import HttpAnswer, HttpCall

__all__ = ["HttpAnswer", "HttpCall"]
