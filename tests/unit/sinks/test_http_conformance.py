"""The HTTP sink passes the tests of all sinks, on a service that knows the keys of its calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from holdfast.resilience import BreakerSettings
from holdfast.sinks.base import Sink
from holdfast.sinks.http import HttpCall
from holdfast.sinks.http.service import HttpSettings
from holdfast.sinks.http.sink import HttpSink
from holdfast.testing.sinks import WithHangs, WithOutages, WithRefusals
from tests.support.http_service import Asked, Say, http_server

BREAKER = BreakerSettings(window_s=None, window_calls=20, minimum_calls=8, open_s=0.1, open_jitter=0.0)


class TestHttp(WithRefusals, WithOutages, WithHangs):
    """A service that does once what it is asked with one key."""

    once = True
    is_atomic = False
    timeout_s = 20.0

    @pytest.fixture(autouse=True)
    def service(self) -> Iterator[None]:
        with http_server() as self.server:
            self.server.answer = self.answer
            self.without_effect: set[int] = set()
            self.hangs = False
            yield

    def answer(self, asked: Asked) -> Say:
        """Hang, refuse, or take it."""
        if self.hangs:
            self.without_effect.add(id(asked))
            return Say(hang=True)
        return Say(422, "no") if asked.json() is None else Say(201)

    def sink(self) -> Sink:
        settings = HttpSettings("service", self.server.url, call_s=2.0, attempts=1, breaker=BREAKER)
        return HttpSink(settings, batch_s=self.timeout_s / 2)

    def value(self, key: str, payload: Any) -> HttpCall:
        return HttpCall("POST", f"/{key}", {"payload": payload})

    def refused(self, key: str) -> HttpCall:
        return HttpCall("POST", f"/{key}", content=b"null")

    def held(self, key: str) -> Sequence[Any]:
        first: dict[str, Asked] = {}
        for asked in self.server.asked:
            if asked.path == f"/{key}" and asked.json() is not None and id(asked) not in self.without_effect:
                first.setdefault(asked.key, asked)
        return [asked.json()["payload"] for asked in first.values()]

    def stop(self) -> None:
        self.server.stop()

    def start(self) -> None:
        self.server.start()

    def freeze(self) -> None:
        self.hangs = True

    def thaw(self) -> None:
        self.hangs = False
