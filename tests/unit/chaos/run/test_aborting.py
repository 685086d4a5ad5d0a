"""When a run is given up for want of space: its own folder is one place, and that of its brokers another."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.chaos.experiment import Abort
from holdfast.chaos.run.aborting import Limits

ENOUGH, LITTLE = 10**10, 10**8
LEAST = "1GB"


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary files are."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def limits(run: Path, free: dict[Path, int], monkeypatch: pytest.MonkeyPatch, **abort: str) -> Limits:
    """The limits of a run in this folder, on disks with so much space."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free[Path(folder)]))
    quiet: Any = SimpleNamespace(silent_s=0.0)
    parts: Any = SimpleNamespace(lag=())
    return Limits(Abort.model_validate(abort), quiet, parts, run)


@pytest.mark.parametrize("full", ["run", "scratch"])
def test_a_run_is_given_up_when_either_disk_that_it_writes_to_is_nearly_full(
    full: str, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brokers, the images of their disks and what a verdict spills are where temporary files are."""
    run = tmp_path / "run"
    place = {"run": run, "scratch": scratch}[full]
    free = {run: ENOUGH, scratch: ENOUGH, place: LITTLE}
    found = limits(run, free, monkeypatch, disk_free_below=LEAST).exceeded()
    assert found == f"less than 1,000,000,000 bytes are free at {place}"


def test_a_run_goes_on_while_both_disks_have_enough(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {tmp_path / "run": ENOUGH, scratch: ENOUGH}
    assert limits(tmp_path / "run", free, monkeypatch, disk_free_below=LEAST).exceeded() is None


def test_nobody_asks_for_the_space_where_no_limit_is_set(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert limits(tmp_path / "run", {}, monkeypatch).exceeded() is None
