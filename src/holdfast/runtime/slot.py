"""A worker's slot: its stable place, and the folder that goes with it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType

from holdfast.errors import SlotTaken, StateError


class SlotLock:
    """Holds a slot's state folder for one process, as long as that process lives.

    The lock is the operating system's, so nothing is left to clean up after a kill.

    Args:
        folder: the slot's state folder; made if missing.

    Raises:
        SlotTaken: another process on this machine works in the slot.
        StateError: the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(folder / "LOCK", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StateError(
                f"state folder {folder} cannot be used ({error.strerror}); free space, or choose "
                "another with HOLDFAST_HOME"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._file, 32, 0).decode().strip() or "unknown"
            os.close(self._file)
            raise SlotTaken(
                f"slot {folder.name} is taken by process {owner} on this machine ({folder}), a worker of "
                "another `holdfast run`; stop that, or give this worker another slot with --slot-prefix NAME"
            ) from None
        # The owner's pid is for the message above only; a full disk is told by what needs the disk.
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def __enter__(self) -> SlotLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)
