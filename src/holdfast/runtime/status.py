"""What a worker tells its supervisor: one JSON object per line on a pipe.

The pipe is also how a worker learns that its supervisor is gone: writing fails, and it
stops in good order instead of living on alone.

A leaf module: who only speaks or reads the pipe (a supervisor, a Faust worker) loads no engine and no store.
"""

from __future__ import annotations

import json
import os
import select
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

INTERVAL_S = 0.25

LOADING = "it loaded the engine"
"""What a worker does before it says anything: stages of its start follow on "while" in a sentence."""

IMPORTING = "it imported what {} names"
"""With the topology file."""

RETRYING = "retrying"
"""The state of a shard at a record that its handler is called for again; beside those of `ShardState`."""

LEADING = "leading"
"""How the role of a candidate begins that leads."""

CONNECTING = "it connected to its brokers, and its sink if it has one"


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker at one moment. Counts are since the process started.

    Attributes:
        records: records handled, not all of them committed yet.
        commits: units committed.
        aborts: units that were done again.
        dead_letters: records set aside, committed.
        dropped: records dropped, committed.
        shards: how many shards are in each state.
        restored: changelog records read.
        restoring: changelog offsets still to pass, over all shards under restore.
        role: what it does, in words, if it has no shards: a candidate for leadership.
        standbys: shards of other workers that are kept warm.
        behind: changelog offsets that these are behind, as far as is known.
        waits_for: the sink that it waits for, if that does not answer.
        restore_waits: why restores of its shards have not begun for some time, if they have not.
        why: what that sink said last; with a role, what keeps it from what it should do.
        breakers: the state of each of its circuit breakers in words, by the sink that it stands before.
    """

    records: int = 0
    commits: int = 0
    aborts: int = 0
    dead_letters: int = 0
    dropped: int = 0
    shards: dict[str, int] = field(default_factory=dict)
    restored: int = 0
    restoring: int = 0
    role: str = ""
    standbys: int = 0
    behind: int = 0
    restore_waits: str = ""
    waits_for: str = ""
    why: str = ""
    breakers: dict[str, str] = field(default_factory=dict)


class Reported(Protocol):
    """A worker, as far as its reports are concerned."""

    def observe(self) -> WorkerStatus:
        """How it is at this moment."""

    def stop(self) -> None:
        """Ask it to end in good order."""


class Reporter(Protocol):
    """Told what happens in a worker."""

    def report(self, worker: Reported) -> None:
        """Called about every turn; decides itself how often to say something."""

    def failed(self, partition: int, message: str, stack: str) -> None:
        """A shard stopped."""


class StatusLine:
    """The write end of a status pipe.

    Args:
        descriptor: the pipe's write end; None says nothing to anybody.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._last: WorkerStatus | None = None
        self._unsent: list[bytes] = []

    def send_status(self, status: WorkerStatus) -> bool:
        """Tell how the worker is, in short when nothing changed; False when nobody reads any more."""
        if not self._has_room():
            return True  # the next report is as good
        if status == self._last:
            return self.send("alive")
        self._last = status
        return self.send("status", **asdict(status))

    def send(self, type_: str, /, **content: Any) -> bool:
        """Write one message, or keep it until there is room for it; False when nobody reads any more."""
        if self._descriptor is None:
            return True
        self._unsent.append(json.dumps({"type": type_, **content}).encode() + b"\n")
        while self._unsent and self._has_room():
            try:
                os.write(self._descriptor, self._unsent[0])
            except BrokenPipeError:
                return False
            del self._unsent[0]
        return True

    def _has_room(self) -> bool:
        """Whether the pipe takes a message. A supervisor that is suspended must not suspend its workers."""
        return self._descriptor is not None and bool(select.select([], [self._descriptor], [], 0)[1])


class StatusPipe:
    """A native worker's side of the pipe.

    Args:
        descriptor: the pipe's write end; None says nothing to anybody.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._line = StatusLine(descriptor)
        self._next = 0.0

    def report(self, worker: Reported) -> None:
        """Tell how the worker is, at most every `INTERVAL_S`; stop it when the supervisor is gone."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + INTERVAL_S
            if not self._line.send_status(worker.observe()):
                worker.stop()

    def starting(self, stage: str) -> None:
        """Tell how far the start is, before the first report.

        Args:
            stage: what comes now, such as "it connected": it follows on "while" if that never ends.
        """
        self._line.send("starting", stage=stage)

    def failed(self, partition: int, message: str, stack: str) -> None:
        """Tell that a shard stopped."""
        self._line.send("shard_failed", partition=partition, message=message, stack=stack)

    def error(self, kind: str, message: str) -> None:
        """Tell why this process ends."""
        self._line.send("error", kind=kind, message=message)
