"""Workers with a Parquet sink, on real brokers and file systems: whatever dies, each row is there once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tests.support import disk
from tests.support.application import Application
from tests.support.downstream import (
    by_key,
    freeze_and_wake_under_load,
    kill_under_load,
    some,
    wait_for_system,
)
from tests.support.events import Added
from tests.support.load import Load

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
Make = Callable[..., Application]

ROWS = """
from holdfast import processor
from holdfast.sinks.parquet import Row
from test_events import Added

@processor
def handle(event: Added) -> Row:
    return Row({"key": event.key, "n": event.n}, {"first": event.key < "k2"})
"""
"""A row for every event, in one of two folders by its key."""


class Lake:
    """An application whose rows are in a folder."""

    def __init__(self, make: Make, path: Path, **options: Any) -> None:
        self.path = path
        sink = {"type": "parquet", "path": str(path), "schema": {"key": "string", "n": "int32"}}
        self.app = make(handler=ROWS, tables={}, outputs={}, sinks={"lake": sink}, sink="lake", **options)

    def check(self, *, but: str = "") -> None:
        """Every event of the log has its one row; a key's are in the order of their files."""
        expected = by_key((e.key, e.n) for e in self.app.decoded("adds") if e.key != but)
        # All rows of a key are of one partition and in one folder, where names sort by offset.
        files = sorted(self.path.rglob("*.parquet"))
        tables = [pq.ParquetFile(file).read().to_pylist() for file in files]
        assert by_key((row["key"], row["n"]) for table in tables for row in table) == expected
        rows = ds.dataset(self.path, partitioning="hive").count_rows()
        assert rows == sum(map(len, expected.values())), "a reader of the folder finds something else"


@pytest.fixture
def lake(application: Make, tmp_path: Path) -> Callable[..., Lake]:
    """Give a function that makes an application with its folder."""
    path = tmp_path / "lake"
    path.mkdir()
    return lambda **options: Lake(application, path, **options)


def test_workers_that_are_killed_write_no_row_twice(lake: Callable[..., Lake]) -> None:
    """Two of them, one SIGKILLed again and again under load."""
    it = lake(workers=2)
    kill_under_load(it.app, rate=400)
    it.check()


@pytest.mark.slow
def test_a_frozen_worker_that_wakes_adds_nothing(lake: Callable[..., Lake]) -> None:
    """Another owner has committed meanwhile: its token is larger."""
    it = lake()
    freeze_and_wake_under_load(it.app, rate=300)
    it.check()


def test_a_value_that_does_not_fit_is_a_dead_letter(lake: Callable[..., Lake]) -> None:
    """With its column; all other rows are there."""
    it = lake()
    good = some(50)
    it.app.publish(*good[:25], Added(key="bad", n=2**31), *good[25:])
    with it.app.run() as run:
        run.until_drained()
        run.until(lambda: run.views[0].status.dead_letters == 1, 10, "the dead letter is counted")
    it.check(but="bad")
    (letter,) = it.app.dead_letters()
    message = dict(letter.headers() or ())["__streams.errors.message"] or b""
    assert b"column 'n' (int32): Value 2147483648 too large" in message


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB of its own."""
    with disk.small_disk(tmp_path / "lake", 24) as folder:
        yield folder


@pytest.mark.slow
def test_a_full_disk_is_waited_for(application: Make, small_disk: Path) -> None:
    """The worker keeps its shards and says what to do; when there is room it goes on."""
    it = Lake(application, small_disk, commit_interval="200ms")
    filler = small_disk / "filler"
    with it.app.run() as run:
        run.until_running()
        pid = run.pid()
        with Load(it.app, rate=300):
            run.let_run(0.5)
            with contextlib.suppress(OSError):
                filler.write_bytes(b"x" * 32 * 1024 * 1024)
            wait_for_system(run, "lake")
            assert "No space left on device; make room on the volume" in run.views[0].status.why
            filler.unlink()
            run.until(lambda: not run.views[0].status.waits_for, 30, "it goes on")
        run.until_drained()
        assert (run.pid(), run.running(), run.views[0].restarts) == (pid, 4, 0)
    it.check()
