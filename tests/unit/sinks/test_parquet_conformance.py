"""The Parquet sink passes the tests of all sinks."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from holdfast.sinks.base import Sink
from holdfast.sinks.parquet import Row
from holdfast.sinks.parquet.shaping import ParquetSettings
from holdfast.sinks.parquet.sink import ParquetSink
from holdfast.testing.sinks import WithOutages, WithPositions, WithRefusals


class TestParquet(WithPositions, WithRefusals, WithOutages):
    """Rows in a folder, which is away when it is named otherwise."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "lake"
        self.path.mkdir()
        self.read: dict[Path, list[dict[str, Any]]] = {}

    def sink(self) -> Sink:
        schema = {"key": "string", "payload": "json", "number": "int32"}
        return ParquetSink(ParquetSettings("lake", self.path, schema=schema))

    def value(self, key: str, payload: Any) -> Row:
        return Row({"key": key, "payload": [payload]}, {"half": zlib.crc32(key.encode()) % 2})

    def refused(self, key: str) -> Row:
        return Row({"key": key, "payload": 1, "number": 2**31})

    def held(self, key: str) -> Sequence[Any]:
        # All rows of a key are in one folder, and files there sort by offset, but for a topic's made anew.
        files = sorted(self.path.rglob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
        rows = [row for path in files for row in self.rows(path) if row["key"] == key]
        return [json.loads(row["payload"])[0] for row in rows]

    def rows(self, path: Path) -> list[dict[str, Any]]:
        """The rows of a file, which never changes."""
        if path not in self.read:
            self.read[path] = pq.read_table(path, partitioning=None).to_pylist()
        return self.read[path]

    def stop(self) -> None:
        self.path.rename(self.path.with_name("away"))

    def start(self) -> None:
        self.path.with_name("away").rename(self.path)
