"""A loop's process: `python -m holdfast.chaos.clients.loop.process '<orders as JSON>'`."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback

from holdfast.chaos.clients.loop.at_least_once import AtLeastOnce
from holdfast.chaos.clients.loop.base import Loop
from holdfast.chaos.clients.loop.batches import Batches
from holdfast.chaos.clients.loop.broken import BROKEN
from holdfast.chaos.clients.loop.orders import AT_LEAST_ONCE, LoopOrders
from holdfast.chaos.clients.loop.transactions import Transactions
from holdfast.runtime.orders import EXIT_ERROR
from holdfast.runtime.orphan import end_with_supervisor
from holdfast.runtime.status import CONNECTING, StatusPipe


def loop_of(orders: LoopOrders) -> type[Loop]:
    """Which loop is meant."""
    if orders.engine == AT_LEAST_ONCE:
        return AtLeastOnce
    control = orders.control
    if control.mistake is not None:
        return BROKEN[control.mistake]
    return Batches if control.batches else Transactions


def main(orders: LoopOrders) -> int:
    """Work until told to stop; returns the exit code."""
    pipe = StatusPipe(orders.status)
    end_with_supervisor(orders.status)
    pipe.starting(CONNECTING)
    loop = loop_of(orders)(orders, pipe)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stop())
    loop.run()
    return 0


if __name__ == "__main__":
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    try:
        sys.exit(main(LoopOrders.from_json(sys.argv[1])))
    except Exception:  # noqa: BLE001 - whatever it is, the next process begins at the last commit
        traceback.print_exc()
        # At once: a client that is closed in order would commit what must not be.
        sys.stderr.flush()
        os._exit(EXIT_ERROR)
