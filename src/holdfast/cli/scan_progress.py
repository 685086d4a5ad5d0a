"""Progress of reading topics: a bar in a terminal for scans that take long, silence otherwise."""

from __future__ import annotations

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from holdfast.cli.console import err, is_live


class ScanProgress:
    """Shows how far scans of topics are; pass its `update` to `LogScanner`.

    The bars are gone when it is done: what stays is the result.
    """

    def __init__(self) -> None:
        columns = (
            TextColumn("reading {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=err, transient=True, disable=not is_live(err))
        self._tasks = {topic.description: topic.id for topic in self._progress.tasks}

    def __enter__(self) -> ScanProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, topic: str, done: int, total: int) -> None:
        """`done` of `total` offsets of `topic` were passed."""
        if topic not in self._tasks:
            self._tasks[topic] = self._progress.add_task(topic, total=None)
        self._progress.update(self._tasks[topic], completed=done, total=total, visible=done < total)
