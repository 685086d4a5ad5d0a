"""An application that calls a service over HTTP for each of its events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.application import Application
from tests.support.downstream import by_key
from tests.support.http_service import Asked, HttpServer

CALL = """
from holdfast import processor
from holdfast.sinks.http import HttpCall
from test_events import Added

@processor
def handle(event: Added) -> HttpCall:
    return HttpCall("POST", f"/adds/{event.key}", event)
"""


class Calls:
    """An application that calls a service, and what the service made of the calls.

    Attributes:
        without_effect: calls that the service did nothing for.
    """

    def __init__(self, make: Callable[..., Application], server: HttpServer, **options: Any) -> None:
        sink = {"type": "http", "url": server.url, "timeout": "4s", "call_timeout": "1s"}
        sink |= options.pop("settings", {})
        self.app = make(
            handler=CALL, tables={}, outputs={}, sinks={"gateway": sink}, sink="gateway", **options
        )
        self.server = server
        self.without_effect: list[Asked] = []

    def check(self, *, but: str = "") -> None:
        """Every event of the log was done once, in the order of its key, by a service that knows its keys."""
        expected = by_key((e.key, e.n) for e in self.app.decoded("adds") if e.key != but)
        assert by_key((e["key"], e["n"]) for e in self.effects()) == expected

    def effects(self) -> list[dict[str, Any]]:
        """The bodies of the calls that did something: the first with each key of idempotency."""
        first: dict[str, Asked] = {}
        for asked in self.server.asked:
            if asked not in self.without_effect:
                first.setdefault(asked.key, asked)
        return [asked.json() for asked in first.values()]
