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
from pathlib import Path

import psutil

from holdfast.local.node import Node
from holdfast.local.spec import load_spec

ROUNDS = 3
"""Looks at the process table: the owner may have been killed between forking and running a broker."""

PAUSE_S = 0.5


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
        """Let the watchdog clean up now, and wait for it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


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
        psutil.wait_procs(running, timeout=PAUSE_S)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Wait for the owner's end, then clean up."""
    sys.stdin.buffer.read()
    clean_up(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
