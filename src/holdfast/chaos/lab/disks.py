"""A small disk for each broker: a file with a file system, mounted where the broker keeps everything.

So a disk can be full, or stand still, without harm to anything else on the machine.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from holdfast.chaos.undo.actions import Unmount
from holdfast.chaos.undo.journal import Entry, Journal
from holdfast.errors import ChaosError

DISK_BYTES = 1024 * 1024 * 1024
"""Size of a disk. Its file is sparse: it takes what is written to it."""

FILL_S = 30.0
"""Seconds for filling a disk."""

_BALLAST = "ballast"


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk of one broker.

    Attributes:
        mount: where it is mounted.
    """

    mount: Path

    @property
    def ballast(self) -> Path:
        """The file that fills it."""
        return self.mount / _BALLAST

    @property
    def free(self) -> int:
        """Bytes that can still be written."""
        found = os.statvfs(self.mount)
        return found.f_bavail * found.f_frsize

    def fill(self) -> int:
        """Take all that is free, and return how many bytes that was."""
        with self.ballast.open("ab") as file:
            # What the file system needs to note it all cannot be taken at once, and brokers write meanwhile.
            deadline = time.monotonic() + FILL_S
            while (free := self.free) > 0 and time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, free)
                    continue
                _write_until_full(file.fileno())
            return os.fstat(file.fileno()).st_blocks * 512


def _write_until_full(descriptor: int) -> None:
    """Write block by block until nothing is free."""
    with contextlib.suppress(OSError):
        while True:
            os.write(descriptor, b"\0" * 4096)


class Disks:
    """The disks of a cluster.

    Args:
        folder: the cluster's folder.
        nodes: ids of its brokers.
        journal: where it is noted that they are to be unmounted, whatever happens.

    Raises:
        ChaosError: they cannot be made here; says what is needed.
    """

    def __init__(self, folder: Path, nodes: Iterable[int], journal: Journal) -> None:
        self._journal = journal
        self._entries: list[Entry] = []
        self._disks: dict[int, Disk] = {}
        for node in nodes:
            mount = folder / "nodes" / str(node)
            self._make(folder / f"disk-{node}.img", mount)
            self._disks[node] = Disk(mount)

    def disk(self, node: int) -> Disk:
        """The disk of a broker."""
        return self._disks[node]

    def close(self) -> None:
        """Unmount all. What uses one keeps it until it ends."""
        for entry in reversed(self._entries):
            self._journal.end(entry)
        self._entries.clear()

    def _make(self, image: Path, mount: Path) -> None:
        mount.mkdir(parents=True)
        with image.open("wb") as file:
            file.truncate(DISK_BYTES)
        self._entries.append(self._journal.begin(f"disk at {mount}", Unmount(path=mount)))
        # No blocks kept for root: full is full for everybody.
        _run("mkfs.ext4", "-q", "-m", "0", str(image))
        _run("mount", "-o", "loop", str(image), str(mount))


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ChaosError(f"disks for brokers need {command[0]}: install e2fsprogs and mount.") from None
    if done.returncode != 0:
        raise ChaosError(
            f"cannot make a disk for a broker: {command[0]}: {done.stderr.strip() or done.returncode}. "
            "It takes root and loop devices (/dev/loop-control)."
        )
