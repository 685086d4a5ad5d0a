"""Temporary folders of dead processes are deleted, all others stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from holdfast.local.scratch import ScratchFolder

PREFIX = "scratch-test-"
OWNER = """
import time
from holdfast.local.scratch import ScratchFolder
with ScratchFolder("scratch-test-") as folder:
    print(folder.path, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def age(folder: Path) -> None:
    """Make a folder look as if it were made a minute ago."""
    for file in folder.iterdir():
        stat = file.stat()
        os.utime(file, (stat.st_atime - 60, stat.st_mtime - 60))


def test_the_folder_of_a_killed_process_is_deleted_by_the_next_one() -> None:
    """Not before it is killed, and not in its first seconds."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout:
        left = Path(owner.stdout.readline().strip())
    age(left)
    with ScratchFolder(PREFIX):
        assert left.exists()
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    with ScratchFolder(PREFIX) as mine:
        assert not left.exists()
        assert mine.path.is_dir()
    assert not mine.path.exists()


def test_a_folder_that_is_kept_stays(tmp_path: Path) -> None:
    """Somebody was told to look into it; so does one that has no lock, and one of another name."""
    with ScratchFolder(PREFIX) as kept:
        (kept.path / "log").write_text("why")
        kept.keep()
    other = tmp_path / "scratch-test-of-a-user"
    other.mkdir()
    age(kept.path)
    with ScratchFolder(PREFIX):
        assert (kept.path / "log").read_text() == "why"
        assert other.is_dir()
