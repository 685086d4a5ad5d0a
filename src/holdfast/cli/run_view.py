"""What `holdfast run` shows: a table that lives in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from holdfast.cli.console import is_live
from holdfast.cli.rows import Column, fitting_table
from holdfast.cli.run_news import News
from holdfast.cli.words import counted
from holdfast.runtime.status import RETRYING
from holdfast.runtime.supervisor import WorkerState, WorkerView

PLAIN_INTERVAL_S = 5.0
"""Seconds between two plain lines about a worker of which only the counts have changed."""

REDRAW_S = 0.25
"""Seconds between two drawings of the table."""

WAITING = "waiting for shards"
"""What a worker does that runs but was given nothing to do yet."""

_COLOURS = {
    WorkerState.RUNNING: "green",
    WorkerState.RESTARTING: "yellow",
    WorkerState.STARTING: "cyan",
    WorkerState.FAILED: "red",
    WorkerState.STOPPED: "dim",
}

_COLUMNS = (
    Column("processor", name=True),
    Column("slot", name=True, drop=4),
    Column("pid", right=True),
    Column("state"),
    Column("shards", right=True, drop=6),
    Column("records", right=True),
    Column("per second", short="/s", right=True, drop=3),
    Column("commits", right=True, drop=2),
    Column("dead letters", short="dead", right=True, drop=5),
    Column("restarts", right=True, drop=1),
)


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


def workers_table(views: Sequence[WorkerView], rates: Rates, console: Console) -> Table:
    """The workers as a table that fits the console."""
    rows = [
        (
            escape(view.spec.processor),
            escape(view.spec.slot),
            str(view.pid or ""),
            f"[{_colour(view)}]{_state(view)}[/]",
            _shards(view),
            *_counts(view, rates),
            str(view.restarts or ""),
        )
        for view in views
    ]
    return fitting_table(console, _COLUMNS, rows)


def _counts(view: WorkerView, rates: Rates) -> tuple[str, str, str, str]:
    return (
        f"{view.records:,}",
        f"{rates.of(view):,.0f}",
        f"{view.status.commits:,}",
        f"{view.dead_letters:,}" if view.dead_letters else "",
    )


def _colour(view: WorkerView) -> str:
    word = _state_word(view)
    status = view.status
    waits = status.waits_for or status.restore_waits or (status.role and status.why)
    if waits and view.state is WorkerState.RUNNING:
        return "yellow"
    return "cyan" if word == WAITING else _COLOURS[view.state]


def _state_word(view: WorkerView) -> str:
    """What the worker does, without numbers."""
    if view.state is not WorkerState.RUNNING:
        return view.state.value
    shards = view.status.shards
    if view.status.role:
        return view.status.role
    if view.status.restoring or "restoring" in shards:
        return "restoring"
    if not shards:
        return WAITING
    if view.status.waits_for:
        return f"waiting for sink {view.status.waits_for}"
    if "running" in shards:
        return view.state.value
    return RETRYING if RETRYING in shards else "shards stopped"


def _state(view: WorkerView) -> str:
    word = _state_word(view)
    left, seconds = view.status.restoring, view.restore_seconds_left
    if word != "restoring" or not left:
        return word
    return f"restoring ({left:,} to go{f', {seconds:,.0f} s' if seconds is not None else ''})"


def _shards(view: WorkerView) -> str:
    counts = view.status.shards
    running, total = counts.get("running", 0), sum(counts.values())
    own = str(total or "") if running == total else f"{running} of {total}"
    warm = view.status.standbys
    return f"{own or 0} + {warm} warm" if warm else own


class RunDisplay:
    """Shows workers while they run. Use it in a `with` statement.

    In a terminal it is a table that redraws itself; in a file, a pipe or the background it is a line when
    a worker's state changes, and now and then one when only its counts do.

    Args:
        console: where to.
        live: tells whether something that redraws itself may be shown now.
    """

    def __init__(self, console: Console, live: Callable[[Console], bool] = is_live) -> None:
        self._console = console
        self._may_redraw = live
        self._rates = Rates()
        self._live: Live | None = None
        self._next_drawing = 0.0
        self._lines = _PlainLines()
        self._news = News()

    def __enter__(self) -> RunDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave_live()

    def update(self, views: Sequence[WorkerView]) -> None:
        """Show the workers as they are; what befalls them once each time, above the table."""
        may_redraw = self._may_redraw(self._console)
        if not may_redraw:
            self._leave_live(in_background=True)
        for who, message in self._news.of(views):
            self._console.print(f"[red]{escape(who)}[/] {escape(message)}", soft_wrap=True)
        if may_redraw:
            self._draw(views)
        else:
            for line in self._lines.due(views):
                self.say(line)

    def say(self, text: str, style: str | None = None) -> None:
        """Print a line; above the table, if there is one."""
        self._console.print(escape(text), style=style, highlight=False, soft_wrap=True)

    def stopping(self, views: Sequence[WorkerView]) -> None:
        """Say that the workers are asked to end; the table, which would still call them running, goes."""
        self._leave_live(in_background=not self._may_redraw(self._console))
        alive = sum(1 for view in views if view.pid)
        if alive:
            self.say(f"stopping {counted(alive, 'worker')} ...")

    def stopped(self, views: Sequence[WorkerView]) -> None:
        """Say what ended, as the last line."""
        counts: dict[tuple[str, str], int] = {}
        for view in views:
            kind = view.spec.processor, view.spec.counts
            counts[kind] = counts.get(kind, 0) + view.records
        done = ", ".join(f"{name} {counted(count, noun)}" for (name, noun), count in counts.items())
        self.say(f"stopped {counted(len(views), 'worker')}: {done}")

    def _draw(self, views: Sequence[WorkerView]) -> None:
        if self._live is None:
            # It is drawn from here only: a thread of its own would go on after Ctrl-Z and `bg`.
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
            self._next_drawing = 0.0
        if time.monotonic() >= self._next_drawing:
            self._next_drawing = time.monotonic() + REDRAW_S
            self._live.update(workers_table(views, self._rates, self._console), refresh=True)

    def _leave_live(self, *, in_background: bool = False) -> None:
        if self._live is None:
            return
        live, self._live = self._live, None
        if not in_background:
            live.stop()
            return
        # It would wipe lines that are the shell's by now.
        with self._console.capture():
            live.stop()
        self._console.show_cursor(True)


class _PlainLines:
    """Decides which workers a line is due about."""

    def __init__(self) -> None:
        self._states: dict[int, tuple[str, int | None]] = {}
        self._said: dict[int, tuple[float, str]] = {}

    def due(self, views: Sequence[WorkerView]) -> Iterable[str]:
        """Lines about workers whose state changed, or whose counts did and that were silent for a while."""
        now = time.monotonic()
        for key, view in enumerate(views):
            state, line = (_state_word(view), view.pid), _line(view)
            at, before = self._said.get(key, (0.0, ""))
            if state != self._states.get(key) or (line != before and now - at >= PLAIN_INTERVAL_S):
                self._states[key] = state
                self._said[key] = (now, line)
                yield line


def _line(view: WorkerView) -> str:
    who = f"{view.spec.processor} {view.spec.slot}" + (f" pid {view.pid}" if view.pid else "")
    text = f"{who}: {_state(view)}"
    if view.state is WorkerState.RUNNING or view.records:
        shards = "" if view.spec.counts != "record" else f" shards {_shards(view) or 0},"
        text += f",{shards} {view.spec.counts}s {view.records:,}, commits {view.status.commits:,}"
    if view.restarts:
        text += f", restarts {view.restarts:,}"
    return text
