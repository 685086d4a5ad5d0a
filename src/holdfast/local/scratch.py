"""Temporary folders that do not pile up: what a killed process left is deleted by the next one.

A folder has a lock that its process holds, so one whose lock is free is nobody's. A folder without
a lock file is not touched: somebody keeps it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

_LOCK = ".in-use"
_YOUNG_S = 10.0
"""A process that has just made its folder may not hold the lock yet."""


class ScratchFolder:
    """A new temporary folder, deleted by `close` or at the end of the block unless `keep` was called.

    Args:
        prefix: start of its name; folders of dead processes with the same prefix are deleted.
        within: where it is made; None for the system's folder for such things.

    Attributes:
        path: the folder.
    """

    def __init__(self, prefix: str, within: Path | None = None) -> None:
        sweep(prefix, within)
        self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=within))
        self._lock = FileLock(self.path / _LOCK)
        self._lock.acquire(timeout=0)
        self._kept = False

    def keep(self) -> None:
        """Leave the folder to the user."""
        self._kept = True

    def close(self) -> None:
        """Delete it, or leave it to the user if it is kept."""
        if self._kept:
            (self.path / _LOCK).unlink(missing_ok=True)
        else:
            shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()

    def __enter__(self) -> ScratchFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def sweep(prefix: str, within: Path | None = None) -> None:
    """Delete the folders of processes that are gone; whatever cannot be deleted stays."""
    for folder in (within or Path(tempfile.gettempdir())).glob(f"{prefix}*"):
        lock = folder / _LOCK
        try:
            found = lock.stat(follow_symlinks=False)
            if found.st_uid != os.geteuid() or time.time() - found.st_mtime < _YOUNG_S:
                continue
            with FileLock(lock, blocking=False):
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, Timeout):
            continue
