"""How a worker process ends: what it says, and the exit code that goes with an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from holdfast.errors import ClusterError, Fenced, HoldfastError, SettingError, SinkStuck
from holdfast.runtime.orders import EXIT_ERROR, EXIT_FENCED, EXIT_FINAL, WorkerOrders
from holdfast.runtime.orphan import end_with_supervisor
from holdfast.runtime.status import StatusPipe


def run_to_the_end(orders: WorkerOrders, work: Callable[[WorkerOrders, StatusPipe], None]) -> int:
    """Do a process's work, and tell its supervisor why it ends; returns the exit code."""
    pipe = StatusPipe(orders.status)
    end_with_supervisor(orders.status)
    try:
        work(orders, pipe)
    except HoldfastError as error:
        pipe.error(type(error).__name__, str(error))
        say(f"{orders.processor} ({orders.slot}): {error}")
        return exit_code(error)
    return 0


def exit_code(error: HoldfastError) -> int:
    """The code that tells the supervisor whether a restart may mend it."""
    if isinstance(error, Fenced):
        return EXIT_FENCED
    passing = isinstance(error, (ClusterError, SinkStuck)) and not isinstance(error, SettingError)
    return EXIT_ERROR if passing else EXIT_FINAL


def say(text: str) -> None:
    """Write to the log, which may be on the same full disk as the state: the exit code must not suffer."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        # What is left in its buffer would fail again at exit, and change the exit code.
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - it lives as long as the process
