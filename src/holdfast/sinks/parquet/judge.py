"""What errors of a file system mean for a sink."""

from __future__ import annotations

import errno
from typing import Final

from holdfast.errors import SinkDown, SinkError

_WRONG: Final = {
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there, or the file system has no hard links, which commits need",
    errno.EOPNOTSUPP: "the file system has no hard links, which commits need",
    errno.EXDEV: "folders below it are on other file systems",
    errno.EISDIR: "a folder has the name of a file",
    errno.EINVAL: "the file system takes no such name or call",
    errno.ENAMETOOLONG: "a name is too long for the file system",
    errno.ELOOP: "links lead in a circle",
}
"""What does not change by itself, and why it may be; anything else is a disk's or a server's state."""

_HINTS: Final = {
    errno.ENOENT: "create the folder, or mount the volume",
    errno.ENOTDIR: "create the folder, or mount the volume",
    errno.ENOSPC: "make room on the volume",
    errno.EDQUOT: "make room on the volume, or raise the quota",
    errno.EROFS: "the volume is read-only: mount it for writing",
}


def judge(error: OSError, sink: str, path: str) -> SinkError:
    """Tell what to do about an error of the file system.

    Args:
        error: it.
        sink: the sink's name, for messages.
        path: the sink's folder, likewise.

    Returns:
        `SinkError` for a right, a name or a kind of file system that a person has to change; else
        `SinkDown`: full, read-only, failing, away.
    """
    where = str(error.filename or path)
    said = error.strerror or str(error)
    if error.errno in _WRONG:
        return SinkError(f"sink {sink!r} cannot write {where}: {said}; {_WRONG[error.errno]}")
    hint = f"; {_HINTS[error.errno]}" if error.errno in _HINTS else ""
    return SinkDown(f"sink {sink!r} cannot write {where}: {said}{hint}")
