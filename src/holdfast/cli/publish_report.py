"""What `holdfast publish` tells: progress while it runs, refused lines, the result."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import IO

from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from holdfast.cli.console import err, is_live, out
from holdfast.cli.publish_input import Line
from holdfast.cli.words import counted
from holdfast.kafka.producer import PublishStats

SHOWN = 20
"""How many refused lines are shown; all of them go to the file of ``--refused``."""

REFRESH = 0.1
"""Seconds between two updates of the progress bar."""


class Refusals:
    """Counts, shows and writes down refused lines."""

    def __init__(self, file: Path | None) -> None:
        self.count = 0
        self._path = file
        self._file: IO[str] | None = None

    def add(self, line: Line) -> None:
        """Report one refused line."""
        self.count += 1
        if self.count <= SHOWN:
            err.print(f"[yellow]line {line.number} refused:[/] {escape(line.reason)}", highlight=False)
        elif self.count == SHOWN + 1 and self._path is None:
            err.print("[yellow]more lines are refused;[/] --refused FILE writes all of them down")
        if self._path is not None:
            self._file = self._file or self._path.open("w", encoding="utf-8")
            text = line.text.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
            entry = {"line": line.number, "reason": line.reason, "text": text}
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def __enter__(self) -> Refusals:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


class ProgressBar:
    """Progress on standard error: by bytes if the input's size is known, else by count."""

    def __init__(self, total: int | None) -> None:
        bar = (BarColumn(), DownloadColumn(), TimeRemainingColumn()) if total else ()
        self._progress = Progress(
            TextColumn("publishing {task.fields[events]}, {task.fields[rate]:,.0f}/s"),
            *bar,
            console=err,
            transient=True,
            disable=not is_live(err),
        )
        self._task: TaskID = self._progress.add_task("", total=total, events="0 events", rate=0.0)
        self._started = time.monotonic()
        self._due = 0.0

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, events: int, bytes_read: int) -> None:
        """Show how far it is; does nothing if it was shown a moment ago."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + REFRESH
            rate = events / max(now - self._started, 0.001)
            self._progress.update(
                self._task, completed=bytes_read, events=counted(events, "event"), rate=rate
            )


def print_result(topic: str, stats: PublishStats, refused: int, seconds: float) -> None:
    """Print the last line: how many events were acknowledged, and how many were not."""
    rate = stats.delivered / max(seconds, 0.001)
    parts = [f"published {counted(stats.delivered, 'event')} to {topic} in {seconds:.1f} s ({rate:,.0f}/s)"]
    if refused:
        parts.append(f"[yellow]{counted(refused, 'line')} refused[/]")
    if stats.failed or stats.waiting:
        parts.append(f"[bold red]{counted(stats.failed + stats.waiting, 'event')} not acknowledged[/]")
    out.print("; ".join(parts), highlight=False)
