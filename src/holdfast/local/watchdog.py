"""Ends a test cluster when the process that started it is gone, however it ended.

``python -m holdfast.local.watchdog FOLDER`` waits until its standard input closes. The owner
holds the other end of that pipe and nobody else does, so the kernel closes it when the owner
exits, crashes or is killed. Then the brokers of FOLDER are killed and FOLDER is deleted.

Why not ``PR_SET_PDEATHSIG``: it exists on Linux only, and it fires when the *thread* that started
the child ends, so a broker restarted from a worker thread of a test would die with that thread.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil

from holdfast.local.node import Node
from holdfast.local.spec import load_spec

ROUNDS = 3
"""Looks at the process table: the owner may have been killed between forking and running a broker."""

PAUSE_S = 0.5

RELEASED = b"released"
"""What an owner writes that has stopped its brokers itself."""


class Watchdog:
    """The owner's end of the pipe.

    Args:
        folder: the cluster's folder, deleted in the end.
    """

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C in the owner's terminal must not end the watchdog before its work.
            start_new_session=True,
        )

    def release(self) -> None:
        """Tell the watchdog that the brokers have been stopped, so that only the folder is to be deleted."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate(RELEASED)


def clean_up(folder: Path) -> None:
    """Kill the brokers of `folder` and delete it."""
    spec = load_spec(folder)
    for _ in range(ROUNDS):
        running = [
            process for spec_ in (spec.nodes if spec else ()) if (process := Node(folder, spec_).process())
        ]
        for process in running:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(PAUSE_S)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Wait for the owner's end, then clean up."""
    folder = Path(sys.argv[1])
    if sys.stdin.buffer.read() == RELEASED:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        clean_up(folder)


if __name__ == "__main__":
    main()
