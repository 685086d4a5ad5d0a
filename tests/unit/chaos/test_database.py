"""Databases for histories leave nothing behind, however their process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast.chaos.history.database import Bounds, Database

OWNER = """
import sys, time
from pathlib import Path
from holdfast.chaos.history.database import Bounds, Database
with Database(Bounds(scratch=Path(sys.argv[1]))) as database:
    database.run("CREATE TABLE spilled AS SELECT range AS n FROM range(100000)")
    print("ready", flush=True)
    time.sleep(60)
"""


def age(folder: Path) -> None:
    """Make all of a folder look as if it were made a minute ago."""
    for file in folder.rglob("*"):
        os.utime(file, (time.time() - 60,) * 2)


def test_what_a_killed_process_left_is_deleted_by_the_next_one(tmp_path: Path) -> None:
    """It may be gigabytes that did not fit into memory. A process that still works is left alone."""
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        [left] = tmp_path.iterdir()
        age(tmp_path)
        with Database(Bounds(scratch=tmp_path)):
            assert left.exists()
        os.kill(owner.pid, signal.SIGKILL)
    with Database(Bounds(scratch=tmp_path)):
        assert not left.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_cannot_be_opened_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="Memory must have a number"):
        Database(Bounds(memory="much", scratch=tmp_path))
    assert list(tmp_path.iterdir()) == []
