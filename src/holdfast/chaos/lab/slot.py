"""One worker over all its lives: its supervisor, and the thread that serves it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import replace

import psutil

from holdfast.chaos.lab import processes
from holdfast.runtime.supervisor import STOP_TIMEOUT_S, Supervisor, WorkerSpec, WorkerState, WorkerView

POLL_S = 0.05
"""Seconds that a supervisor waits for something to happen, while nobody else may use it."""


_BY_FAULTS = "killed by SIGKILL"


class Slot:
    """A worker that is started, stopped and killed again and again, each time under a new supervisor.

    Args:
        name: the worker's.
        spec: how it is started.
        stop_s: seconds from SIGTERM to SIGKILL.

    Attributes:
        failures: what went wrong in any of its lives, in words: that it gave up, or that a shard stopped.
    """

    def __init__(self, name: str, spec: WorkerSpec, stop_s: float = STOP_TIMEOUT_S) -> None:
        self.spec = spec
        self.failures: dict[str, None] = {}
        self._name = name
        self._stop_s = stop_s
        # Held while the supervisor is used: it is for one thread at a time.
        self._lock = threading.Lock()
        self._supervisor: Supervisor | None = None
        self._views: list[WorkerView] = []

    @property
    def view(self) -> WorkerView | None:
        """What its supervisor knows of it."""
        supervisor = self._supervisor
        return supervisor.views[0] if supervisor is not None else None

    @property
    def records(self) -> int:
        """What it has counted in all its lives, as far as it has said so."""
        return sum(view.records for view in self._views)

    @property
    def crashes(self) -> Counter[str]:
        """How often it ended without a word in all its lives, by how; SIGKILL, as of faults, is left out."""
        found = sum((view.crashes for view in self._views), Counter[str]())
        return Counter({how: count for how, count in found.items() if how != _BY_FAULTS})

    def process(self) -> psutil.Process | None:
        """Its process, if it has one."""
        view = self.view
        if view is None or view.pid is None:
            return None
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(view.pid)
        return None

    def start(self) -> None:
        """Start it under a new supervisor, unless there is one."""
        with self._lock:
            if self._supervisor is not None:
                return
            self._supervisor = supervisor = Supervisor([replace(self.spec)])
            self._views.extend(supervisor.views)
            supervisor.start()
        threading.Thread(target=self._serve, args=(supervisor,), name=self._name, daemon=True).start()

    def stop(self) -> str:
        """End it in good order; a worker that stands still is killed at once, since it hears nothing.

        Returns:
            That it had to be killed because it did not end, in words; else nothing.
        """
        if processes.is_suspended(self.process()):
            self._end(0.0)
            return ""
        began, view = time.monotonic(), self._end(self._stop_s)
        # A process that was dead already has failed as well, and has taken no time.
        if view is None or view.state is not WorkerState.FAILED or time.monotonic() - began < self._stop_s:
            return ""
        return f"{self._name} did not end within {self._stop_s:g} s of SIGTERM, and was killed"

    def kill(self) -> None:
        """SIGKILL it before its supervisor can start it again."""
        with self._lock:
            process = self.process()
            if process is not None:
                processes.send(process, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self._end(0.0)

    def _end(self, timeout: float) -> WorkerView | None:
        with self._lock:
            supervisor, self._supervisor = self._supervisor, None
            if supervisor is None:
                return None
            view = supervisor.views[0]
            self._note(view)
            supervisor.stop(timeout)
            self._note_shards(view)
            return view

    def _serve(self, supervisor: Supervisor) -> None:
        while True:
            with self._lock:
                if self._supervisor is not supervisor:
                    return
                supervisor.poll(POLL_S)
                self._note(supervisor.views[0])
            # Without a pause the lock would come back to us before anybody else.
            time.sleep(POLL_S / 10)

    def _note(self, view: WorkerView) -> None:
        """Keep what went wrong: the next life knows nothing of it."""
        if view.state is WorkerState.FAILED:
            self.failures[f"{self._name} cannot go on: {view.error}"] = None
        self._note_shards(view)

    def _note_shards(self, view: WorkerView) -> None:
        for shard, why in view.shard_failures.items():
            self.failures[f"{self._name}: shard {shard} stopped: {why}"] = None
