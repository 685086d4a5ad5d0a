"""Files that are on the disk, whole, or not there at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_new(path: Path, content: bytes | memoryview) -> None:
    """Write a file that is not there yet, and have it on the disk.

    Its name may be lost with the machine until `sync_folder`.

    Raises:
        OSError: the file system fails, or the file is there.
    """
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Have the names in a folder on the disk.

    Raises:
        OSError: the file system fails.
    """
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path, root: Path) -> None:
    """Make a folder below another one, which has to be there, and have it on the disk.

    Raises:
        OSError: the file system fails, or `root` is not there.
    """
    missing = []
    while not path.is_dir() and path != root:
        missing.append(path)
        path = path.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_folder(each.parent)
