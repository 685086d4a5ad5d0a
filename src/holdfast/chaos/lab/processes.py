"""Signals to processes, and what the process table says of them."""

from __future__ import annotations

import contextlib
import signal

import psutil

from holdfast.chaos.undo.actions import Continue


def incarnation(process: psutil.Process | None) -> str | None:
    """What tells a process from all others that have its pid before or after; None if it is over."""
    if process is None:
        return None
    with contextlib.suppress(psutil.NoSuchProcess):
        if process.status() != psutil.STATUS_ZOMBIE:
            return f"pid {process.pid} since {process.create_time():.2f}"
    return None


def is_suspended(process: psutil.Process | None) -> bool:
    """Whether a process stands still."""
    if process is None:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_STOPPED)
    return False


def send(process: psutil.Process | None, number: signal.Signals) -> None:
    """Send a signal, if there is somebody to take it."""
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def undo_of_suspend(process: psutil.Process | None) -> Continue | None:
    """What lets a process go on, for a stranger."""
    if process is None:
        return None
    with contextlib.suppress(psutil.NoSuchProcess):
        return Continue.of(process)
    return None
