"""One supervisor, many worker processes: starts them, restarts them in their slot, stops them.

A worker that ends by itself is started again after a pause that doubles up to
`MAX_PAUSE_S`, unless its exit code says that a restart mends nothing. One that says
nothing for too long is killed first. A supervisor that is killed takes its workers along:
they notice that nobody reads their status pipe.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from holdfast.runtime.orders import EXIT_FENCED, EXIT_FINAL
from holdfast.runtime.spare import Reserve, Waiting
from holdfast.runtime.status import LOADING, WorkerStatus

FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 10.0
STEADY_S = 10.0
"""A worker that lived this long starts again with the first pause."""

SPARE_AFTER_S = 10.0
"""From the last start of a worker to that of a process in waiting, which takes a processor's time from it."""

LONGER_STARTS = 3
"""How often in a row a worker that was killed while it started is given twice the time of before: a start
that is only slow must come to its end once, and one that hangs must not be waited for without end."""

FENCED_LIMIT = 3
FENCED_WITHIN_S = 60.0
"""A worker that is fenced so often in so many seconds has a rival in its slot, and gives way."""

STOP_TIMEOUT_S = 40.0
"""From SIGTERM to SIGKILL: longer than the three calls to the brokers that a last commit may take."""

LOG_BYTES = 10 * 1024 * 1024
"""A log that is larger when its worker starts is moved to `.1`, in place of the one that was there."""

COUNTED = ("records", "commits", "aborts", "dead_letters", "dropped")
"""What a worker counts from its start, and a user over all its lives."""


