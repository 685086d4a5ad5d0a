"""A lab leaves nothing in the folder for temporary files, however its process ends."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast.chaos.lab.guarded import GuardedLab
from holdfast.chaos.undo import guard, journal
from holdfast.chaos.undo.actions import Delete, Run
from holdfast.chaos.undo.journal import Journal


class EmptyLab(GuardedLab):
    """A lab without brokers."""

    def _open(self, folder: Path) -> None:
        (folder / "clock-1").touch()


RUNNER = """
import signal
from tests.unit.chaos.lab.test_guarded import EmptyLab
with EmptyLab() as lab:
    print(lab.journal.path.parent, flush=True)
    signal.pause()
"""


def test_the_folder_of_a_lab_is_gone_when_its_process_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as runner:
        assert runner.stdout is not None
        folder = Path(runner.stdout.readline().strip())
        assert (folder / "clock-1").exists()
        os.kill(runner.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while folder.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_folder_of_a_lab_is_gone_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with EmptyLab() as lab:
        lab.journal.begin("file", Delete(path=tmp_path / "file"))
        assert list(tmp_path.iterdir()) == [lab.journal.path.parent]
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_undone_stays_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has to do it by hand finds it there."""
    monkeypatch.setattr(journal, "TRY_FOR_S", 0.0)
    path = tmp_path / "lab" / "faults.jsonl"
    path.parent.mkdir()
    left = Journal(path).begin("broker-1", Run(command=("false",)))
    monkeypatch.setattr(sys, "argv", ["guard", str(path), str(path.parent)])
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO()))
    with pytest.raises(SystemExit, match="1"):
        guard.main()
    assert Journal(path).open_entries() == (left,)
