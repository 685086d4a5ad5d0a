"""Removes a cluster's containers when the process that made them is gone, however it ended.

``python -m holdfast.chaos.containers.reaper CLUSTER`` waits until its standard input closes, as
`holdfast.local.watchdog` does: the owner alone holds the other end of that pipe.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time

from holdfast.chaos.containers.engine import connect
from holdfast.chaos.containers.ownership import remove

ROUNDS = 3
"""Looks at the engine: it may still be making a container that the owner had asked for."""

PAUSE_S = 1.0

RELEASED = b"released"
"""What an owner writes that has removed its containers itself."""


class Reaper:
    """The owner's end of the pipe.

    Args:
        cluster: whose containers and networks are removed in the end.
    """

    def __init__(self, cluster: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, cluster],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C in the owner's terminal must not end the reaper before its work.
            start_new_session=True,
        )

    def release(self) -> None:
        """Tell the reaper that there is nothing left to remove."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate(RELEASED)


def main() -> None:
    """Wait for the owner's end, then remove what it made."""
    if sys.stdin.buffer.read() == RELEASED:
        return
    client = connect()
    for round_ in range(ROUNDS):
        if round_:
            time.sleep(PAUSE_S)
        remove(client, sys.argv[1])


if __name__ == "__main__":
    main()