class WorkerState(StrEnum):
    """Where a worker process is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """How to start one worker.

    Attributes:
        processor: the processor it works for.
        slot: its slot.
        command: the program, given the descriptor of its status pipe.
        environment: variables added to ours.
        folder: its working folder.
        log: the file that its output goes to; None for ours.
        counts: what its records are called, one of them.
        silence: seconds without a word, once it is up, after which it counts as hung; None for never.
        starting: seconds without a word while it starts, after which it counts as hung; None for never.
        waiting: how to keep a process in waiting for it; None for none.
    """

    processor: str
    slot: str
    command: Callable[[int], Sequence[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    log: Path | None = None
    counts: str = "record"
    silence: float | None = None
    starting: float | None = None
    waiting: Waiting | None = None


@dataclass(slots=True)
class WorkerView:
    """One worker, as far as the supervisor knows it. Read it between calls of `poll`.

    Attributes:
        spec: how it is started.
        state: where it is in its life.
        pid: its process, while it has one.
        status: its last report, with what its earlier lives counted as well (`COUNTED`).
        restarts: how often it was started again.
        fenced_at: when it was fenced lately.
        quick_ends: how often in a row it ended by itself after a short life.
        slow_starts: how often in a row it was killed because its start took too long.
        ends: how often it ended by itself, or was killed, after it had come up.
        crashes: how often it ended without a word of why, by how: killed by a signal, or with an exit code.
        error: why it last ended by itself, or why it cannot go on.
        shard_failures: shards that stopped, with the reason.
        earlier: what the lives before the present one counted.
        restore_began: when the restore under way began, and how many changelog offsets were to go then.
    """

    spec: WorkerSpec
    state: WorkerState = WorkerState.STARTING
    pid: int | None = None
    status: WorkerStatus = field(default_factory=WorkerStatus)
    restarts: int = 0
    fenced_at: list[float] = field(default_factory=list)
    quick_ends: int = 0
    slow_starts: int = 0
    ends: int = 0
    crashes: Counter[str] = field(default_factory=Counter)
    error: str = ""
    shard_failures: dict[int, str] = field(default_factory=dict)
    earlier: WorkerStatus = field(default_factory=WorkerStatus)
    restore_began: tuple[float, int] | None = None

    @property
    def restore_seconds_left(self) -> float | None:
        """How long the restore under way will take at its rate so far; None before that is known."""
        if self.restore_began is None:
            return None
        began, first = self.restore_began
        elapsed, done = time.monotonic() - began, first - self.status.restoring
        return self.status.restoring * elapsed / done if elapsed >= 1.0 and done > 0 else None

    @property
    def records(self) -> int:
        """Records handled over all lives of the worker."""
        return self.status.records

    @property
    def dead_letters(self) -> int:
        """Records set aside over all lives of the worker."""
        return self.status.dead_letters

    def take(self, status: WorkerStatus) -> None:
        """Take a report of the present life."""
        sums = {name: getattr(self.earlier, name) + getattr(status, name) for name in COUNTED}
        if not status.restoring:
            self.restore_began = None
        elif self.restore_began is None or status.restoring > self.status.restoring:
            # More to go than before: another shard joined.
            self.restore_began = time.monotonic(), status.restoring
        self.status = replace(status, **sums)

    def end_life(self) -> None:
        """Keep what was counted; nothing else of a report is true without a process."""
        self.earlier = WorkerStatus(**{name: getattr(self.status, name) for name in COUNTED})
        self.status = self.earlier
        self.restore_began = None


@dataclass(slots=True)
class _Life:
    """A running process of a worker.

    Attributes:
        heard: when it said something last, or was started.
        stage: what it was doing when it said so, in words; only until it is up.
        told_why: whether the reason of its end is known.
    """

    view: WorkerView
    process: subprocess.Popen[bytes]
    pipe: IO[bytes]
    started: float
    heard: float
    pending: bytes = b""
    stage: str = LOADING
    is_up: bool = False
    told_why: bool = False

    def ends_because(self, reason: str) -> None:
        """Note why it ends; the first reason counts it, and a later one only says more."""
        self.view.ends += self.is_up and not self.told_why
        self.view.error, self.told_why = reason, True


class Supervisor:
    """Keeps a set of workers running until `stop`.

    Use it from one thread: `start`, then `poll` again and again, then `stop`.

    Args:
        specs: the workers.
    """

    def __init__(self, specs: Sequence[WorkerSpec]) -> None:
        self.views = tuple(WorkerView(spec) for spec in specs)
        self._lives: list[_Life] = []
        self._due: list[tuple[float, WorkerView]] = []
        self._selector = selectors.DefaultSelector()
        self._reserve = Reserve()
        self._launched = 0.0

    @property
    def failed(self) -> tuple[WorkerView, ...]:
        """Workers that cannot go on, or have shards that stopped."""
        return tuple(v for v in self.views if v.state is WorkerState.FAILED or v.shard_failures)

    @property
    def all_ended(self) -> bool:
        """Whether nothing runs and nothing will be started again."""
        return not self._lives and not self._due

    def start(self) -> None:
        """Start every worker."""
        for view in self.views:
            self._launch(view)

    def poll(self, wait: float) -> None:
        """Take what workers report, and start again those that are due.

        Args:
            wait: the most seconds to wait for something to happen.
        """
        if self._due:
            wait = min(wait, max(min(at for at, _ in self._due) - time.monotonic(), 0.0))
        if self._lives:
            for key, _ in self._selector.select(wait):
                self._read(key.data)
        else:
            time.sleep(wait)
        for life in list(self._lives):
            self._end_hung(life)
        for life in [one for one in self._lives if one.process.poll() is not None]:
            self._read(life)
            self._ended(life)
        now = time.monotonic()
        ready = [view for at, view in self._due if at <= now]
        self._due = [(at, view) for at, view in self._due if at > now]
        for view in ready:
            view.restarts += 1
            self._launch(view)
        if self._lives and now - self._launched >= SPARE_AFTER_S:
            self._keep_spare()

    def stop(self, timeout: float = STOP_TIMEOUT_S) -> None:
        """Ask every worker to end in good order; kill those that do not within `timeout` seconds."""
        self._due.clear()
        self._signal(signal.SIGTERM)
        self._reserve.close()
        deadline = time.monotonic() + timeout
        while self._lives and time.monotonic() < deadline:
            for key, _ in self._selector.select(0.05):
                self._read(key.data)
            self._reap()
        self._signal(signal.SIGKILL)
        while self._lives:
            self._lives[0].process.wait()
            self._reap()
        self._selector.close()

    def _signal(self, number: signal.Signals) -> None:
        for life in self._lives:
            life.process.send_signal(number)

    def _reap(self) -> None:
        for life in [one for one in self._lives if one.process.poll() is not None]:
            self._read(life)
            self._forget(life)
            killed = life.process.returncode not in (0, -signal.SIGTERM)
            life.view.state = WorkerState.FAILED if killed else WorkerState.STOPPED
            if killed and not life.view.error:
                life.view.error = _how_it_ended(life.process.returncode)

    def _launch(self, view: WorkerView) -> None:
        spec = view.spec
        read_end, write_end = os.pipe()
        output = None
        if spec.log is not None:
            # On a full disk the worker's output goes where ours goes: it must say so somewhere.
            with contextlib.suppress(OSError):
                spec.log.parent.mkdir(parents=True, exist_ok=True)
                _roll(spec.log)
                output = spec.log.open("ab")
        self._launched = time.monotonic()
        try:
            process = self._reserve.take(spec.waiting, write_end, output.fileno() if output else None)
            process = process or _start(spec, write_end, output)
        except OSError as error:
            # No memory, or too many processes: the workers that run are not to pay for it.
            os.close(read_end)
            view.error = f"could not be started: {error}"
            self._again(view)
            return
        finally:
            os.close(write_end)
            if output is not None:
                output.close()
        os.set_blocking(read_end, False)
        now = time.monotonic()
        life = _Life(view, process, os.fdopen(read_end, "rb", buffering=0), started=now, heard=now)
        self._lives.append(life)
        self._selector.register(life.pipe, selectors.EVENT_READ, life)
        view.pid = process.pid
        view.state = WorkerState.STARTING
        view.shard_failures = {}

    def _keep_spare(self) -> None:
        """Have a process in waiting, if a worker can make use of it."""
        for life in self._lives:
            spec = life.view.spec
            if spec.waiting is not None:
                self._reserve.fill(spec.waiting, spec.environment)
                return

    def _read(self, life: _Life) -> None:
        try:
            data = life.pipe.read(65_536)
        except (BlockingIOError, ValueError):
            return
        if data == b"":
            self._close_pipe(life)
        if not data:
            return
        life.heard = time.monotonic()
        *lines, life.pending = (life.pending + data).split(b"\n")
        for line in lines:
            self._take(life, json.loads(line))

    def _take(self, life: _Life, message: dict[str, Any]) -> None:
        view, kind = life.view, message.pop("type")
        if kind == "status":
            view.take(WorkerStatus(**message))
            view.state, view.slow_starts, life.is_up = WorkerState.RUNNING, 0, True
        elif kind == "starting":
            life.stage = message["stage"]
        elif kind == "shard_failed":
            view.shard_failures[message["partition"]] = message["message"]
        elif kind == "error":
            life.ends_because(message["message"])

    def _end_hung(self, life: _Life) -> None:
        """Kill a worker that has said nothing for too long. Its slot's shards would wait for it for ever."""
        if life.told_why or not _is_silent(life):
            return
        # This process may have been suspended itself: what was said meanwhile is in the pipe.
        self._read(life)
        if _is_silent(life):
            life.ends_because(_why_killed(life))
            life.view.slow_starts += not life.is_up
            life.process.kill()

    def _ended(self, life: _Life) -> None:
        view, code = life.view, life.process.returncode
        self._forget(life)
        if code == 0:
            view.state = WorkerState.STOPPED
            return
        if not life.told_why:
            life.ends_because(_how_it_ended(code))
            view.crashes[life.view.error] += 1
        now = time.monotonic()
        if code == EXIT_FINAL or (code == EXIT_FENCED and _has_rival(view, now)):
            view.state = WorkerState.FAILED
            return
        # A start that had to be cut short was long, not steady.
        self._again(view, was_steady=not view.slow_starts and now - life.started > STEADY_S)

    def _again(self, view: WorkerView, *, was_steady: bool = False) -> None:
        """Start a worker again after a pause that grows with each short life."""
        view.state = WorkerState.RESTARTING
        if was_steady:
            view.quick_ends = 0
            pause = FIRST_PAUSE_S
        else:
            # The limit is far above MAX_PAUSE_S; thousands in a row would overflow a float.
            pause = FIRST_PAUSE_S * 2.0 ** min(view.quick_ends, 30)
            view.quick_ends += 1
        self._due.append((time.monotonic() + min(pause, MAX_PAUSE_S), view))

    def _forget(self, life: _Life) -> None:
        view = life.view
        self._close_pipe(life)
        self._lives.remove(life)
        view.pid = None
        view.end_life()

    def _close_pipe(self, life: _Life) -> None:
        if not life.pipe.closed:
            self._selector.unregister(life.pipe)
            life.pipe.close()


