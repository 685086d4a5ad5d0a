"""The Redis sink passes the tests of all sinks, on a real server that is killed and frozen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from holdfast.sinks.base import Sink
from holdfast.sinks.redis import Command, Set
from holdfast.sinks.redis.connection import Address
from holdfast.sinks.redis.sink import RedisSink
from holdfast.testing.sinks import WithHangs, WithOutages, WithPositions, WithRefusals
from tests.support.redis import RedisServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


@pytest.fixture(scope="module")
def killed_redis() -> Iterator[RedisServer]:
    """Give a server that nobody else uses."""
    server = RedisServer()
    server.start()
    yield server
    server.close()


class _OnRedis(WithPositions, WithRefusals):
    """The sink, on a server that nobody else uses."""

    @pytest.fixture(autouse=True)
    def server_of_its_own(self, killed_redis: RedisServer) -> None:
        self.server = killed_redis

    def sink(self) -> Sink:
        address = Address(self.server.url)
        return RedisSink("cache", address, "holdfast:positions", self.timeout_s, replicas=0)

    def refused(self, key: str) -> Command:
        return Command("LPOP", key, "no number")


class TestLists(_OnRedis, WithOutages, WithHangs):
    """A list for each key, that is added to. Nobody knows what a `Command` did, to take it back."""

    timeout_s = 3.0
    is_atomic = False

    def value(self, key: str, payload: Any) -> Command:
        return Command("RPUSH", key, json.dumps(payload))

    def held(self, key: str) -> Sequence[Any]:
        with self.server.client() as client:
            found: Any = client.lrange(key, 0, -1)
        return [json.loads(each) for each in found]

    def stop(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()

    def freeze(self) -> None:
        self.server.freeze()

    def thaw(self) -> None:
        self.server.thaw()


class TestStrings(_OnRedis):
    """The last value of each key."""

    keeps_all = False

    def value(self, key: str, payload: Any) -> Set:
        return Set(key, json.dumps(payload))

    def held(self, key: str) -> Sequence[Any]:
        with self.server.client() as client:
            found: Any = client.get(key)
        return [] if found is None else [json.loads(found)]
