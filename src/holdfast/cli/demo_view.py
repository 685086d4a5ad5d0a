"""What `holdfast demo` shows while it works: phases, and the processors as they catch up."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from holdfast.cli.console import is_live
from holdfast.cli.run_view import Rates, workers_table
from holdfast.cli.words import counted
from holdfast.runtime.supervisor import WorkerView

PLAIN_INTERVAL_S = 2.0
"""Seconds between two lines where there is no terminal."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The main phase at one moment.

    Attributes:
        published: events published so far.
        per_second: how fast that was.
        publishing: whether there are more to come.
        views: the workers.
        lag: records that each group has still to handle; None before the first look.
    """

    published: int
    per_second: float
    publishing: bool
    views: Sequence[WorkerView]
    lag: Mapping[str, int] | None

    @property
    def headline(self) -> str:
        """The moment in one line."""
        verb = "publishing" if self.publishing else "published"
        text = f"{verb} {counted(self.published, 'event')} ({self.per_second:,.0f}/s)"
        handled = sum(view.records for view in self.views)
        text += f", processed {counted(handled, 'record')}"
        if self.lag is not None:
            behind = ", ".join(
                f"{group.partition('.')[2] or group} {lag:,}" for group, lag in self.lag.items() if lag
            )
            text += f", to go: {behind or 'nothing'}"
        return text


class DemoView:
    """Draws phases: one line for each that is done, with its time, and a live table in the long one.

    Args:
        console: where to; plain lines if it is no terminal.

    Attributes:
        times: seconds of each phase that is done, in order.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rates = Rates()
        self._live: Live | None = None
        self._next_line = 0.0
        self._told: set[str] = set()
        self.times: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str, *, live: bool = False) -> Iterator[None]:
        """Time and show a phase.

        Args:
            name: what is done, such as `start workers`.
            live: `show` is called during it.
        """
        if not is_live(self._console):
            self._say(f"{name} ...")
        began = time.monotonic()
        if live and is_live(self._console):
            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        try:
            yield
        finally:
            if self._live is not None:
                self._live.stop()
                self._live = None
        self.times[name] = time.monotonic() - began
        self._console.print(f"[green]✓[/] {name}  [dim]{self.times[name]:.1f} s[/]", highlight=False)

    def show(self, moment: Moment) -> None:
        """Draw the workers; why one failed is said once, above."""
        for view in moment.views:
            for message in (*view.shard_failures.values(), view.error):
                if message and message not in self._told:
                    self._told.add(message)
                    self._say(f"{view.spec.processor}: {message}", style="red")
        if self._live is not None:
            self._live.update(self._drawing(moment))
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + PLAIN_INTERVAL_S
            self._say(f"  {moment.headline}")

    def _drawing(self, moment: Moment) -> Group:
        table: Table = workers_table(moment.views, self._rates, self._console)
        return Group(Text(f"  {moment.headline}"), table)

    def _say(self, text: str, style: str | None = None) -> None:
        self._console.print(escape(text), style=style, highlight=False, soft_wrap=True)
