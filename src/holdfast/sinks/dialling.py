"""Connecting to a system within a time, whatever its client does meanwhile.

A client's own limit holds for each address that a name stands for, one after the other, and not for looking
the name up.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from threading import Thread
from typing import TypeVar

from holdfast.errors import SinkDown

C = TypeVar("C")


def dial(connect: Callable[[], C], close: Callable[[C], object], *, timeout: float, sink: str) -> C:
    """Connect on a thread of its own, which is left alone when the time is over.

    Args:
        connect: makes the connection.
        close: closes one that comes when nobody waits for it any more.
        timeout: seconds to wait for it.
        sink: the sink's name, for messages.

    Raises:
        SinkDown: there was no connection in time.
        Exception: what `connect` raised.
    """
    dialled: Future[C] = Future()

    def run() -> None:
        try:
            dialled.set_result(connect())
        except BaseException as error:  # noqa: BLE001 - it is raised again where the connection is waited for
            dialled.set_exception(error)

    def close_late(late: Future[C]) -> None:
        if late.exception() is None:
            close(late.result())

    # A daemon: what hangs there must not hold up our exit.
    Thread(target=run, name="sink-connect", daemon=True).start()
    try:
        return dialled.result(timeout)
    except FutureTimeout:
        dialled.add_done_callback(close_late)
        raise SinkDown(f"sink {sink!r}: no connection within its timeout of {timeout:g} s") from None
