"""One file lock at a time for each folder.

The lock belongs to the process and not to the file: the kernel frees it however the
process ends, so no stale lock can stay behind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from holdfast.errors import EmbeddedClusterError

LONGEST_S = 600.0
"""Seconds after which a holder is taken for hung: a first start on a slow line downloads 45 MB."""


@contextlib.contextmanager
def exclusive(file: Path, on_wait: Callable[[], object], *, longest: float = LONGEST_S) -> Iterator[None]:
    """Hold the lock `file` for the body.

    Args:
        file: the lock file; it stays there, empty.
        on_wait: called once if another process holds the lock.
        longest: seconds to wait for it.

    Raises:
        EmbeddedClusterError: another process kept the lock for `longest` seconds.
    """
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        try:
            lock.acquire(timeout=longest, poll_interval=0.1)
        except Timeout as error:
            raise EmbeddedClusterError(
                f"another holdfast command has been holding {file} for more than {longest:.0f} s. "
                "Look what it does (or end it), then try again."
            ) from error
    try:
        yield
    finally:
        lock.release()
