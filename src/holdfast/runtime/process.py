"""A worker process: `python -m holdfast.runtime.process '<orders as JSON>'`."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from pathlib import Path

from holdfast.engine.dead_letter import log as dead_letter_log
from holdfast.engine.plan import check_handler
from holdfast.log_limit import LogLimit
from holdfast.runtime.assembly import WorkerIdentity, build_worker
from holdfast.runtime.ending import run_to_the_end
from holdfast.runtime.orders import WorkerOrders
from holdfast.runtime.slot import SlotLock
from holdfast.runtime.spare import take_orders
from holdfast.runtime.status import CONNECTING, IMPORTING, StatusPipe
from holdfast.schema.strict import refuse_misfits
from holdfast.topology.load import load
from holdfast.topology.resolve import resolve

DEAD_LETTER_LINES = 10
"""Dead letters that are named in the log in a minute; the rest is counted. All of them are in their topic."""


def main(orders: WorkerOrders) -> int:
    """Work until told to stop; returns the exit code."""
    return run_to_the_end(orders, _work)


def _work(orders: WorkerOrders, pipe: StatusPipe) -> None:
    pipe.starting(IMPORTING.format(orders.topology))
    topology = load(Path(orders.topology))
    resolved = resolve(topology, check_handler, only={f"processors.{orders.processor}"})
    with SlotLock(Path(orders.folder)):
        pipe.starting(CONNECTING)
        identity = WorkerIdentity(orders.slot, Path(orders.folder), orders.bootstrap_servers)
        worker = build_worker(resolved, resolved.processors[orders.processor], identity, pipe)
        _calm_the_collector()
        refuse_misfits()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        try:
            worker.run()
        finally:
            worker.close()


def _calm_the_collector() -> None:
    """Look for cycles less often: cached state is many small objects without any.

    With Python's defaults the collector took a tenth to a fifth of the loop's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _limit_dead_letters() -> None:
    limit = LogLimit(dead_letter_log, lambda _: "", most=DEAD_LETTER_LINES, seconds=60.0)
    dead_letter_log.addFilter(limit)


if __name__ == "__main__":
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    _limit_dead_letters()
    sys.exit(main(take_orders(sys.argv[1:])))
