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
    """A new temporary folder, deleted at the end of the block unless `keep` was called.

    Args:
        prefix: start of its name; folders of dead processes with the same prefix are deleted.

    Attributes:
        path: the folder.
    """

    def __init__(self, prefix: str) -> None:
        sweep(prefix)
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self._lock = FileLock(self.path / _LOCK)
        self._lock.acquire(timeout=0)
        self._kept = False

    def keep(self) -> None:
        """Leave the folder to the user."""
        self._kept = True

    def __enter__(self) -> ScratchFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._kept:
            (self.path / _LOCK).unlink(missing_ok=True)
        else:
            shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()


def sweep(prefix: str) -> None:
    """Delete the folders of processes that are gone; whatever cannot be deleted stays."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        lock = folder / _LOCK
        try:
            found = lock.stat(follow_symlinks=False)
            if found.st_uid != os.geteuid() or time.time() - found.st_mtime < _YOUNG_S:
                continue
            with FileLock(lock, blocking=False):
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, Timeout):
            continue
