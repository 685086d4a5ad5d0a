"""File systems of a test's own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A new folder with a file system of so many MB, for as long as the block lasts."""
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "holdfast-test", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mount.returncode != 0:
        pytest.fail(f"the full-disk test needs the right to mount a tmpfs (run it as root): {mount.stderr}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
