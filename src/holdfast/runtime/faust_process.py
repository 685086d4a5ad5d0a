"""A Faust worker process: `python -m holdfast.runtime.faust_process MODULE:APP [STATUS_DESCRIPTOR]`.

Runs stock faust-streaming's own command line. A timer in the application reports to the
supervisor what Faust's monitor counts, and stops the worker when the supervisor is gone.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError, TopologyError
from holdfast.extras import with_extra
from holdfast.log_limit import LogLimit
from holdfast.runtime.orders import EXIT_FINAL
from holdfast.runtime.orphan import end_with_supervisor
from holdfast.runtime.slot import SlotLock
from holdfast.runtime.status import INTERVAL_S, StatusLine, WorkerStatus

_CLIENT_LOGS = (
    "aiokafka",
    "aiokafka.conn",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.sender",
)
_CLIENT_LINES = 5
_CLIENT_LINES_S = 10.0


def main(reference: str, descriptor: int | None) -> int:
    """Run the worker until it is told to stop; returns the exit code."""
    # Also while Faust waits for its brokers, when none of its timers run.
    end_with_supervisor(descriptor)
    line = StatusLine(descriptor)
    try:
        with contextlib.ExitStack() as stack:
            if folder := os.environ.get("HOLDFAST_STATE_DIR"):
                # Also makes the folder: Faust makes only the last part of its path.
                stack.enter_context(SlotLock(Path(folder)))
            _work(reference, line)
    except HoldfastError as error:
        line.send("error", kind=type(error).__name__, message=str(error))
        print(error, file=sys.stderr, flush=True)
        return EXIT_FINAL
    return 0


def _work(reference: str, line: StatusLine) -> None:
    """Hand over to Faust's command line, which ends the process.

    Raises:
        TopologyError: faust-streaming is not installed.
    """
    try:
        from faust.cli.faust import cli
    except ImportError as error:
        raise TopologyError(f"{reference} needs faust-streaming: {with_extra('faust')}") from error
    # Faust imports the application by name from the working folder, which is the topology's.
    sys.path.insert(0, os.getcwd())
    module, _, name = reference.partition(":")
    app = getattr(importlib.import_module(module), name or "app")
    _report_from(app, line)
    limit_client_logs()
    cli(["-A", reference, "worker", "--loglevel", "warn", "--without-web"])


def limit_client_logs() -> None:
    """Count what the Kafka client repeats: without brokers it writes hundreds of lines a second."""
    for name in _CLIENT_LOGS:
        log = logging.getLogger(name)
        log.addFilter(LogLimit(log, lambda r: str(r.msg), most=_CLIENT_LINES, seconds=_CLIENT_LINES_S))


def _report_from(app: Any, line: StatusLine) -> None:
    """Add the reporting timer. It runs once the worker is up, on the worker's own loop."""

    async def report() -> None:
        if not line.send_status(WorkerStatus(records=app.monitor.events_total, shards=_shards(app))):
            os.kill(os.getpid(), signal.SIGTERM)

    app.timer(INTERVAL_S, name="holdfast-status")(report)


def _shards(app: Any) -> dict[str, int]:
    """How many input partitions the worker has: those that Faust does not use for its own tables."""
    changelogs = {table.changelog_topic_name for table in app.tables.values()}
    owned = [place for place in app.assignor.assigned_actives() if place.topic not in changelogs]
    return {"running": len(owned)} if owned else {}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None))
