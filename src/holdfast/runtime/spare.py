"""A process in waiting: it has loaded all that a worker works with, and becomes one when it is told which.

To start Python and load the client, the store and the engine takes as long as all the rest of a restart. A
supervisor keeps one such process, so that a worker that was killed is replaced by one that runs already.
It knows no topology and no handler: they are loaded as they are when it gets its orders.

A leaf module, like `holdfast.runtime.orders`: it has to be there before the rest is loaded.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from holdfast.runtime.orders import WorkerOrders

WAIT: Final = "--wait"
"""Instead of orders: they come over the socket whose descriptor follows."""

AGAIN_S: Final = 60.0
"""After one that ended by itself, as on a machine without memory to spare."""

_END: Final = b"\n"
_PART: Final = 65_536


@dataclass(frozen=True, slots=True)
class Waiting:
    """How to start a worker as a process in waiting.

    Attributes:
        program: starts it; orders, or `WAIT` and a descriptor, are added.
        orders: what it is told.
    """

    program: tuple[str, ...]
    orders: WorkerOrders


class Spare:
    """The supervisor's end of a process in waiting.

    Args:
        program: starts it; `WAIT` and a descriptor are added.
        environment: variables added to ours.

    Attributes:
        process: the process; whoever gives it orders waits for its end.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, program: Sequence[str], environment: Mapping[str, str]) -> None:
        self._line, theirs = socket.socketpair()
        with theirs:
            try:
                self.process = subprocess.Popen(
                    [*program, WAIT, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    env={**os.environ, **environment},
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except BaseException:
                self._line.close()
                raise

    def give(self, orders: WorkerOrders, status: int, output: int | None) -> bool:
        """Tell it what to do; nothing else is done with this object after that.

        Args:
            orders: what.
            status: the status pipe's write end, which it gets a copy of.
            output: where its output goes; None for ours.

        Returns:
            False when it is not there any more.
        """
        descriptors = [status] if output is None else [status, output]
        with self._line:
            try:
                socket.send_fds(self._line, [orders.to_json().encode() + _END], descriptors)
            except OSError:
                self.process.kill()
                self.process.wait()
                return False
        return True

    def close(self) -> None:
        """Let it go: it ends when nobody can give it orders any more."""
        self._line.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1.0)
        self.process.kill()
        self.process.wait()


class Reserve:
    """Keeps one process in waiting; workers of another program than its own do without."""

    def __init__(self) -> None:
        self._program: tuple[str, ...] = ()
        self._spare: Spare | None = None
        self._not_before = 0.0

    def fill(self, waiting: Waiting, environment: Mapping[str, str]) -> None:
        """Start one, unless there is one."""
        if self._spare is not None and self._spare.process.poll() is not None:
            self.close()
            self._not_before = time.monotonic() + AGAIN_S
        if self._spare is None and time.monotonic() >= self._not_before:
            # Without one, the next restart takes longer: no reason to say more.
            with contextlib.suppress(OSError):
                self._spare, self._program = Spare(waiting.program, environment), waiting.program

    def take(
        self, waiting: Waiting | None, status: int, output: int | None
    ) -> subprocess.Popen[bytes] | None:
        """The process that was waiting, now with its orders; None if there is none."""
        if self._spare is None or waiting is None or waiting.program != self._program:
            return None
        spare, self._spare = self._spare, None
        if spare.give(waiting.orders, status, output):
            return spare.process
        self._not_before = time.monotonic() + AGAIN_S
        return None

    def close(self) -> None:
        """Let it go."""
        if self._spare is not None:
            self._spare.close()
            self._spare = None


def take_orders(arguments: Sequence[str]) -> WorkerOrders:
    """A worker process's orders, from its command line; a process in waiting blocks until it has some.

    Raises:
        SystemExit: nobody needs this process any more.
    """
    if arguments[0] != WAIT:
        return WorkerOrders.from_json(arguments[0])
    text, descriptors = b"", []
    with socket.socket(fileno=int(arguments[1])) as line:
        while not text.endswith(_END):
            part, found, _, _ = socket.recv_fds(line, _PART, 2)
            if not part:
                sys.exit(0)
            text += part
            descriptors += found
    status, *output = descriptors
    for descriptor in output:
        # By number: Python has no stream for one that the supervisor had closed.
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)
    return replace(WorkerOrders.from_json(text.decode()), status=status)