def _start(spec: WorkerSpec, status: int, output: IO[bytes] | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(spec.command(status)),
        pass_fds=[status],
        env={**os.environ, **spec.environment},
        cwd=spec.folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        # Ctrl-C in a terminal reaches the supervisor only; it stops its workers in order.
        start_new_session=True,
    )


def _roll(log: Path) -> None:
    """Begin a log anew when it is large. While its worker runs, nobody can make it write elsewhere."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))


def _limit(life: _Life) -> float | None:
    """How many seconds a worker may say nothing; None for as long as it likes."""
    spec = life.view.spec
    if life.is_up:
        return spec.silence
    return None if spec.starting is None else spec.starting * 2.0 ** min(life.view.slow_starts, LONGER_STARTS)


def _is_silent(life: _Life) -> bool:
    limit = _limit(life)
    return limit is not None and time.monotonic() - life.heard >= limit


def _why_killed(life: _Life) -> str:
    limit = _limit(life) or 0.0
    if life.is_up:
        return f"said nothing for {limit:.0f} s, as if hung or suspended, and was killed"
    next_limit = limit * (2 if life.view.slow_starts < LONGER_STARTS else 1)
    return (
        f"did not come up: it said nothing for {limit:.0f} s while {life.stage}, and was killed. It is "
        f"started again and given {next_limit:.0f} s. If that repeats, look at what its modules do when they "
        "are imported: what may wait there (a service, a lock, a download) belongs into the function that "
        "needs it"
    )


def _has_rival(view: WorkerView, now: float) -> bool:
    view.fenced_at = [*(at for at in view.fenced_at if at > now - FENCED_WITHIN_S), now]
    return len(view.fenced_at) >= FENCED_LIMIT


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}; its log says why"
