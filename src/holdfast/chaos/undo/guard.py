"""Undoes the faults of a run that was killed.

``python -m holdfast.chaos.undo.guard JOURNAL [FOLDER]`` waits until its standard input closes. The runner
holds the other end of that pipe and nobody else does, so the kernel closes it however the runner ends. What
is open in the journal then is undone, and the runner's folder deleted. Who kills the guard as well, or the
whole machine, has to undo it by hand.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from holdfast.chaos.undo.journal import Journal
from holdfast.errors import FaultFailed

SLOW_S = 30.0
"""Seconds beyond what undoing may take, before a guard is given up: the machine may be busy."""

_END_S = 5.0
"""Seconds for a guard that was killed to be gone: one that hangs in the system never is."""


class Guard:
    """The runner's end of the pipe.

    Args:
        journal: the journal's file.
        folder: what is deleted when all is undone, together with the journal if that is in it; None for
            nothing.
    """

    def __init__(self, journal: Path, folder: Path | None = None) -> None:
        self._journal = Journal(journal)
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *map(str, (journal, folder) if folder else (journal,))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C, and a signal to the runner's group, must not end the guard before its work.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let it undo what is open, and wait until it has.

        Raises:
            FaultFailed: something could not be undone; tells what.
        """
        assert self._process.stdin is not None
        # Not a time of its own: topics and groups of a cluster of others wait for the sessions of workers.
        within = self._journal.longest_s + SLOW_S
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = 1
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S)
        if code != 0:
            left = [f"{entry.fault} ({entry.action!r})" for entry in self._journal.open_entries()]
            raise FaultFailed(f"could not be undone, and has to be by hand: {'; '.join(left)}")


def main() -> None:
    """Wait for the runner's end, then undo what it left."""
    sys.stdin.buffer.read()
    journal, *folders = map(Path, sys.argv[1:])
    if Journal(journal).undo_all():
        # It stays with its folder: what has to be undone by hand is written there.
        sys.exit(1)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
