"""When a run is given up: it has shown what it could, or does harm."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from holdfast.chaos.clients.output_watch import OutputWatch
from holdfast.chaos.experiment import Abort
from holdfast.chaos.run.parts import Observation


class Limits:
    """The limits of one run.

    Args:
        abort: the limits as they are declared.
        watch: tells how silent the output is.
        parts: tells how much waits.
        folder: of the run.
    """

    def __init__(self, abort: Abort, watch: OutputWatch, parts: Observation, folder: Path) -> None:
        self._abort = abort
        self._watch = watch
        self._parts = parts
        # Its brokers, the images of their disks and what its verdict spills are not in the run's folder, and
        # where temporary files are may be a disk of its own.
        self._folders = (folder, Path(tempfile.gettempdir()))

    def exceeded(self) -> str | None:
        """Which limit is exceeded, in words; None if all is well."""
        stale_ms, most, least = (
            self._abort.output_stale_for_ms,
            self._abort.lag_above,
            self._abort.disk_free_below,
        )
        if stale_ms is not None and self._watch.silent_s > stale_ms / 1000:
            return f"a partition of the output was silent for more than {stale_ms / 1000:g} s"
        lag = sum(self._parts.lag)
        if most is not None and lag > most:
            return f"{lag:,} records wait, more than {most:,}"
        return self._short_of_space(least) if least is not None else None

    def _short_of_space(self, least: int) -> str | None:
        for folder in self._folders:
            if shutil.disk_usage(folder).free < least:
                return f"less than {least:,} bytes are free at {folder}"
        return None
