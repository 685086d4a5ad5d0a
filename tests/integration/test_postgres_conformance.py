"""The PostgreSQL sink passes the tests of all sinks, on a real server that is killed and frozen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from holdfast.sinks.base import Sink
from holdfast.sinks.postgres import Insert
from holdfast.sinks.postgres.sink import PostgresSink
from holdfast.testing.sinks import WithHangs, WithOutages, WithPositions, WithRefusals
from tests.support.postgres import PostgresServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

TABLE = "CREATE TABLE entries (id bigserial PRIMARY KEY, key text NOT NULL, payload jsonb NOT NULL)"


class TestPostgres(WithPositions, WithRefusals, WithOutages, WithHangs):
    """A table that rows are added to."""

    timeout_s = 3.0

    @pytest.fixture(autouse=True)
    def database(self, postgres: PostgresServer) -> Iterator[None]:
        self.server = postgres
        with postgres.database() as self.name:
            with postgres.connect(self.name) as connection:
                connection.execute(TABLE)
            yield

    def sink(self) -> Sink:
        return PostgresSink("entries", self.server.dsn(self.name), "holdfast_positions", self.timeout_s)

    def value(self, key: str, payload: Any) -> Insert:
        return Insert("entries", {"key": key, "payload": {"is": payload}})

    def refused(self, key: str) -> Insert:
        return Insert("entries", {"key": key, "payload": None})

    def held(self, key: str) -> Sequence[Any]:
        with self.server.connect(self.name) as connection:
            query = "SELECT payload['is']::text FROM entries WHERE key = %s ORDER BY id"
            return [json.loads(row[0]) for row in connection.execute(query, [key])]

    def stop(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()

    def freeze(self) -> None:
        self.server.freeze()

    def thaw(self) -> None:
        self.server.thaw()
