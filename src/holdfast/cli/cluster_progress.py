"""Draws the steps of a start of the embedded cluster on standard error."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from holdfast.cli.console import err, is_live


class ClusterProgress:
    """A line with a spinner, and a bar while jars arrive; plain lines where there is no terminal.

    Implements `holdfast.local.progress.Progress`.
    """

    def __init__(self) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeElapsedColumn(),
            console=err,
            transient=True,
        )
        self._lines = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=err,
            transient=True,
        )
        self._download: TaskID | None = None
        self._step: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if err.is_terminal:
            self._bars.stop()
            self._lines.stop()

    def step(self, text: str) -> None:
        """Show a step in place of the last one."""
        if not is_live(err):
            err.print(f"{text} ...", highlight=False)
            return
        self._bars.stop()
        if self._step is not None:
            self._lines.remove_task(self._step)
        self._step = self._lines.add_task(text, total=None)
        self._lines.start()

    def download(self, total_bytes: int) -> None:
        """Show the download as a bar."""
        text = "Downloading Apache Kafka"
        if not is_live(err):
            err.print(f"{text} ({total_bytes / 1e6:.0f} MB) ...", highlight=False)
            return
        self._lines.stop()
        self._download = self._bars.add_task(text, total=total_bytes)
        self._bars.start()

    def received(self, count: int) -> None:
        """Move the bar."""
        if self._download is not None:
            self._bars.advance(self._download, count)
