"""A Faust worker process: `python -m holdfast.runtime.faust_process MODULE:APP [STATUS_DESCRIPTOR]`.

Runs stock faust-streaming's own command line. A timer in the application reports to the
supervisor what Faust's monitor counts, and stops the worker when the supervisor is gone.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

from holdfast.errors import TopologyError
from holdfast.runtime.orphan import end_with_supervisor
from holdfast.runtime.status import INTERVAL_S, StatusLine, WorkerStatus


def main(reference: str, descriptor: int | None) -> None:
    """Run the worker until it is told to stop.

    Raises:
        TopologyError: faust-streaming is not installed.
    """
    # Also while Faust waits for its brokers, when none of its timers run.
    end_with_supervisor(descriptor)
    try:
        from faust.cli.faust import cli
    except ImportError as error:
        raise TopologyError(
            f"{reference} needs faust-streaming; install it with `pip install holdfast[faust]`"
        ) from error
    if folder := os.environ.get("HOLDFAST_STATE_DIR"):
        # Faust makes only the last part of its data folder's path.
        Path(folder).mkdir(parents=True, exist_ok=True)
    # Faust imports the application by name from the working folder, which is the topology's.
    sys.path.insert(0, os.getcwd())
    module, _, name = reference.partition(":")
    app = getattr(importlib.import_module(module), name or "app")
    if descriptor is not None:
        _report_from(app, StatusLine(descriptor))
    cli(["-A", reference, "worker", "--loglevel", "warn", "--without-web"])


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
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None)
