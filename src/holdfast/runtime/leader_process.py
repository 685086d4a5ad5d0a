"""A candidate's process: `python -m holdfast.runtime.leader_process '<orders as JSON>'`."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path

from holdfast.engine.plan import check_handler
from holdfast.runtime.ending import run_to_the_end
from holdfast.runtime.leader_assembly import build_candidate
from holdfast.runtime.orders import WorkerOrders
from holdfast.runtime.slot import SlotLock
from holdfast.runtime.status import CONNECTING, IMPORTING, StatusPipe
from holdfast.schema.strict import refuse_misfits
from holdfast.topology.load import load
from holdfast.topology.resolve import resolve


def main(orders: WorkerOrders) -> int:
    """Be a candidate until told to stop; returns the exit code."""
    return run_to_the_end(orders, _work)


def _work(orders: WorkerOrders, pipe: StatusPipe) -> None:
    pipe.starting(IMPORTING.format(orders.topology))
    topology = load(Path(orders.topology))
    resolved = resolve(topology, check_handler, only={"leader_tasks"})
    with SlotLock(Path(orders.folder)):
        pipe.starting(CONNECTING)
        refuse_misfits()
        candidate = build_candidate(resolved, orders.slot, orders.bootstrap_servers, pipe)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: candidate.stop())
        candidate.run()


if __name__ == "__main__":
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    sys.exit(main(WorkerOrders.from_json(sys.argv[1])))
