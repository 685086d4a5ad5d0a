"""`holdfast state` takes keys as they are, also those that are no text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from holdfast.cli import state
from holdfast.cli.main import build_app
from holdfast.errors import NoSuchKey
from holdfast.record import Message
from holdfast.testing import MemoryMessage

FILE = """
app: shop
topics:
  orders: {event: m:E, key: id, partitions: 2}
processors:
  totals: {handler: m:f, reads: [orders], tables: {sums: int}}
"""
RAW = "\udcff"
"""The byte 0xff as Python gives it in an argument."""


class Changelog:
    """Reads a changelog with these keys."""

    def __init__(self, *keys: bytes) -> None:
        self._keys = keys

    def topic(self, name: str, only: object = None) -> Iterator[Message]:  # noqa: ARG002
        """Its records."""
        return (MemoryMessage("log", 0, n, key=key, value=b"7") for n, key in enumerate(self._keys))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of an application whose changelog holds the key 0xff and another."""
    (tmp_path / "topology.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(state, "require_changelog", lambda *_: 2)
    monkeypatch.setattr(state, "_scanner", lambda *_: Changelog(b"\xff", b"other"))
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_a_key_that_is_no_text_is_found() -> None:
    """As a shell gives it, byte for byte."""
    done = CliRunner().invoke(build_app(), ["state", "get", "totals", "sums", RAW])
    assert (done.exit_code, done.stdout) == (0, "7\n"), done.exception
    listed = CliRunner().invoke(build_app(), ["state", "list", "totals", "sums", "--prefix", RAW])
    assert [json.loads(line)["key"] for line in listed.stdout.splitlines()] == [r"\xff"], listed.exception


@pytest.mark.usefixtures("folder")
def test_a_key_that_is_no_text_and_is_not_there_is_told_with_escapes() -> None:
    """Nothing that could not be printed."""
    done = CliRunner().invoke(build_app(), ["state", "get", "totals", "sums", f"a{RAW}"])
    assert isinstance(done.exception, NoSuchKey)
    assert r'nothing under the key "a\xff"' in str(done.exception)
