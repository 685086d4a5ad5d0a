"""What ends a fault, as data: another process can do it when the one that began the fault is gone.

Every action may be done twice, and when nothing is left to be undone.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import subprocess
from pathlib import Path
from typing import Annotated, Literal

import psutil
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

_FREEZE, _THAW = 0xC004_5877, 0xC004_5878
"""ioctl FIFREEZE and FITHAW (linux/fs.h)."""

_DETACH = 2
_SAME_PROCESS_S = 0.01

_libc = ctypes.CDLL(None, use_errno=True)


class Action(BaseModel):
    """Ends one fault."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def longest_s(self) -> float:
        """Seconds that it may take by itself."""
        return 0.0

    def perform(self) -> None:
        """Do it; raises OSError or SubprocessError if it cannot be done now. It may be tried again."""
        raise NotImplementedError


class Continue(Action):
    """Let a suspended process go on (SIGCONT).

    Attributes:
        pid: the process.
        created: when it began, in seconds since 1970: pids are used again.
    """

    kind: Literal["continue"] = "continue"
    pid: int
    created: float

    @classmethod
    def of(cls, process: psutil.Process) -> Continue:
        """The action for a process that is about to be suspended."""
        return cls(pid=process.pid, created=process.create_time())

    def perform(self) -> None:
        """Send SIGCONT, if it is still the same process."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.created) < _SAME_PROCESS_S:
                process.send_signal(signal.SIGCONT)


class Delete(Action):
    """Delete a file, such as one that fills a disk."""

    kind: Literal["delete"] = "delete"
    path: Path

    def perform(self) -> None:
        """Delete it if it is there."""
        self.path.unlink(missing_ok=True)


class Write(Action):
    """Give a file its content, such as the offset of a clock."""

    kind: Literal["write"] = "write"
    path: Path
    text: str

    def perform(self) -> None:
        """Write it, unless its folder is gone together with whoever read it."""
        if self.path.parent.exists():
            partial = self.path.with_name(f"{self.path.name}.new")
            partial.write_text(self.text)
            partial.replace(self.path)


class Thaw(Action):
    """Let a frozen file system take writes again."""

    kind: Literal["thaw"] = "thaw"
    path: Path

    def perform(self) -> None:
        """Thaw it, if it is frozen."""
        with contextlib.suppress(FileNotFoundError):
            set_frozen(self.path, frozen=False)


class Unmount(Action):
    """Take a disk away, as soon as nobody uses it any more."""

    kind: Literal["unmount"] = "unmount"
    path: Path

    def perform(self) -> None:
        """Unmount it lazily, if it is mounted."""
        if _libc.umount2(os.fsencode(self.path), _DETACH) != 0:
            number = ctypes.get_errno()
            if number not in {errno.EINVAL, errno.ENOENT}:
                raise OSError(number, os.strerror(number), str(self.path))


class Run(Action):
    """Run a command that ends the fault, such as ``docker unpause``.

    Attributes:
        command: what to run; its exit code must be 0, or its output hold one of `done`.
        done: words of an answer that say that nothing is left to be undone.
        timeout_s: seconds that it may take.
    """

    kind: Literal["run"] = "run"
    command: tuple[str, ...]
    done: tuple[str, ...] = ()
    timeout_s: float = 30.0

    @property
    def longest_s(self) -> float:
        """The command's time."""
        return self.timeout_s

    def perform(self) -> None:
        """Run it."""
        answer = subprocess.run(
            self.command, capture_output=True, text=True, timeout=self.timeout_s, check=False
        )
        output = answer.stdout + answer.stderr
        if answer.returncode != 0 and not any(words in output for words in self.done):
            raise OSError(f"{' '.join(self.command)}: {output.strip() or answer.returncode}")


AnyAction = Annotated[Continue | Delete | Write | Thaw | Unmount | Run, Field(discriminator="kind")]

adapter: TypeAdapter[AnyAction] = TypeAdapter(AnyAction)
"""Reads an action of any kind."""


def depends(one: Action, other: Action) -> bool:
    """Whether two actions have an order: they are about the same file, or one is inside the other's place.

    A file on a frozen disk cannot be deleted before that is thawed, and a disk that is taken away cannot be
    thawed any more.
    """
    about_files = (Delete, Write, Thaw, Unmount)
    if not isinstance(one, about_files) or not isinstance(other, about_files):
        return False
    return one.path.is_relative_to(other.path) or other.path.is_relative_to(one.path)


def set_frozen(mount: Path, *, frozen: bool) -> None:
    """Freeze a mounted file system, so that writes to it wait, or thaw it; nothing happens if it is so.

    Raises:
        OSError: it cannot be done there (not root, or a file system that cannot freeze).
    """
    folder = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(folder, _FREEZE if frozen else _THAW, 0)
    except OSError as error:
        # It is so already: busy is what a frozen one answers, invalid one that is not.
        if error.errno != (errno.EBUSY if frozen else errno.EINVAL):
            raise
    finally:
        os.close(folder)
