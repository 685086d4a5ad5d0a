"""What `holdfast run` shows: a table that lives in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from holdfast.runtime.supervisor import WorkerState, WorkerView

_PLAIN_INTERVAL_S = 5.0
_COLOURS = {
    WorkerState.RUNNING: "green",
    WorkerState.RESTARTING: "yellow",
    WorkerState.STARTING: "cyan",
    WorkerState.FAILED: "red",
    WorkerState.STOPPED: "dim",
}


class Rates:
    """Records per second of each worker, over the time since the last look."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[float, int]] = {}
        self._rates: dict[int, float] = {}

    def of(self, view: WorkerView) -> float:
        """The worker's present rate."""
        now, records = time.monotonic(), view.records
        since, before = self._before.get(id(view), (now, records))
        if now - since >= 1.0 or id(view) not in self._before:
            self._rates[id(view)] = (records - before) / (now - since) if now > since else 0.0
            self._before[id(view)] = (now, records)
        return self._rates.get(id(view), 0.0)


def workers_table(views: Sequence[WorkerView], rates: Rates) -> Table:
    """The workers as a table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("processor")
    table.add_column("slot")
    table.add_column("state")
    for title in ("shards", "records", "per second", "commits", "dead letters", "restarts"):
        table.add_column(title, justify="right")
    for view in views:
        table.add_row(
            escape(view.spec.processor),
            escape(view.spec.slot),
            f"[{_COLOURS[view.state]}]{_state(view)}[/]",
            _shards(view),
            *_counts(view, rates),
            str(view.restarts or ""),
        )
    return table


def _counts(view: WorkerView, rates: Rates) -> tuple[str, str, str, str]:
    return (
        f"{view.records:,}",
        f"{rates.of(view):,.0f}",
        f"{view.status.commits:,}",
        f"{view.dead_letters:,}" if view.dead_letters else "",
    )


def _state(view: WorkerView) -> str:
    if view.state is WorkerState.RUNNING and view.status.restoring:
        return f"restoring ({view.status.restoring:,} to go)"
    return view.state.value


def _shards(view: WorkerView) -> str:
    counts = view.status.shards
    running, total = counts.get("running", 0), sum(counts.values())
    return str(total or "") if running == total else f"{running} of {total}"


class RunDisplay:
    """Shows workers while they run.

    Args:
        console: where to; a live table in a terminal, else a line now and then.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rates = Rates()
        self._live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        self._next_line = 0.0
        self._told: set[str] = set()

    def __enter__(self) -> RunDisplay:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def update(self, views: Sequence[WorkerView]) -> None:
        """Show the workers as they are; failures once each, above the table."""
        for view in views:
            for message in (*view.shard_failures.values(), view.error):
                if message and message not in self._told:
                    self._told.add(message)
                    self._console.print(
                        f"[red]{escape(view.spec.processor)}[/] {escape(message)}", soft_wrap=True
                    )
        if self._live:
            self._live.update(workers_table(views, self._rates))
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _PLAIN_INTERVAL_S
            for view in views:
                self._console.print(_line(view), highlight=False)


def _line(view: WorkerView) -> str:
    return (
        f"{view.spec.processor} {view.spec.slot}: {_state(view)}, shards {_shards(view) or 0}, "
        f"records {view.records:,}, commits {view.status.commits:,}"
    )
